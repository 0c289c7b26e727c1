"""The bridge edge to edge: a command goes in over MQTT, and what comes out is what was promised."""

import hashlib
import platform
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge import jpeg
from tests.conftest import AnyBoards, Boards, Clients, StartBridge, either, old
from tests.fakes import behaviours as b
from tests.fakes.board import FakeBoard
from tests.fakes.broker import Broker
from tests.fakes.client import Version
from tests.fakes.talk import Talk

RESULT = {
    *("id", "camera", "status", "error", "message", "trigger", "requested_at", "captured_at"),
    *("duration", "attempts", "bytes", "width", "height", "sha256", "path", "url", "saved"),
    *("joined", "index", "count"),
}
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


# A picture


COMMANDS: list[bytes | dict[str, Any]] = [
    b"",
    b"capture",
    b"PRESS",
    {},
    {"id": "a1"},
    {"id": "Größe/#+ $ \N{CAMERA}", "reply": "result"},
    {"id": "x" * 128, "save": True, "flash": False, "count": 1, "every": 0, "timeout": 5},
    b' {"id":\t"spaces"}\n',
]


@either
def test_every_form_of_a_command_brings_one_picture_of_now(
    bridge: StartBridge, board: AnyBoards, talk: Talk, mqtt_version: Version
) -> None:
    door = board()
    bridge({"door": old(door)}, mqtt={"version": mqtt_version})
    talk.wait("availability")
    for number, command in enumerate(COMMANDS, 1):
        asked = door.clock()
        talk.ask(command)
        result = talk.results(number)[-1]
        image = talk.messages("image")[number - 1]
        assert asked <= door.exposed(image.payload) <= door.clock()
        assert door.captures == number
        assert result.keys() == RESULT
        if isinstance(command, dict) and "id" in command:
            assert result["id"] == command["id"]
        assert result["status"] == "ok"
        assert result["bytes"] == len(image.payload)
        assert result["sha256"] == hashlib.sha256(image.payload).hexdigest()
        assert Path(result["path"]).is_absolute()
        assert Path(result["path"]).read_bytes() == image.payload
    results = talk.all_results()
    assert len(results) == len(COMMANDS)
    assert max(Counter(result["id"] for result in results).values()) == 1
    if isinstance(door, FakeBoard):
        assert door.connections == 1
    one = results[0]
    expected = {"camera": "door", "error": None, "message": None, "trigger": "mqtt", "attempts": 1}
    expected |= {"width": 640, "height": 480, "url": None, "saved": True, "joined": False}
    assert {key: one[key] for key in expected} == expected
    assert (one["index"], one["count"]) == (1, 1)
    assert ISO.fullmatch(one["requested_at"])
    assert ISO.fullmatch(one["captured_at"])
    assert one["requested_at"] <= one["captured_at"]
    assert 0 < one["duration"] < 5
    assert len(talk.messages("image")) == len(COMMANDS) + 1
    assert not talk.messages("path")


@either
def test_the_image_comes_first_then_the_path_then_the_result(
    bridge: StartBridge, board: AnyBoards, talk: Talk
) -> None:
    bridge({"door": old(board(), publish=["image", "path"])})
    talk.ask({"id": "a"})
    result = talk.result("a")
    state = talk.wait("state", where=lambda m: m.json["id"] == "a")
    names = [m.topic.rpartition("/")[2] for m in talk.client.messages(f"{talk.base}/door/+")]
    order = [name for name in names if name in ("image", "path", "result")]
    assert order == ["image", "path", "result"]
    assert talk.messages("path")[0].text == result["path"]
    assert state.at_ns >= talk.messages("result")[0].at_ns


@either
def test_a_picture_that_is_not_to_be_saved_is_not(
    bridge: StartBridge, board: AnyBoards, talk: Talk
) -> None:
    process = bridge({"door": old(board())})
    talk.ask({"id": "a", "save": False})
    result = talk.result("a")
    assert (result["saved"], result["path"], result["sha256"]) == (False, None, None)
    assert not list(process.directory.rglob("*.jpg"))
    assert talk.messages("image")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back")
