"""The bridge on a real network: cables that are pulled, narrow, or lose what they are given.

Boards, or the broker, are in a network namespace behind a cable; the bridge is outside. Where that
is not allowed these tests are skipped; `Link` and its campaign do the like without.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import AnyBoards, Board, StartBridge, either, old
from tests.fakes.board import ESP32
from tests.fakes.broker import Broker
from tests.fakes.client import Client
from tests.fakes.talk import Talk
from tests.faults.cable import Cable, NotPermitted
from tests.faults.ledger import Asked, Ledger

Cables = Callable[[], Cable]
Boards = Callable[..., tuple[Cable, Board]]

SLOW = "800kbit"  # a picture takes long enough to be met in its middle
MQTT = 1883  # a network of one's own has all ports


@pytest.fixture
def lay() -> Iterator[Cables]:
    """``lay()``: a cable of this test's own."""
    with ExitStack() as stack:

        def start() -> Cable:
            try:
                return stack.enter_context(Cable())
            except NotPermitted as exc:
                pytest.skip(f"no network of one's own is to be had: {exc}")

        yield start


@pytest.fixture
def far(lay: Cables, board: AnyBoards) -> Boards:
    """``far(name, **options)``: a cable, and a board at its far end."""

    def start(name: str = "board", **options: object) -> tuple[Cable, Board]:
        cable = lay()
        with cable.far_end():
            return cable, board(name, host=cable.far, **options)

    return start


# A board's cable


@either
def test_a_cable_that_is_pulled_in_the_middle_of_a_picture_ends_it_in_time(
    bridge: StartBridge, far: Boards, talk: Talk
) -> None:
    cable, door = far(size=60_000, wire="v1")
    bridge({"door": {"url": door.url}})
    talk.wait("availability", where=lambda m: m.text == "online")
    cable.limit(SLOW)
    talk.ask({"id": "pulled", "timeout": 2})
    cable.wait_for_bytes(8_000, since=cable.received)
    cable.pull()
    result = talk.result("pulled")
    assert result["error"] in {"timeout", "unreachable"}
    assert 1 < result["duration"] < 3
    talk.wait("availability", where=lambda m: m.text == "offline")
    assert not talk.messages("image")

    cable.clear()
    cable.plug_in()
    now = door.clock()
    talk.ask({"id": "plugged in"})
    assert talk.result("plugged in")["status"] == "ok"
    assert len(talk.messages("image")) == 1  # what was under way comes to nobody
    assert door.exposed(talk.wait("image").payload) >= now
    assert [r["id"] for r in talk.all_results()] == ["pulled", "plugged in"]


@either
def test_a_picture_that_is_held_up_for_a_moment_is_still_whole(
    bridge: StartBridge, far: Boards, talk: Talk
) -> None:
    cable, door = far(size=60_000, wire="v1")
    bridge({"door": {"url": door.url}}, capture={"retries": 0})
    talk.wait("availability", where=lambda m: m.text == "online")
    cable.limit(SLOW)
    talk.ask({"id": "a", "timeout": 10})
    cable.wait_for_bytes(8_000, since=cable.received)
    cable.pull()
    with pytest.raises(AssertionError, match="0 of 1 bytes"):
        cable.wait_for_bytes(1, since=cable.received, timeout=0.5)
    cable.plug_in()
    result = talk.result("a")
    assert (result["status"], result["attempts"]) == ("ok", 1)
    assert len(talk.wait("image").payload) == result["bytes"]


@either
def test_a_cable_that_is_pulled_while_idle_is_noticed_at_the_next_command(
    bridge: StartBridge, far: Boards, talk: Talk
) -> None:
    cable, door = far(wire="v1")
    bridge({"door": {"url": door.url}})
    talk.wait("availability", where=lambda m: m.text == "online")
    cable.pull()
    talk.ask({"id": "pulled", "timeout": 2})
    assert talk.result("pulled")["error"] in {"timeout", "unreachable"}
    talk.wait("availability", where=lambda m: m.text == "offline")
    talk.client.clear()
    cable.plug_in()
    talk.wait("availability", where=lambda m: m.text == "online")  # nobody has asked for it
    talk.ask({"id": "plugged in"})
    assert talk.result("plugged in")["attempts"] == 1


@pytest.mark.skipif(
    not os.environ.get("ESP32CAM_PATIENCE"), reason="takes 40 s: set ESP32CAM_PATIENCE=1 for it"
)
def test_a_cable_that_is_pulled_while_idle_is_noticed_by_itself(
    bridge: StartBridge, far: Boards, talk: Talk
) -> None:
    cable, door = far()
    bridge({"door": old(door)})
    talk.wait("availability", where=lambda m: m.text == "online")
    cable.pull()
    topic = talk.topic("door", "availability")
    talk.client.wait(topic, lambda m: m.text == "offline", timeout=45)


