"""A real broker with limits, that forgets, or that stands still: each request keeps its one result.

What a broker tells at once (`max_packet_size`) and a plain restart are in `test_bridge_mqtt`.
"""

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Boards, Brokers, Clients, StartBridge, old
from tests.fakes import behaviours as b
from tests.fakes.board import ESP32, stamp
from tests.fakes.broker import Broker
from tests.fakes.client import Version
from tests.fakes.link import Link
from tests.fakes.talk import Talk
from tests.faults.ledger import Asked, Ledger

PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"


@pytest.fixture
def link() -> Iterator[Callable[[Broker], Link]]:
    """``link(broker)``: the bridge's own way there, to be closed while others go theirs."""
    with ExitStack() as stack:
        yield lambda broker: stack.enter_context(Link(broker.port))


# Sizes


def test_an_image_as_large_as_the_broker_takes_is_sent_and_a_byte_more_is_not(
    bridge: StartBridge, board: Boards, client: Clients, own_broker: Brokers
) -> None:
    own = own_broker(max_packet_size=50_000)
    door = board()
    process = bridge({"door": old(door)}, on=own)
    talk = Talk(client(on=own), process.base_topic)
    topic = talk.topic("door", "image")
    around = 1 + 3 + 2 + len(topic) + 2 + 1 + 3 + len("image/jpeg")  # MQTT 5.0, section 3.3
    sizes = range(50_000 - around - 3, 50_000 - around + 3)
    errors = {}
    for size in sizes:
        door.script(b.sized(size))
        talk.ask({"id": f"{size}", "save": False})
        errors[size] = talk.result(f"{size}")["error"]
    assert list(errors.values()) in (
        [None] * 4 + ["too_large"] * 2,
        [None] * 3 + ["too_large"] * 3,  # a length may be counted as a byte longer than it is
    )
    assert [len(m.payload) for m in talk.messages("image")] == [
        size for size, error in errors.items() if error is None
    ]
    assert "connection lost" not in process.log


def test_an_image_that_the_broker_refuses_only_when_it_has_it_is_named_too_large(
    bridge: StartBridge, board: Boards, client: Clients, own_broker: Brokers
) -> None:
    own = own_broker(message_size_limit=20_000)
    door = board(size=50_000)
    process = bridge({"door": old(door)}, on=own, mqtt={"version": "5"})
    talk = Talk(client(on=own, subscribe=[f"{process.base_topic}/#"]), process.base_topic)
    topic = talk.topic("door", "capture")
    answer = talk.client.request(topic, {"id": "first", "save": False})
    assert answer.json["error"] == "too_large"
    for id_, size in (("again", 50_000), ("larger", 60_000)):  # and from now on it is known
        door.script(b.sized(size))
        talk.ask({"id": id_})
        result = talk.result(id_)
        assert (result["status"], result["error"]) == ("error", "too_large")
        assert f"{size} bytes; the broker has refused 50000" in result["message"]
        assert Path(result["path"]).stat().st_size == size
    door.script(b.sized(15_000))
    assert talk.client.request(topic, {"id": "small"}).content_type == "image/jpeg"
    assert [len(m.payload) for m in talk.messages("image")] == [15_000]
    ids = Counter(r["id"] for r in talk.all_results())
    assert ids == {"first": 1, "again": 1, "larger": 1, "small": 1}
    assert len(talk.client.messages(f"reply/{talk.client.id}")) == 2


# Numbers


@pytest.mark.parametrize(
    "limit",
    [
        "max_inflight_messages 1",
        "max_inflight_messages 0",
        "max_queued_messages 1",
    ],
)
def test_however_little_the_broker_takes_at_a_time_all_comes_and_in_order(
    bridge: StartBridge,
    board: Boards,
    client: Clients,
    own_broker: Brokers,
    mqtt_version: Version,
    limit: str,
) -> None:
    own = own_broker(extra=[limit])
    names = ("door", "hall")
    process = bridge(
        {name: old(board(name)) for name in names}, on=own, mqtt={"version": mqtt_version}
    )
    talk = Talk(client(on=own), process.base_topic)
    for name in names:
        talk.ask({"id": name, "count": 20}, name)
    talk.client.wait(talk.topic("+", "result"), lambda m: m.json["status"] == "ok", count=40)
    for name in names:
        kinds = [
            m.topic.rpartition("/")[2]
            for m in talk.client.messages(f"{talk.base}/{name}/+")
            if m.topic.endswith(("/image", "/result"))
        ]
        assert kinds == ["image", "result"] * 20
        assert [stamp(m.payload)["seq"] for m in talk.messages("image", name)] == [*range(1, 21)]
    assert "connection lost" not in process.log


def test_a_dead_camera_takes_no_other_ones_place_at_a_broker_that_gives_one(
    bridge: StartBridge,
    board: Boards,
    client: Clients,
    own_broker: Brokers,
    mqtt_version: Version,
) -> None:
    own = own_broker(extra=["max_inflight_messages 1"])
    dead, door = board("dead"), board("door")
    dead.always(b.silent)
    process = bridge({"dead": old(dead), "door": old(door)}, on=own, mqtt={"version": mqtt_version})
    talk = Talk(client(on=own), process.base_topic)
    talk.ask({"id": "dead", "timeout": 3}, "dead")
    dead.wait_for_asked(1)
    for number in range(5):
        talk.ask({"id": f"{number}"})
        assert talk.result(f"{number}")["status"] == "ok"
    assert not talk.messages("result", "dead")
    assert talk.result("dead", "dead")["error"] == "timeout"


