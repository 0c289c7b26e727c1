"""A moment at the broker, as a client of its own: a running bridge is not put out."""

import asyncio
import socket
from dataclasses import replace

from bridge.build import broker
from bridge.commands.hints import BROKER
from bridge.config import MqttConfig
from bridge.mqtt import Message, Mqtt
from bridge.outbox import Outbox
from bridge.threads import Pool

_TIMEOUT = 5.0  # seconds for all of it but the leave-taking, which has one


class NoBrokerError(Exception):
    """There was no connection in time; ``str()`` of it says where, and why.

    ``hint`` is a line on what to try next, where the reason does not say what is wrong.
    """

    def __init__(self, message: str, hint: str | None) -> None:
        super().__init__(message)
        self.hint = hint


async def visit(
    settings: MqttConfig, *, role: str, pool: Pool, read: str | None = None
) -> bytes | None:
    """Connect, and leave again: what the broker retains on ``read``, or ``None``.

    Args:
        settings: where the broker is.
        role: what the client id says that we are, next to the bridge's own.
        pool: threads for connecting.
        read: a topic.

    Raises:
        NoBrokerError: it did not come to that within 5 s.
    """
    there = broker(settings)
    answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def connected() -> None:
        if read is not None:
            mqtt.read([read])
        elif not answer.done():
            answer.set_result(None)

    def heard(message: Message) -> None:
        if not answer.done():
            answer.set_result(message.payload)
        if message.done is not None:
            message.done()

    mqtt = Mqtt(
        replace(there, client_id=f"{there.client_id}-{role}-{socket.gethostname():.30}"),
        will_topic=None,
        outbox=Outbox(),
        message=heard,
        connected=connected,
        pool=pool,
    )
    task = asyncio.create_task(mqtt.run())
    try:
        async with asyncio.timeout(_TIMEOUT):
            return await answer
    except TimeoutError:
        if mqtt.online:
            return None
        hint = None if mqtt.explained else BROKER
        raise NoBrokerError(f"{there.where}: {mqtt.trouble or 'no answer'}", hint) from None
    finally:
        if read is not None:  # the broker would keep the subscription with the session
            mqtt.unread([read])
        await mqtt.stop(timeout=1)
        task.cancel()
