"""The bridge with the firmware at its other end: what only a board with v1 can show.

The rest of the bridge's tests that script no misbehaviour run with the firmware too: `either`.
"""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from bridge import jpeg
from tests.conftest import StartBridge
from tests.fakes.client import Version
from tests.fakes.simulator import SimulatedBoard
from tests.fakes.talk import Talk
from tests.fakes.wire import connected, page, stamp, talking

Boards = Callable[..., SimulatedBoard]

pytestmark = pytest.mark.parametrize("board", ["firmware"], indirect=True)


def taken(talk: Talk, door: SimulatedBoard, **command: Any) -> tuple[dict[str, Any], bytes]:
    """A picture that was exposed after its command was published: its result, and itself."""
    seen, published = len(talk.messages("image")), door.clock()
    talk.ask({"id": f"n{seen}", **command})
    result = talk.result(f"n{seen}")
    assert result["status"] == "ok", result
    image = talk.messages("image")[seen].payload
    assert published <= door.exposed(image) <= door.clock()
    return result, image


@pytest.mark.parametrize("protocol", ["auto", "v1", "legacy"])
def test_a_picture_is_of_now_through_the_whole_bridge(
    bridge: StartBridge, board: Boards, talk: Talk, protocol: str, mqtt_version: Version
) -> None:
    door = board()
    bridge({"door": {"url": door.url, "protocol": protocol}}, mqtt={"version": mqtt_version})
    for _ in range(3):
        taken(talk, door)
    door.tell("advance 12")
    taken(talk, door)


