"""``health``: does the bridge of this configuration do its work? For Docker and the like.

The broker is asked, not the process. What a process knows of itself ends it: a stuck loop or a
lost task is an exit code already. What is left to ask is whether others see it: ``bridge/state``
is ``online`` from when the bridge takes commands until it leaves, or the broker misses it.
"""

import argparse
import asyncio
import json
import socket
import sys
from dataclasses import replace

from bridge import config, logs, topics
from bridge.build import broker
from bridge.config import MqttConfig
from bridge.mqtt import Message, Mqtt
from bridge.outbox import Outbox
from bridge.threads import Pool
from bridge.topics import BridgeTopics

_TIMEOUT = 5.0  # seconds for all of it


def health(options: argparse.Namespace) -> int:
    """Say how the bridge is; 0 if it is online."""
    mqtt = config.load(options.config).mqtt
    logs.set_up("debug" if options.verbose else "critical", "text")
    fault = asyncio.run(_ask(mqtt))
    if options.json:
        print(json.dumps({"status": "error" if fault else "ok", "message": fault}))
    else:
        print(logs.one_line(fault or "the bridge is online"), file=sys.stderr)
    return 1 if fault else 0


async def _ask(settings: MqttConfig) -> str | None:
    """Why the bridge is not online, as the broker has it; as a client that puts nobody out."""
    there = broker(settings)
    topic = BridgeTopics.of(settings.base_topic).state
    state: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def heard(message: Message) -> None:
        if not state.done():
            state.set_result(message.payload)
        if message.done is not None:
            message.done()

    mqtt = Mqtt(
        replace(there, client_id=f"{there.client_id}-health-{socket.gethostname():.30}"),
        will_topic=None,
        outbox=Outbox(),
        message=heard,
        connected=lambda: mqtt.read([topic]),
        pool=Pool(1, name="connect"),
    )
    task = asyncio.create_task(mqtt.run())
    try:
        async with asyncio.timeout(_TIMEOUT):
            payload = await state
    except TimeoutError:
        if mqtt.online:
            return f"no bridge: the broker has nothing on {topic}"
        return f"no broker: {there.where}: {mqtt.trouble or 'no answer'}"
    finally:
        mqtt.unread([topic])  # the broker would keep the subscription with the session
        await mqtt.stop(timeout=1)
        task.cancel()
    if payload == topics.ONLINE:
        return None
    return f"no bridge: {topic} is {payload[:20].decode(errors='replace')!r}"