def test_a_picture_is_put_where_the_one_before_was(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    process = bridge({"door": old(board(size=400_000))})
    faults = []
    for number in range(1, 12):
        talk.ask({"save": False})
        talk.results(number)
        faults.append(process.page_faults())
    assert faults[-1] - faults[0] < 98  # the pages of one picture, and here are ten


@either
def test_only_what_is_to_be_published_is(bridge: StartBridge, board: AnyBoards, talk: Talk) -> None:
    bridge(
        {
            "door": old(board(), publish=["path"]),
            "hall": old(board(), retain_image=False),
        }
    )
    talk.ask({"id": "a"}, "all")
    talk.result("a", "door")
    talk.result("a", "hall")
    assert not talk.messages("image", "door")
    assert talk.messages("path", "door")
    late = Talk(talk.client, talk.base)
    talk.client.clear()
    late.client.subscribe(f"{talk.base}/+/image")
    late.client.expect_none(f"{talk.base}/+/image")


@either
def test_a_group_is_asked_as_one_and_answers_for_each(
    bridge: StartBridge, board: AnyBoards, talk: Talk
) -> None:
    sizes = {"door": "VGA", "hall": "SVGA", "yard": "QVGA"}
    cameras = {name: board(name, framesize=size) for name, size in sizes.items()}
    bridge(
        {name: old(there) for name, there in cameras.items()}, groups={"outside": ["door", "yard"]}
    )
    talk.ask({"id": "some"}, "outside")
    talk.ask({"id": "every"}, "all")
    talk.ask(b"", "all")
    talk.ask({"quality": 0}, "all")
    for name in cameras:
        talk.result("every", name)
    results = {name: talk.all_results(name) for name in cameras}
    ids = {name: [r["id"] for r in results[name]] for name in cameras}
    own = set(ids["hall"]) - {"every"}
    assert len(own) == 2  # a command without an id has one of the bridge's, for all of them
    assert set(ids["door"]) == set(ids["yard"]) == {"every", "some"} | own
    assert [len(them) for them in ids.values()] == [4, 3, 4]
    widths = {name: talk.result("every", name)["width"] for name in cameras}
    assert widths == {"door": 640, "hall": 800, "yard": 320}
    for name in cameras:
        image = talk.messages("image", name)[0]
        assert jpeg.parse(image.payload).width == widths[name]


# More than one


@either
def test_a_burst_has_a_result_for_each_picture_and_lets_others_between(
    bridge: StartBridge, board: AnyBoards, talk: Talk
) -> None:
    door = board()
    bridge({"door": old(door)})
    talk.wait("availability")
    talk.ask({"id": "burst", "count": 3, "every": 1})
    door.wait_for_captures(1)
    talk.ask({"id": "other", "save": False})
    results = talk.results(4)
    assert [r["id"] for r in results] == ["burst", "other", "burst", "burst"]
    burst = [r for r in results if r["id"] == "burst"]
    assert [(r["index"], r["count"], r["status"]) for r in burst] == [
        (n, 3, "ok") for n in (1, 2, 3)
    ]
    assert len({r["path"] for r in burst}) == 3
    first, _, second, third = (door.exposed(m.payload) for m in talk.messages("image"))
    # asked for every 1000 ms; a picture begins with one of the camera's frames, 15 a second
    assert min(second - first, third - second) > 800
    assert third - first < 3_800  # 4,000 were twice the time
    assert len(talk.all_results()) == 4


def test_a_burst_goes_on_after_a_picture_that_failed(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    bridge({"door": old(door)}, capture={"retries": 0})
    door.script(b.normal, b.truncated)
    talk.ask({"id": "burst", "count": 3})
    outcome = [(r["index"], r["error"]) for r in talk.results(3)]
    assert outcome == [(1, None), (2, "bad_image"), (3, None)]


def test_the_state_has_the_duration_of_a_bursts_last_picture_and_not_of_all(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    bridge({"door": old(board())})
    talk.ask({"count": 2, "every": 0.2})
    last = talk.results(2)[-1]
    state = talk.wait("state", where=lambda m: m.json["captures"] == 2).json
    assert (state["id"], state["duration"]) == (last["id"], last["duration"])


def test_a_burst_that_is_wrong_has_one_result_without_an_index(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    bridge({"door": old(board())})
    for command in ({"quality": 99}, {"colour": "red"}, {"id": ""}):
        talk.ask({"count": 5, **command})
    talk.ask({"count": 51})
    results = talk.all_results()
    assert [(r["error"], r["index"], r["count"]) for r in results] == [
        *[("bad_request", None, 5)] * 3,
        ("bad_request", None, 51),
    ]


def test_requests_that_are_equal_share_one_capture_taken_after_all_of_them(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door, free = board(), threading.Event()
    bridge({"door": old(door)})
    door.script(b.late(free))
    talk.ask({"id": "first"})
    door.wait_for_asked(1)
    for id_ in ("a", "b", "c"):
        talk.ask({"id": id_, "reply": "result"} if id_ == "b" else {"id": id_})
    talk.ask({"id": "different", "save": False})
    free.set()
    results = {r["id"]: r for r in talk.results(5)}
    assert {id_: r["joined"] for id_, r in results.items()} == {
        "first": False,
        "a": False,
        "b": True,
        "c": True,
        "different": False,
    }
    assert results["a"]["path"] == results["b"]["path"] == results["c"]["path"]
    assert len(door.asked) == len(talk.messages("image")) == 3
    assert len(talk.all_results()) == 5


def test_what_does_not_fit_into_the_queue_is_busy(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door, free = board(), threading.Event()
    bridge({"door": old(door)}, capture={"queue": 2, "timeout": 20})
    door.script(b.late(free))
    talk.ask({"id": "now"})
    door.wait_for_asked(1)
    talk.ask({"id": "w1", "timeout": 11})
    talk.ask({"id": "w2", "timeout": 12})
    talk.ask({"id": "too many", "timeout": 13})
    talk.ask({"id": "burst", "count": 5})
    for number in range(101):
        talk.ask({"id": f"join{number}", "timeout": 11}, qos=1 if number == 100 else 0)
    refused = [talk.result(id_) for id_ in ("too many", "burst", "join100")]
    assert [r["error"] for r in refused] == ["busy"] * 3
    assert [r["index"] for r in refused] == [1, None, 1]
    assert all(r["message"] and r["attempts"] == 0 for r in refused)
    free.set()
    assert talk.result("w2")["status"] == "ok"
    results = talk.all_results()
    assert len(results) == 3 + 2 + 101
    assert sum(r["error"] == "busy" for r in results) == 3
    assert len(door.asked) == 4


def test_what_waits_too_long_expires(bridge: StartBridge, board: Boards, talk: Talk) -> None:
    door, free = board(), threading.Event()
    bridge({"door": old(door)}, capture={"max_age": 1})
    door.script(b.late(free))
    talk.ask({"id": "now"})
    door.wait_for_asked(1)
    talk.ask({"id": "waits"})
    result = talk.result("waits")
    assert result["error"] == "expired"
    assert 0.9 < result["duration"] < 5
    free.set()
    assert talk.result("now")["status"] == "ok"
    assert len(door.asked) == 1


@either
def test_a_camera_takes_pictures_of_its_own_accord(
    bridge: StartBridge, board: AnyBoards, talk: Talk
) -> None:
    began = time.monotonic()
    bridge({"door": old(board(), interval=1)})
    results = talk.results(3)
    assert {(r["trigger"], r["status"]) for r in results} == {("interval", "ok")}
    assert time.monotonic() - began >= 2  # whoever is late keeps to the beat: nobody is early
    talk.ask({"interval": 0}, to="set")
    talk.wait("settings", where=lambda m: m.json["interval"] == 0)


# What can't be


BAD: list[tuple[bytes | dict[str, Any], str, str | None]] = [
    (b"snap", "capture", None),
    (b"[]", "", None),
    (b"{", "", None),
    (b"\xff\xfe", "", None),
    ({"idd": "a"}, "idd", None),
    ({"id": "k1", "colour": 1}, "colour", "k1"),
    ({"id": 7}, "id", None),
    ({"id": ""}, "id", None),
    ({"id": "x" * 129}, "id", None),
    ({"id": "line\nbreak"}, "id", None),
    ({"id": "k2", "count": 51}, "count", "k2"),
    ({"id": "k3", "count": "3"}, "count", "k3"),
    ({"id": "k4", "quality": 3}, "quality", "k4"),
    ({"id": "k5", "save": "yes"}, "save", "k5"),
    ({"id": "k6", "timeout": 0}, "timeout", "k6"),
    ({"id": "k7", "timeout": True}, "timeout", "k7"),
    ({"id": "k8", "reply": "fax"}, "reply", "k8"),
    ({"id": "k9", "reply": "path", "save": False}, "reply", "k9"),
    (b'{"id": "k10", "every": NaN}', "", None),
    (b"x" * 100_000, "", None),
]


@either
def test_a_command_that_is_wrong_is_refused_and_says_why(
    bridge: StartBridge, board: AnyBoards, talk: Talk
) -> None:
    door = board()
    bridge({"door": old(door)})
    for number, (command, key, id_) in enumerate(BAD, 1):
        talk.ask(command)
        result = talk.results(number)[-1]
        assert (result["status"], result["error"]) == ("error", "bad_request"), command
        assert result.keys() == RESULT
        assert key in result["message"], command
        assert id_ is None or result["id"] == id_
        assert 0 < len(result["id"]) <= 128
        assert len(result["message"]) < 500
    assert door.captures == 0
    assert len(talk.all_results()) == len(BAD)


def test_each_failure_has_its_own_name(bridge: StartBridge, board: Boards, talk: Talk) -> None:
    door, gone, keyed, wrong = board(), board(), board(wire="v1", key="right"), board(wire="v1")
    gone.pause()
    bridge(
        {
            "door": old(door),
            "gone": gone,
            "keyed": {"url": keyed.url, "protocol": "v1", "key": "wrong"},
            "wrong": {"url": wrong.url, "protocol": "v1"},
        },
        capture={"retries": 0},
    )
    door.always(b.silent)
    wrong.always(b.error("camera_failed"))
    talk.ask({"id": "silent", "timeout": 0.3})
    assert talk.result("silent")["error"] == "timeout"
    door.always(b.not_a_jpeg)
    talk.ask({"id": "no jpeg"})
    assert talk.result("no jpeg")["error"] == "bad_image"
    talk.ask({"id": "flash", "flash": True})
    assert talk.result("flash")["error"] == "unsupported"
    talk.ask({"id": "gone"}, "gone")
    assert talk.result("gone")["error"] == "unreachable"
    talk.ask({"id": "keyed"}, "keyed")
    assert talk.result("keyed")["error"] == "unauthorized"
    talk.ask({"id": "failed"}, "wrong")
    failed = talk.result("failed")
    assert (failed["error"], failed["bytes"], failed["path"]) == ("camera_failed", None, None)
    assert not talk.client.messages(f"{talk.base}/+/image")
    state = talk.wait("state", "wrong", lambda m: m.json["error"] == "camera_failed").json
    assert state["captured_at"] is None
    assert talk.wait("availability", "gone").text == "offline"


def test_the_log_takes_what_a_board_cannot_do_for_no_failure_of_its(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    process = bridge({"door": old(door)}, capture={"retries": 0})
    talk.ask({"quality": 9})
    talk.ask(b"")
    process.wait_for_log("INFO +camera door: captured")
    assert "again" not in process.log
    door.script(b.not_a_jpeg)
    talk.ask({"quality": 9})
    talk.ask(b"")
    process.wait_for_log("WARNING +camera door: bad_image")
    talk.ask(b"")
    process.wait_for_log("INFO +camera door: takes pictures again")


@either
def test_no_path_is_a_failure_only_where_the_path_was_wanted(
    bridge: StartBridge, board: AnyBoards, talk: Talk
) -> None:
    door = board()
    process = bridge({"door": old(door)}, start=False)
    (process.directory / "captures").write_text("in the way")
    process.start()
    talk.ask({"id": "image"})
    result = talk.result("image")
    assert (result["status"], result["saved"]) == ("ok", False)
    assert result["message"]
    talk.ask({"id": "path", "reply": "path"})
    result = talk.result("path")
    assert (result["error"], result["path"]) == ("storage_failed", None)
    assert len(talk.all_results()) == 2


@either
def test_where_nothing_is_kept_a_path_is_refused_at_once(
    bridge: StartBridge, board: AnyBoards, talk: Talk
) -> None:
    door = board()
    bridge({"door": old(door)}, storage={"path": None})
    talk.ask({"id": "path", "reply": "path"})
    assert talk.result("path")["error"] == "storage_failed"
    assert door.captures == 0
    talk.ask({"id": "image"})
    result = talk.result("image")
    assert (result["status"], result["saved"], result["message"]) == ("ok", False, None)


def test_where_nothing_is_kept_to_save_is_not_silently_ignored(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    bridge({"door": old(board())}, storage={"path": None})
    talk.ask({"id": "one", "save": True})
    result = talk.result("one")
    assert (result["status"], result["saved"]) == ("ok", False)
    assert "storage.path" in result["message"]
    talk.ask({"id": "all", "save": True, "interval": 60}, to="set")
    assert talk.result("all")["error"] == "storage_failed"
    assert talk.messages("settings")[-1].json["interval"] == 0


# Settings, and what the bridge says of itself


def test_a_v1_boards_settings_are_changed_told_and_refused(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board(wire="v1")
    bridge({"door": {"url": door.url, "protocol": "v1"}})
    talk.wait("settings", where=lambda m: m.json["framesize"] == "VGA")
    talk.ask({"framesize": "SVGA", "save": False}, to="set")
    settings = talk.wait("settings", where=lambda m: m.json["framesize"] == "SVGA")
    assert settings.json["save"] is False
    assert settings.retain is False  # as a live message; that it is kept is another test's
    talk.ask({"id": "a"})
    assert (talk.result("a")["width"], talk.result("a")["saved"]) == (800, False)
    talk.ask({"id": "r1", "colour": "red"}, to="set")
    refused = talk.result("r1")
    assert (refused["error"], refused["trigger"]) == ("bad_request", "set")
    assert "colour" in refused["message"]
    talk.ask({"id": "r2", "now": True}, to="restart")
    assert (talk.result("r2")["error"], talk.result("r2")["trigger"]) == ("bad_request", "restart")
    talk.ask(b"", to="restart")
    door.wait_for(lambda board: board.restarts == 1)
    door.wait_for_connections(2)
    talk.ask({"id": "b"})
    assert talk.result("b")["status"] == "ok"
    state = talk.wait("state", where=lambda m: m.json["firmware"] and m.json["rssi"]).json
    assert (state["protocol"], state["board"], state["rssi"]) == (1, "ai-thinker", -61)
    assert [r["id"] for r in talk.all_results()] == ["a", "r1", "r2", "b"]


@either
def test_an_old_board_has_our_settings_and_no_others(
    bridge: StartBridge, board: AnyBoards, talk: Talk
) -> None:
    bridge({"door": old(board())})
    settings = talk.wait("settings").json
    assert settings == {
        **dict.fromkeys(("flash", "flash_level", "framesize", "quality", "vflip", "hmirror")),
        "interval": 0,
        "save": True,
    }
    talk.ask({"id": "s", "flash": True}, to="set")
    assert talk.result("s")["error"] == "unsupported"
    talk.ask({"id": "r"}, to="restart")
    assert talk.result("r")["error"] == "unsupported"
    talk.ask({"save": False}, to="set")
    talk.wait("settings", where=lambda m: m.json["save"] is False)
    talk.ask({"id": "a"})
    assert talk.result("a")["saved"] is False
    talk.ask({"id": "b", "save": True})
    assert talk.result("b")["saved"] is True


@either
def test_the_state_is_told_at_most_once_a_second_and_has_every_key(
    bridge: StartBridge, board: AnyBoards, talk: Talk
) -> None:
    bridge({"door": old(board())})
    first = talk.wait("state").json
    for number in range(10):
        talk.ask({"id": f"{number}"})
        talk.result(f"{number}")
    last = talk.wait("state", where=lambda m: m.json["id"] == "9")
    assert last.json.keys() == first.keys()
    assert last.json["captures"] == 10
    stamps = [m.at_ns for m in talk.messages("state")]
    assert len(stamps) <= 1 + (stamps[-1] - stamps[0]) / 0.9e9


def test_neither_messages_nor_the_log_hold_secrets_or_pictures(
    bridge: StartBridge, board: Boards, client: Clients, own_broker: Callable[..., Broker]
) -> None:
    own = own_broker(users={"bridge": "mqtt-sesame"})
    talk = Talk(client(on=own), "ours")
    door, hall = board(wire="v1", key="key-sesame"), board()
    process = bridge(
        {
            "door": {"url": door.url, "protocol": "v1", "key": "key-sesame", "area": "Hall"},
            "hall": old(hall, username="me", password="board-sesame"),
        },
        on=own,
        mqtt={"base_topic": "ours", "username": "bridge", "password": "mqtt-sesame"},
        capture={"timeout": 1},
        groups={"some": ["door"]},
        start=False,
    )
    process.base_topic = "ours"
    process.start(wait=False)
    talk.client.wait("ours/bridge/state", lambda m: m.payload == b"online")
    hall.script(b.not_a_jpeg, b.text("\x1b[31mred\n2026 forged"))
    talk.ask({"id": "\u202ebidi"}, "all")
    talk.result("\u202ebidi", "door")
    talk.result("\u202ebidi", "hall")
    info = talk.wait("info", "bridge").json
    assert info["cameras"]["door"] == {"name": info["cameras"]["door"]["name"], "area": "Hall"}
    assert info["groups"] == {"some": ["door"]}
    assert Path(info["storage"]) == process.directory / "captures"
    health = talk.wait("health", "bridge").json
    assert health["cameras"] == 2
    assert health["memory"] > 1_000_000
    talk.client.sync()
    told = [m.payload for m in talk.client.messages() if not m.topic.endswith("/image")]
    assert b"sesame" not in b"".join(told)
    assert process.stop() == 0
    assert "sesame" not in process.log
    assert "JFIF" not in process.log
    assert r"\xff\xd8" not in process.log
    assert max(map(len, process.lines)) < 500
    assert not re.search("[\x00-\x1f\x7f-\x9f]", "".join(process.lines))
