"""The bridge when things go wrong around it and when it ends: one result each, no wrong picture."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import AnyBoards, Boards, Clients, StartBridge, either, old
from tests.fakes import behaviours as b
from tests.fakes.board import OnCapture, OnConnect, stamp
from tests.fakes.broker import Broker
from tests.fakes.client import Version
from tests.fakes.link import Link
from tests.fakes.talk import Talk


@pytest.fixture
def cable(broker: Broker) -> Iterator[Link]:
    """A way to the shared broker that can be cut."""
    with ExitStack() as stack:
        yield stack.enter_context(Link(broker.port))


# Boards


WRONG: dict[str, tuple[OnCapture | OnConnect, str]] = {
    "truncated": (b.truncated, "bad_image"),
    "glued": (b.glued, "bad_image"),
    "huge": (b.huge(), "bad_image"),
    "cut": (b.cut(5_000), "camera_failed"),
    "reset": (b.reset(5_000), "camera_failed"),
    "close": (b.close(), "camera_failed"),
    "masked": (b.masked, "camera_failed"),
    "half": (b.half, "timeout"),
    "silent": (b.silent, "timeout"),
    "drip": (b.drip(), "timeout"),
    "text": (b.text(), "timeout"),
}


def test_whatever_a_board_does_each_request_has_one_result_and_no_wrong_picture(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    boards = {f"cam{number}": board(f"cam{number}") for number in range(len(WRONG))}
    bridge({name: old(there) for name, there in boards.items()}, capture={"retries": 0})
    for there, (behaviour, _) in zip(boards.values(), WRONG.values(), strict=True):
        there.script(behaviour)
    talk.ask({"id": "wrong", "timeout": 0.7}, "all")
    found = {name: talk.result("wrong", name)["error"] for name in boards}
    assert list(found.values()) == [code for _, code in WRONG.values()]
    talk.ask({"id": "right"}, "all")
    for name, there in boards.items():
        assert talk.result("right", name)["status"] == "ok"
        images = talk.messages("image", name)
        assert len(images) == 1
        assert stamp(images[0].payload)["asked_ns"] == there.asked[1].at_ns
        ids = Counter(m.json["id"] for m in talk.messages("result", name))
        assert ids == {"wrong": 1, "right": 1}


def test_a_dead_camera_delays_no_other(bridge: StartBridge, board: Boards, talk: Talk) -> None:
    dead = {name: board(name) for name in ("hangs", "refuses", "floods", "silent")}
    dead["refuses"].pause()
    dead["floods"].always(b.huge())
    dead["silent"].always(b.silent)
    door = board()
    cameras = {name: old(there, keep_open=name != "hangs") for name, there in dead.items()}
    bridge({"door": old(door), **cameras})
    talk.wait("availability")
    talk.wait("availability", "hangs")
    dead["hangs"].always(b.handshake_silent)
    for name in dead:
        talk.ask({"id": "dead", "timeout": 6}, name)
    seconds = 0.0
    for number in range(20):
        talk.ask({"id": f"{number}"})
        seconds += talk.result(f"{number}")["duration"]
    assert seconds < 5  # behind one of the dead it would be six for one alone
    assert not talk.messages("result", "silent")
    assert not talk.messages("result", "hangs")
    errors = {name: talk.result("dead", name)["error"] for name in dead}
    assert errors == {
        "hangs": "unreachable",
        "refuses": "unreachable",
        "floods": "bad_image",
        "silent": "timeout",
    }


def test_commands_for_a_dead_camera_do_not_keep_those_for_others_with_the_broker(
    bridge: StartBridge, board: Boards, talk: Talk, mqtt_version: Version
) -> None:
    door, dead = board(), board("dead")
    dead.always(b.silent)
    cameras = {"door": old(door), "dead": old(dead)}
    bridge(cameras, mqtt={"version": mqtt_version}, capture={"timeout": 3})
    for number in range(30):  # Mosquitto waits for acknowledgements after 20
        talk.ask({"id": f"{number}"}, "dead")
    talk.ask({"id": "a"})
    assert talk.result("a")["status"] == "ok"
    assert not talk.messages("result", "dead")


@either
def test_availability_follows_the_board(bridge: StartBridge, board: AnyBoards, talk: Talk) -> None:
    door = board()
    bridge({"door": old(door)})
    talk.wait("availability", where=lambda m: m.text == "online")
    door.pause()
    door.drop()
    talk.wait("availability", where=lambda m: m.text == "offline")
    talk.client.clear()
    door.resume()
    talk.wait("availability", where=lambda m: m.text == "online")
    assert door.captures == 0


def test_a_command_for_a_camera_that_is_away_makes_the_bridge_try_at_once(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    door.pause()
    process = bridge({"door": old(door)})
    talk.wait("availability", where=lambda m: m.text == "offline")
    process.wait_for_log("still not connected")
    process.wait_for_log("still not connected", count=2, timeout=20)
    door.resume()
    talk.ask({"id": "a"})
    result = talk.result("a")
    assert (result["status"], result["attempts"]) == ("ok", 1)
    assert result["duration"] < 0.5


def test_a_board_without_a_kept_connection_is_left_alone_between_pictures(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    bridge({"door": old(door, keep_open=False)})
    talk.wait("availability", where=lambda m: m.text == "online")
    door.wait_for_open(0)
    for id_ in ("a", "b"):
        talk.ask({"id": id_})
        assert talk.result(id_)["status"] == "ok"
        door.wait_for_open(0)
    assert door.connections == 3


def test_an_image_that_nobody_asked_for_is_not_published(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    bridge({"door": old(door)})
    talk.wait("availability")
    door.send_unasked()
    door.wait_for_connections(2)
    talk.ask({"id": "a"})
    assert talk.result("a")["status"] == "ok"
    assert [stamp(m.payload)["asked_ns"] for m in talk.messages("image")] == [door.asked[0].at_ns]


# The end of the bridge


def test_sigterm_answers_who_waits_and_says_offline(
    bridge: StartBridge, board: Boards, talk: Talk, client: Clients, mqtt_version: Version
) -> None:
    door, free = board(), threading.Event()
    process = bridge({"door": old(door)}, mqtt={"version": mqtt_version})
    door.script(b.late(free))
    talk.ask({"id": "now"})
    door.wait_for_asked(1)
    talk.ask({"id": "waits", "timeout": 11})
    talk.ask({"id": "burst", "count": 3})
    process.signal(signal.SIGTERM)
    assert talk.result("waits")["error"] == "shutting_down"
    assert (talk.result("burst")["error"], talk.result("burst")["index"]) == ("shutting_down", None)
    free.set()
    assert talk.result("now")["status"] == "ok"  # what is being taken is not thrown away
    assert process.wait() == 0
    late = client()
    assert late.wait(f"{talk.base}/bridge/state")[0].payload == b"offline"
    ids = Counter(m.json["id"] for m in talk.messages("result"))
    assert ids == {"now": 1, "waits": 1, "burst": 1}


def test_a_stop_does_not_wait_for_a_dead_board(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door, hangs = board(), board()
    hangs.always(b.handshake_silent)
    process = bridge({"door": old(door), "hangs": old(hangs)})
    door.always(b.silent)
    talk.ask({"id": "a"}, "all")
    door.wait_for_asked(1)
    assert process.end_in_time() == 0
    for name in ("door", "hangs"):
        assert talk.result("a", name)["error"] == "shutting_down"
        assert len(talk.messages("result", name)) == 1


def test_the_broker_says_offline_for_a_bridge_that_was_killed(
    bridge: StartBridge, board: Boards, talk: Talk, client: Clients, mqtt_version: Version
) -> None:
    process = bridge({"door": old(board())}, mqtt={"version": mqtt_version})
    process.kill()
    talk.wait("state", "bridge", lambda m: m.payload == b"offline")
    assert client().wait(f"{talk.base}/bridge/state")[0].retain


def test_a_command_in_the_works_when_the_bridge_is_killed_comes_again_and_is_answered(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    process = bridge({"door": old(door)}, mqtt={"version": "5"})
    door.script(b.silent)
    talk.ask({"id": "a"})
    door.wait_for_asked(1)
    talk.ask({"id": "b", "save": False})
    process.kill()
    assert not talk.messages("result")
    talk.ask({"id": "c", "quality": 99})  # while it is away
    process.start()
    assert talk.result("a")["status"] == "ok"
    assert talk.result("b")["status"] == "ok"
    assert talk.result("c")["error"] == "bad_request"
    assert Counter(r["id"] for r in talk.all_results()) == {"a": 1, "b": 1, "c": 1}


def test_what_was_answered_does_not_come_again_after_a_kill(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    process = bridge({"door": old(door)}, mqtt={"version": "5"})
    talk.ask({"id": "a"})
    talk.result("a")
    talk.ask({"id": "b"})  # behind whose result the first's acknowledgement is with the broker
    talk.result("b")
    door.wait_for_asked(2)
    process.kill()
    process.start()
    ids = Counter(r["id"] for r in talk.all_results())
    assert ids["a"] == 1


# The connection to the broker


def test_a_command_that_comes_twice_is_captured_once(
    bridge: StartBridge, board: Boards, talk: Talk, cable: Link, mqtt_version: Version
) -> None:
    door, free = board(), threading.Event()
    process = bridge({"door": old(door)}, mqtt={"port": cable.port, "version": mqtt_version})
    door.script(b.late(free))
    talk.ask({"id": "a"})
    door.wait_for_asked(1)
    cable.cut()
    process.wait_for_log("mqtt: connected", count=2)
    talk.ask({"id": "b", "save": False})
    free.set()
    assert talk.result("a")["status"] == "ok"
    assert talk.result("b")["status"] == "ok"
    assert Counter(r["id"] for r in talk.all_results()) == {"a": 1, "b": 1}
    assert len(door.asked) == 3


def test_an_id_that_is_sent_again_is_a_new_request(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    bridge({"door": old(door)})
    for number in (1, 2):
        talk.ask({"id": "same"})
        assert talk.results(number)[-1]["status"] == "ok"
    assert len(door.asked) == 2


def test_what_was_taken_while_the_broker_was_away_is_not_lost(
    bridge: StartBridge, board: Boards, talk: Talk, cable: Link
) -> None:
    door, free = board(), threading.Event()
    process = bridge({"door": old(door)}, mqtt={"port": cable.port})
    door.script(b.late(free))
    talk.ask({"id": "a"}, response_topic=f"{talk.base}/answer", correlation_data=b"7")
    door.wait_for_asked(1)
    cable.cut()
    free.set()
    process.wait_for_log("captured")
    assert talk.result("a")["status"] == "ok"
    answer = talk.client.wait(f"{talk.base}/answer")[0]
    assert answer.correlation_data == b"7"
    assert answer.payload == talk.wait("image").payload
    assert len(talk.all_results()) == 1


# A new configuration


def test_cameras_come_and_go_with_the_file(
    bridge: StartBridge, board: Boards, talk: Talk, client: Clients
) -> None:
    door, hall, yard = board("door"), board("hall"), board("yard")
    process = bridge({"door": old(door), "hall": old(hall)})
    for name in ("door", "hall"):
        talk.wait("availability", name)
        talk.ask({"id": "before"}, name)
        talk.result("before", name)
    assert isinstance(process.config, dict)
    config = {**process.config, "cameras": {"door": old(door), "yard": old(yard)}}
    process.reload({**config, "groups": {"outside": ["yard"]}})
    process.wait_for_log("configuration reloaded")
    talk.wait("availability", "yard", lambda m: m.text == "online")
    hall.wait_for_open(0)
    talk.wait("availability", "hall", lambda m: m.payload == b"")
    for name in ("door", "yard"):
        talk.ask({"id": "after"}, name)
        assert talk.result("after", name)["status"] == "ok"
    talk.ask({"id": "after"}, "hall")
    talk.ask({"id": "group"}, "outside")
    assert talk.result("group", "yard")["status"] == "ok"
    assert [r["id"] for r in talk.all_results("yard")] == ["after", "group"]
    assert len(hall.asked) == 1
    assert door.connections == 1  # it was not disturbed
    late = client()
    late.sync()
    kept = {m.topic.removeprefix(f"{talk.base}/") for m in late.messages() if m.retain}
    assert not {topic for topic in kept if topic.startswith("hall/")}
    assert {"door/state", "yard/state", "yard/settings"} <= kept
    info = [m.json for m in late.messages(f"{talk.base}/bridge/info")][-1]
    assert info["cameras"].keys() == {"door", "yard"}


def test_who_waits_for_a_camera_that_leaves_is_told(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door, hall, free = board(), board(), threading.Event()
    process = bridge({"door": old(door), "hall": old(hall)})
    hall.script(b.late(free))
    talk.ask({"id": "now"}, "hall")
    hall.wait_for_asked(1)
    talk.ask({"id": "waits", "save": False}, "hall")
    assert isinstance(process.config, dict)
    process.reload({**process.config, "cameras": {"door": old(door)}})
    assert talk.result("waits", "hall")["error"] == "shutting_down"
    free.set()
    assert talk.result("now", "hall")["status"] == "ok"
    assert Counter(m.json["id"] for m in talk.messages("result", "hall")) == {"now": 1, "waits": 1}


def test_a_broken_file_changes_nothing(bridge: StartBridge, board: Boards, talk: Talk) -> None:
    door = board()
    process = bridge({"door": old(door)})
    talk.wait("availability")
    for number, broken in enumerate(["cameras: {", "cameras: {Door: {url: 5}}", "[]", ""], 1):
        process.reload(broken)
        process.wait_for_log("not reloaded", count=number)
        talk.ask({"id": f"{number}"})
        assert talk.result(f"{number}")["status"] == "ok"
    assert door.connections == 1
    assert talk.messages("settings")