def test_flash_frame_size_and_quality_are_for_one_picture(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    bridge({"door": door})
    talk.wait("availability", where=lambda m: m.text == "online")
    result, lit = taken(talk, door, flash=True)
    assert stamp(lit).flash
    assert door.state()["led"] == 0
    result, large = taken(talk, door, framesize="SXGA", quality=30)
    assert (result["width"], result["height"]) == (1280, 1024)
    assert jpeg.parse(large).width == 1280
    _, fine = taken(talk, door, framesize="SXGA", quality=10)
    assert len(large) < len(fine)
    result, usual = taken(talk, door)
    assert (result["width"], result["height"]) == (640, 480)
    assert not stamp(usual).flash


def test_a_frame_size_that_the_camera_has_not_is_unsupported(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board(no_psram=True, framesize="QVGA")
    bridge({"door": door})
    taken(talk, door)
    talk.ask({"id": "huge", "framesize": "UXGA"})
    assert talk.result("huge")["error"] == "unsupported"
    taken(talk, door)


def test_settings_hold_and_a_restart_is_survived(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    bridge({"door": door})
    talk.wait("settings", where=lambda m: m.json["framesize"] == "VGA")
    wanted = {"framesize": "SVGA", "quality": 20, "flash": True, "flash_level": 30, "vflip": True}
    talk.ask(wanted, to="set")
    told = talk.wait("settings", where=lambda m: m.json["framesize"] == "SVGA").json
    assert told == told | wanted
    result, lit = taken(talk, door)
    assert result["width"] == 800
    assert stamp(lit).flash
    talk.ask(b"", to="restart")
    door.wait_for_start(2)
    talk.ask({"id": "after"})
    assert talk.result("after", timeout=20)["status"] == "ok"
    state = talk.wait("state", where=lambda m: m.json["reset_reason"] == "software").json
    assert state["protocol"] == 1


def test_the_boards_health_is_in_the_state(bridge: StartBridge, board: Boards, talk: Talk) -> None:
    door = board()
    bridge({"door": door})
    taken(talk, door)
    state = talk.wait("state", where=lambda m: m.json["rssi"] and m.json["captured_at"]).json
    with talking(door.url) as v1:
        assert state["firmware"] == v1.hello["firmware"]
        assert state["board"] == v1.hello["board"]
        status = v1.ask("status")
    assert -90 < state["rssi"] < -30
    assert 0 <= state["uptime"] <= status["uptime_ms"] / 1000
    assert state["reset_reason"] == "power_on"


@pytest.mark.parametrize(
    ("key", "error"), [("schlüssel", None), ("wrong", "unauthorized"), (None, "unauthorized")]
)
def test_the_key_decides(
    bridge: StartBridge, board: Boards, talk: Talk, key: str | None, error: str | None
) -> None:
    door = board(key="schlüssel")
    section: dict[str, Any] = {"url": door.url, "protocol": "v1"}
    process = bridge({"door": section | ({} if key is None else {"key": key})})
    talk.ask({"id": "a", "timeout": 5})
    assert talk.result("a")["error"] == error
    assert "schlüssel" not in process.log


def test_an_old_bridges_connection_to_a_board_with_a_key_is_unauthorized(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board(key="schlüssel")
    bridge({"door": {"url": door.url, "protocol": "legacy"}})
    talk.ask({"id": "a", "timeout": 5})
    assert talk.result("a")["error"] == "unauthorized"


@pytest.mark.parametrize(
    ("knob", "error"),
    [
        ("fail forever null 500", "camera_failed"),
        ("fail forever stale", "camera_failed"),
        ("fail forever noeoi", "camera_failed"),
        ("heap 15000 4000", "camera_failed"),
    ],
)
def test_a_fault_of_the_board_is_a_named_error_within_the_deadline(
    bridge: StartBridge, board: Boards, talk: Talk, knob: str, error: str
) -> None:
    door = board()
    bridge({"door": door}, capture={"timeout": 12, "retries": 0})
    taken(talk, door)
    door.tell(knob)
    talk.ask({"id": "fails"})
    result = talk.result("fails", timeout=20)
    assert result["error"] == error
    assert result["message"]
    assert result["duration"] < 12
    door.tell("fail 0")
    door.tell("heap 180000 110000")
    taken(talk, door)


def test_a_camera_that_fails_once_is_asked_again(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board(no_camera=True)
    process = bridge({"door": door}, capture={"timeout": 20, "retries": 5})
    talk.ask({"id": "a"})
    process.wait_for_log("camera_failed")
    door.tell("camera on")
    result = talk.result("a", timeout=25)
    assert (result["status"], result["attempts"] > 1) == ("ok", True)


def test_a_client_that_has_stopped_reading_does_not_keep_the_bridge_from_its_picture(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board(framesize="UXGA", quality=8)
    bridge({"door": door}, capture={"retries": 0})
    taken(talk, door)
    small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
    with connected(door.url, sockopt=small) as stuck:
        stuck.send("capture")
        door.wait_for_captures(2)
        result, _ = taken(talk, door)
        assert result["attempts"] == 1


def test_strangers_do_not_keep_the_bridge_out(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    address = urlsplit(door.url)
    with ExitStack() as stack:
        for number in range(10):
            sock = socket.create_connection((address.hostname, address.port), timeout=10)
            stack.enter_context(sock)
            sock.sendall(b"GET / HT" if number % 2 else b"")
        bridge({"door": door})
        taken(talk, door)


def test_a_wifi_that_goes_in_the_middle_of_a_picture_leaves_no_request_without_a_result(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board(framesize="UXGA", link_rate=20_000)  # some seconds for a picture
    bridge({"door": door}, capture={"timeout": 6, "retries": 0})
    talk.wait("availability", where=lambda m: m.text == "online")
    talk.ask({"id": "cut off"})
    door.wait_for_captures(1)
    door.tell("wifi down")
    assert talk.result("cut off")["error"] in ("camera_failed", "timeout")
    talk.ask({"id": "away"})
    assert talk.result("away")["error"] in ("unreachable", "timeout")
    assert not talk.messages("image")
    door.tell("wifi up")
    door.tell("link-rate 1000000")
    talk.wait("availability", where=lambda m: m.text == "offline")
    talk.client.clear()
    talk.wait("availability", where=lambda m: m.text == "online")
    taken(talk, door)


def test_a_setting_that_the_page_changed_is_told_by_the_bridge(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board(password="correct horse")
    assert (
        page(
            door.http_url, "POST", "/settings", {"framesize": "SVGA"}, password="correct horse"
        ).status
        == 200
    )
    bridge({"door": door})
    talk.wait("settings", where=lambda m: m.json["framesize"] == "SVGA")
    assert taken(talk, door)[0]["width"] == 800
