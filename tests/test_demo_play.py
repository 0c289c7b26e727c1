"""Who asks for the demo's first picture."""

import asyncio
from collections.abc import Callable

from bridge import config
from bridge.demo.play import first_picture
from tests.conftest import Board, StartBridge
from tests.fakes.broker import Broker
from tests.fakes.client import Client


def test_a_bridge_that_is_there_before_who_asks_is_asked(
    broker: Broker,
    base_topic: str,
    board: Callable[..., Board],
    bridge: StartBridge,
    client: Callable[..., Client],
) -> None:
    porch = board("porch")
    bridge({"porch": porch})
    client().wait(f"{base_topic}/porch/availability", lambda m: m.payload == b"online")
    mqtt = {"host": "127.0.0.1", "port": broker.port, "base_topic": base_topic}
    cameras = {"porch": {"url": porch.url}}
    configuration = config.Config.model_validate({"mqtt": mqtt, "cameras": cameras})
    assert asyncio.run(first_picture(configuration))["status"] == "ok"