def test_a_narrow_cable_brings_whole_pictures_and_holds_up_no_other_camera(
    bridge: StartBridge, far: Boards, talk: Talk, board: AnyBoards
) -> None:
    cable, slow = far("slow", size=60_000)
    fast = board("fast", size=60_000)
    bridge({"slow": old(slow), "fast": old(fast)})
    for name in ("slow", "fast"):
        talk.wait("availability", name, lambda m: m.text == "online")
    cable.limit("400kbit")
    talk.ask({"id": "slow"}, "slow")
    cable.wait_for_bytes(2_000, since=cable.received)
    durations = []
    for number in range(10):
        talk.ask({"id": f"{number}"}, "fast")
        durations.append(talk.result(f"{number}")["duration"])
    assert not talk.messages("result", "slow")
    result = talk.result("slow")
    assert (result["status"], result["attempts"], result["bytes"]) == ("ok", 1, 60_000)
    assert len(talk.wait("image", "slow").payload) == 60_000
    assert max(durations) < result["duration"] / 4


def test_packets_that_are_lost_cost_time_and_nothing_else(
    bridge: StartBridge, far: Boards, talk: Talk
) -> None:
    cable, door = far(size=40_000)
    bridge({"door": old(door)}, capture={"retries": 0})
    talk.wait("availability", where=lambda m: m.text == "online")
    cable.limit("8mbit", queue="6kb")
    _take_ten(talk, door)
    assert cable.lost > 10


def test_packets_that_are_lost_doubled_and_out_of_order_cost_time_and_nothing_else(
    bridge: StartBridge, far: Boards, talk: Talk
) -> None:
    cable, door = far(size=40_000)
    bridge({"door": old(door)}, capture={"retries": 0})
    talk.wait("availability", where=lambda m: m.text == "online")
    try:
        cable.spoil("delay", "5ms", "2ms", "loss", "3%", "duplicate", "5%", "reorder", "25%")
    except NotPermitted as exc:
        pytest.skip(f"this kernel can't spoil packets: {exc}")
    _take_ten(talk, door)


def _take_ten(talk: Talk, door: Board) -> None:
    """Ten pictures, each of its own request, whole and of after it."""
    for number in range(10):
        now = door.clock()
        talk.ask({"id": f"{number}"})
        result = talk.result(f"{number}")
        assert (result["status"], result["attempts"]) == ("ok", 1)
        image = talk.client.wait(talk.topic("door", "image"), count=number + 1)[number]
        assert len(image.payload) == 40_000
        assert door.exposed(image.payload) >= now


# The broker's cable


@pytest.mark.parametrize("noticed", [False, True], ids=["for a moment", "until it is noticed"])
def test_with_the_brokers_cable_pulled_each_request_that_it_took_has_one_result(
    bridge: StartBridge,
    lay: Cables,
    board: AnyBoards,
    own_broker: Callable[..., Broker],
    client: Callable[..., Client],
    noticed: bool,
) -> None:
    cable, ledger = lay(), Ledger()
    cameras = {name: board(name, pace=ESP32) for name in ("cam0", "cam1")}
    with cable.far_end():  # who asks is there too, and sees nothing of what is done to the cable
        own = own_broker(extra=[f"listener {MQTT} {cable.far}", "max_queued_messages 0"])
        process = bridge(
            {name: old(made) for name, made in cameras.items()},
            on=own,
            mqtt={"host": cable.far, "port": MQTT, "keepalive": 5},
            start=False,
        )
        requester = client(on=own)
    process.start()

    def ask(count: int) -> None:
        for number in range(count):
            asked = Asked(f"r{len(ledger.asked)}", f"cam{number % 2}", time.monotonic_ns())
            ledger.ask(asked)
            requester.publish(
                f"{process.base_topic}/{asked.camera}/capture",
                {"id": asked.id, "save": False, "timeout": 10 + number},  # not to be joined
                response_topic="answers",
                correlation_data=asked.id.encode(),
            )
            asked.accepted = True

    ask(16)
    process.wait_for_log("captured", count=4)
    began = time.monotonic_ns()
    cable.pull()
    ask(16)
    process.wait_for_log("captured", count=16)  # what was taken goes nowhere yet
    if noticed:
        process.wait_for_log("the broker has been silent for", timeout=20)
    cable.plug_in()
    ledger.fault("broker's cable: pulled", began)
    process.wait_for_log("captured", count=32, timeout=30)
    ask(16)
    talk = Talk(requester, process.base_topic)
    for id_ in ledger.asked:
        talk.result(id_, timeout=30)
    requester.sync()
    assert ("connection lost" in process.log) == noticed
    verdict = ledger.judge(requester.messages())
    assert not verdict.wrong
    assert verdict.ok == verdict.asked == 48
