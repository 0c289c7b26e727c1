"""One connection to the broker, and what is left of it when it is over."""

import asyncio
import gc
import weakref
from typing import Any

from bridge.connection import Broker, Connection
from bridge.threads import Pool
from tests.fakes import broker as fakes


class Owner:
    """Hears of one connection, and wants nothing of it."""

    def __init__(self) -> None:
        self.there = asyncio.Event()

    def established(self, _connection: Connection, **_: Any) -> None:
        self.there.set()

    def lost(self, *, cut: bool) -> None:
        assert not cut

    def turn(self) -> None:
        pass


def test_a_connection_that_is_given_up_is_gone_without_a_word(broker: fakes.Broker) -> None:
    where = Broker(
        host="127.0.0.1",
        port=broker.port,
        username=None,
        password=None,
        client_id="given-up",
        version="5",
        transport="tcp",
        path="/",
        keepalive=30,
        max_payload=None,
        tls=None,
    )

    async def give_up() -> None:
        owner: Any = Owner()
        connection = Connection(owner, where, v5=True, will_topic=None)
        running = asyncio.create_task(connection.run(Pool(1, name="test")))
        await asyncio.wait_for(owner.there.wait(), 10)
        running.cancel()
        await asyncio.wait((running,))
        gone = weakref.ref(connection)
        del connection, running
        # What a destructor raises is a warning, and that is a failure.
        while gone() is not None:  # as long as what it has begun is about to end
            await asyncio.sleep(0)
            gc.collect()

    asyncio.run(asyncio.wait_for(give_up(), 20))