# Memory


@pytest.mark.parametrize("memory", [True, False], ids=["with a memory", "without"])
def test_what_is_in_the_works_when_the_broker_is_killed_is_answered_once(
    bridge: StartBridge,
    board: Boards,
    client: Clients,
    own_broker: Brokers,
    link: Callable[[Broker], Link],
    mqtt_version: Version,
    memory: bool,
) -> None:
    own = own_broker(persistence=memory)
    door, free = board(), threading.Event()
    with link(own) as way:
        process = bridge(
            {"door": old(door)}, on=own, mqtt={"port": way.port, "version": mqtt_version}
        )
        talk = Talk(client(on=own), process.base_topic)
        door.script(b.late(free))
        talk.ask({"id": "a"}, response_topic="answer", correlation_data=b"7")
        door.wait_for_asked(1)
        talk.ask({"id": "waits", "save": False})
        way.refuse()
        own.kill()
        free.set()
        process.wait_for_log("captured", count=2)
        own.start()
        talk.client.sync()  # who asked is there before the results are
        way.resume()
        for id_ in ("a", "waits"):
            assert talk.result(id_, timeout=20)["status"] == "ok"
        if mqtt_version == "5":
            answer = talk.client.wait("answer")[0]
            assert (answer.correlation_data, stamp(answer.payload)["seq"]) == (b"7", 1)
        for name in ("availability", "settings", "state"):
            talk.wait(name)
        assert Counter(r["id"] for r in talk.all_results()) == {"a": 1, "waits": 1}
        assert len(door.asked) == 3


def test_a_broker_that_is_killed_and_falls_back_to_an_older_memory_is_answered_anew(
    bridge: StartBridge,
    board: Boards,
    client: Clients,
    own_broker: Brokers,
    link: Callable[[Broker], Link],
) -> None:
    own = own_broker(persistence=True)
    door, free = board(), threading.Event()
    with link(own) as way:
        process = bridge({"door": old(door)}, on=own, mqtt={"port": way.port, "version": "5"})
        talk = Talk(client(on=own), process.base_topic)
        door.script(b.late(free))
        talk.ask({"id": "a"})
        door.wait_for_asked(1)
        own.signal(signal.SIGUSR1)
        own.wait_for_log("Saving in-memory database")
        free.set()
        assert talk.result("a")["status"] == "ok"
        talk.ask({"id": "b"})  # behind whose result the first's acknowledgement is with the broker
        talk.result("b")
        way.refuse()
        own.kill()
        talk.client.clear()
        own.start()
        talk.client.sync()
        now = door.clock()
        way.resume()
        assert talk.result("a", timeout=20)["status"] == "ok"
        assert door.exposed(talk.wait("image").payload) >= now
        assert [r["id"] for r in talk.all_results()] == ["a"]
        assert process.alive


# Standing still


def test_a_broker_that_stands_still_is_noticed_and_nothing_is_lost(
    bridge: StartBridge, board: Boards, client: Clients, own_broker: Brokers
) -> None:
    own, ledger = own_broker(), Ledger()
    names = ("cam0", "cam1")
    process = bridge(
        {name: old(board(name, pace=ESP32)) for name in names},
        on=own,
        mqtt={"keepalive": 5, "version": "5"},
    )
    talk = Talk(client(on=own), process.base_topic)
    for number in range(16):
        asked = Asked(f"r{number}", names[number % 2], time.monotonic_ns(), accepted=True)
        ledger.ask(asked)
        talk.ask(
            {"id": asked.id, "save": False, "timeout": 10 + number},  # not to be joined
            asked.camera,
            response_topic="answers",
            correlation_data=asked.id.encode(),
        )
    process.wait_for_log("captured", count=4)
    began = time.monotonic_ns()
    own.freeze()
    process.wait_for_log("captured", count=16)
    process.wait_for_log("mqtt: connection lost .*the broker has been silent for", timeout=20)
    own.thaw()
    ledger.fault("broker: frozen", began)
    process.wait_for_log("mqtt: connected", count=2, timeout=30)
    for id_ in ledger.asked:
        talk.result(id_, timeout=20)
    talk.client.sync()
    verdict = ledger.judge(talk.client.messages())
    assert not verdict.wrong
    assert (verdict.ok, verdict.answered) == (16, 16)


@pytest.mark.parametrize("seconds", [10, 0])
def test_a_broker_that_wants_fewer_pings_is_not_given_up_for_its_silence(
    bridge: StartBridge, board: Boards, seconds: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = bridge(
            {"door": old(board(), interval=10, publish=["path"])},
            mqtt={"port": listener.getsockname()[1], "version": "5", "keepalive": 5},
            strain=("pace=3",),
            start=False,
        )
        process.start(wait=False)
        listener.settimeout(20)
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(20)
            connack = b"\x20\x06\x00\x00\x03\x13" + seconds.to_bytes(2)  # Server Keep Alive
            sock.sendall(connack)
            heard = b""
            while heard.count(b"door/result") < 3:  # it was quiet for long enough, twice
                heard += (more := sock.recv(65_536))
                assert more, f"it hung up:\n{process.log}"
                if more.endswith(PINGREQ):
                    sock.sendall(PINGRESP)
        assert (PINGREQ in heard) == (seconds > 0)
