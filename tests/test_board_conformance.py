"""What every board says on the wire, and nothing else: ours in Python, the firmware, the sketch.

The original sketch is held against the legacy half alone: it has no other.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol, cast

import pytest
import websocket
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge import protocol
from bridge.capture import Options
from tests.fakes import boards
from tests.fakes.boards import AnyBoard
from tests.fakes.wire import (
    TIMEOUT,
    connected,
    picture,
    size,
    stamp,
    talking,
    wait_until_up,
)

KEY = "schlüssel"
QUIET = 0.5
"""Seconds in which a picture that is under way comes: several times what one takes."""


class Begin(Protocol):
    """How one kind of board is begun."""

    def __call__(self, *, key: str | None = None) -> AbstractContextManager[AnyBoard]: ...


BOTH = [
    pytest.param(boards.virtual, id="virtual"),
    pytest.param(boards.firmware, id="firmware"),
]
ALL = [*BOTH, pytest.param(boards.sketch, id="sketch")]


@pytest.fixture(scope="module", params=ALL)
def any_board(request: pytest.FixtureRequest) -> Iterator[AnyBoard]:
    """Each board in turn, for tests of the legacy wire that leave it as they found it."""
    with cast("Begin", request.param)() as board:
        yield board


@pytest.fixture(params=ALL)
def any_new(request: pytest.FixtureRequest) -> Iterator[AnyBoard]:
    """The same, for tests that change it."""
    with cast("Begin", request.param)() as board:
        yield board


@pytest.fixture(scope="module", params=BOTH)
def board(request: pytest.FixtureRequest) -> Iterator[AnyBoard]:
    """Each board that knows v1, for tests that leave it as they found it."""
    with cast("Begin", request.param)() as board:
        yield board


@pytest.fixture(params=BOTH)
def new(request: pytest.FixtureRequest) -> Iterator[AnyBoard]:
    """The same, for tests that change its settings, break it or restart it."""
    with cast("Begin", request.param)() as board:
        yield board


@pytest.fixture(scope="module", params=BOTH)
def locked(request: pytest.FixtureRequest) -> Iterator[AnyBoard]:
    """Each board that knows v1, with a key."""
    with cast("Begin", request.param)(key=KEY) as board:
        yield board


# The legacy wire


def test_the_original_script_gets_its_picture(any_board: AnyBoard) -> None:
    received: list[bytes] = []

    def on_open(app: websocket.WebSocketApp) -> None:
        app.send("capture")

    def on_message(app: websocket.WebSocketApp, message: bytes) -> None:
        received.append(message)
        app.close()

    app = websocket.WebSocketApp(any_board.url, on_open=on_open, on_message=on_message)
    app.run_forever()
    assert len(received) == 1
    assert size(received[0]) == (320, 240)


def test_the_legacy_wire_is_the_old_boards_frame_for_frame(any_board: AnyBoard) -> None:
    with connected(any_board.url) as client:
        first = client.recv_frame()  # type: ignore[no-untyped-call]
        assert (first.opcode, first.data) == (websocket.ABNF.OPCODE_PING, b"")
        for _ in range(2):
            client.send("capture")
            frame = client.recv_frame()  # type: ignore[no-untyped-call]
            assert (frame.fin, frame.opcode) == (1, websocket.ABNF.OPCODE_BINARY)
            assert (frame.mask_value, frame.rsv1, frame.rsv2, frame.rsv3) == (0, 0, 0, 0)
            assert size(frame.data) == (320, 240)


@pytest.mark.parametrize("path", ["/", "/anything", "/v1/", "/v1?x=1", "/V1"])
def test_every_path_but_v1_is_legacy(any_board: AnyBoard, path: str) -> None:
    with connected(any_board.url, path) as client:
        client.send("capture")
        picture(client)


def test_what_the_old_sketch_does_not_know_brings_nothing(any_board: AnyBoard) -> None:
    texts = ["CAPTURE", "capture\n", " capture", '{"cmd":"capture"}', "captur"]
    if any_board.kind != "sketch":
        texts.append("")  # which kills the sketch: strcmp() of a null pointer
    before = any_board.captures()
    with connected(any_board.url) as client:
        for text in texts:
            client.send(text)
        client.send_binary(b"capture")
        client.send_frame(websocket.ABNF.create_frame("cap", websocket.ABNF.OPCODE_TEXT, 0))
        client.send_frame(websocket.ABNF.create_frame("ture", websocket.ABNF.OPCODE_CONT, 1))
        client.send("capture")
        picture(client)
        client.settimeout(QUIET)
        with pytest.raises(websocket.WebSocketTimeoutException):
            client.recv_data()
    assert any_board.captures() == before + 1


def test_a_ping_is_answered_with_what_it_said(any_board: AnyBoard) -> None:
    with connected(any_board.url) as client:
        assert client.recv_frame().opcode == websocket.ABNF.OPCODE_PING  # type: ignore[no-untyped-call]
        client.ping(b"there?")
        pong = client.recv_frame()  # type: ignore[no-untyped-call]
        assert (pong.opcode, pong.data) == (websocket.ABNF.OPCODE_PONG, b"there?")


def test_pictures_that_are_asked_for_at_once_come_in_order(any_board: AnyBoard) -> None:
    with connected(any_board.url) as client:
        for _ in range(3):
            client.send("capture")
        numbers = [any_board.number(picture(client)) for _ in range(3)]
    assert numbers == sorted(set(numbers))


def test_a_failed_capture_brings_nothing_on_the_legacy_wire(any_new: AnyBoard) -> None:
    any_new.break_camera("camera_failed")
    with connected(any_new.url) as client:
        client.send("capture")
        wait_for_failure(any_new)
        any_new.mend_camera()
        client.send("capture")
        picture(client)
        client.send("capture")
        picture(client)  # and no second one of the second
    if any_new.kind != "sketch":
        with talking(any_new.url) as v1:
            status = v1.ask("status")
            assert (status["captures"], status["failures"]) == (2, 1)


def wait_for_failure(board: AnyBoard) -> None:
    """Wait until a capture has failed, where the board tells; a board does one after the other."""
    if board.kind != "sketch":
        with talking(board.url) as v1:
            while v1.ask("status")["failures"] == 0:
                pass


# v1


def test_hello_comes_at_once_and_the_bridge_understands_it(board: AnyBoard) -> None:
    with talking(board.url) as v1:
        hello = protocol.parse(json.dumps(v1.hello).encode())
    assert isinstance(hello, protocol.Hello)
    assert (hello.protocol, hello.auth, hello.nonce) == (1, "none", None)
    assert v1.hello["device"] == "esp32cam"
    assert v1.hello["sensor"] == "OV2640"
    assert v1.hello["psram"] is True
    assert {"QVGA", "VGA", "SVGA", "XGA", "SXGA", "UXGA"} <= set(v1.hello["framesizes"])
    for key in ("name", "firmware", "board"):
        assert v1.hello[key]
    features = ["flash", "framesize", "quality", "restart", "settings", "status"]
    assert sorted(v1.hello["features"]) == features
    everything = Options(flash=True, framesize="SXGA", quality=10)
    assert protocol.unsupported(everything, hello) is None


def test_an_image_is_announced_and_comes_next(board: AnyBoard) -> None:
    with talking(board.url) as v1:
        head, data = v1.capture(id="c1")  # length and sum are compared there
        assert head["id"] == "c1"
        assert (head["width"], head["height"]) == size(data) == (320, 240)
        assert head["flash"] is False
        assert 0 <= head["age_ms"] < 5000
        assert head["dropped"] >= 0


def test_a_bare_capture_is_answered_without_an_id(board: AnyBoard) -> None:
    with talking(board.url) as v1:
        v1.client.send("capture")
        head, _ = v1.image()
        assert "id" not in head


def test_options_hold_for_one_picture(board: AnyBoard) -> None:
    with talking(board.url) as v1:
        usual, _ = v1.capture()
        head, data = v1.capture(
            framesize="VGA", quality=30, flash=True, settle_ms=1, max_age_ms=0, new="ignored"
        )
        assert size(data) == (640, 480)
        assert head["flash"] is True
        assert stamp(data).flash
        _, fine = v1.capture(framesize="VGA", quality=10)
        assert len(data) < len(fine)
        again, dark = v1.capture()
        for key in ("width", "height", "flash"):
            assert again[key] == usual[key]
        assert not stamp(dark).flash


def test_a_picture_is_exposed_after_it_was_asked_for(board: AnyBoard) -> None:
    with talking(board.url) as v1:
        for flash in (True, False):
            asked = v1.ask("status")["uptime_ms"]
            _, data = v1.capture(flash=flash)
            assert stamp(data).exposed_ms >= asked
            assert stamp(data).flash is flash


def test_a_picture_is_no_older_than_was_allowed(board: AnyBoard) -> None:
    with talking(board.url) as v1:
        asked = v1.ask("status")["uptime_ms"]
        _, data = v1.capture(max_age_ms=1000)
        assert stamp(data).exposed_ms >= asked - 1000


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ({"cmd": "capture", "framesize": "HUGE"}, "bad_framesize"),
        ({"cmd": "capture", "framesize": 13}, "bad_request"),
        ({"cmd": "capture", "quality": 3}, "bad_request"),
        ({"cmd": "capture", "quality": 64}, "bad_request"),
        ({"cmd": "capture", "quality": 12.5}, "bad_request"),
        ({"cmd": "capture", "quality": True}, "bad_request"),
        ({"cmd": "capture", "flash": 1}, "bad_request"),
        ({"cmd": "capture", "settle_ms": 60_000}, "bad_request"),
        ({"cmd": "capture", "max_age_ms": -1}, "bad_request"),
        ({"cmd": "set", "settings": []}, "bad_request"),
        ({"cmd": "set", "settings": {"framesize": "HUGE"}}, "bad_framesize"),
        ({"cmd": "set", "settings": {"vflip": "yes"}}, "bad_request"),
        ({"cmd": "set", "settings": {"flash_level": 0}}, "bad_request"),
        ({"cmd": "set", "settings": {"flash_level": 81}}, "bad_request"),
        ({"cmd": "set", "settings": {}, "persist": 1}, "bad_request"),
        ({"cmd": "dance"}, "unknown_command"),
        ({"cmd": ["capture"]}, "bad_request"),
        ({}, "bad_request"),
    ],
)
def test_what_it_can_not_do_is_an_error_that_names_the_request(
    board: AnyBoard, sent: dict[str, Any], error: str
) -> None:
    with talking(board.url) as v1:
        answer = v1.ask(id="x", **sent)
        assert (answer["type"], answer["id"], answer["error"]) == ("error", "x", error)
        assert answer["detail"]
        assert protocol.parse(json.dumps(answer).encode())
        assert v1.ask("status", id="y")["id"] == "y"  # and the connection goes on


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[1]",
        "null",
        "{",
        "[" * 1000,
        '{"cmd":"status","id":7}',
        '{"cmd":"status","id":""}',
        '{"cmd":"status","id":"' + "x" * 129 + '"}',
        '{"cmd":"status","id":"\\ud800"}',
        json.dumps({"cmd": "status", "more": "x" * 1024}),
    ],
)
def test_what_is_no_command_is_a_bad_request(board: AnyBoard, text: str) -> None:
    with talking(board.url) as v1:
        v1.client.send(text)
        answer = v1.message()
        assert (answer["type"], answer["error"]) == ("error", "bad_request")
        assert "id" not in answer
        v1.client.send_binary(b'{"cmd":"status"}')
        assert v1.message()["error"] == "bad_request"
        assert v1.ask("status")["type"] == "status"


@pytest.mark.parametrize("id_", ["x" * 128, "\N{CAMERA}" * 128, 'a"b\\c\n'])
def test_an_id_comes_back_as_it_was(board: AnyBoard, id_: str) -> None:
    with talking(board.url) as v1:
        v1.client.send(json.dumps({"cmd": "restart?", "id": id_}, ensure_ascii=False))
        assert v1.message()["id"] == id_


def test_more_than_the_library_takes_ends_the_connection_alone(board: AnyBoard) -> None:
    with talking(board.url) as other:
        with talking(board.url) as v1:
            v1.client.send("x" * 16_000)
            assert v1.closing_code() == 1009
        assert other.ask("status")["type"] == "status"


# busy comes of being busy, which is tested below
@pytest.mark.parametrize("error", ["camera_failed", "no_fresh_frame", "low_memory"])
def test_a_failing_camera_is_told(new: AnyBoard, error: str) -> None:
    new.break_camera(error)
    with talking(new.url) as v1:
        answer = v1.ask("capture", id="c1")
        assert (answer["type"], answer["id"], answer["error"]) == ("error", "c1", error)
        assert answer["retry_after_ms"] > 0
        new.mend_camera()
        v1.capture(id="c2")
        status = v1.ask("status")
        assert status["captures"] == 1
        if error != "low_memory":  # the firmware does not count what it has not tried
            assert status["failures"] == 1


def test_status_tells_the_boards_health(board: AnyBoard) -> None:
    with talking(board.url) as v1:
        status = v1.ask("status", id="s1")
        later = v1.ask("status")
    assert protocol.parse(json.dumps(status).encode())
    assert status["id"] == "s1"
    assert -90 < status["rssi"] < -30
    assert status["min_heap"] <= status["heap"]
    assert status["largest_block"] < status["heap"] < 300_000
    assert 0 < status["psram_free"] < 4 * 1024 * 1024
    assert status["reset_reason"] == "power_on"
    for key in ("captures", "failures", "camera_reinits", "wifi_reconnects"):
        assert status[key] >= 0
    assert later["uptime_ms"] >= status["uptime_ms"]


def test_settings_are_told_and_hold(new: AnyBoard) -> None:
    with talking(new.url) as v1:
        before = v1.ask("set", id="1")
        assert (before["type"], before["id"]) == ("settings", "1")
        assert before["framesize"] == "QVGA"
        wanted = {
            "framesize": "VGA",
            "flash": True,
            "flash_level": 80,
            "quality": 20,
            "vflip": True,
        }
        wanted["new"] = 1
        after = v1.ask("set", settings=wanted)
        del wanted["new"]
        assert after == {"type": "settings"} | {
            key: wanted.get(key, before[key]) for key in before if key not in ("type", "id")
        }
        head, data = v1.capture()
        assert size(data) == (640, 480)
        assert head["flash"] is True
        assert v1.capture(flash=False)[0]["flash"] is False
    with connected(new.url) as client:
        client.send("capture")
        assert size(picture(client)) == (640, 480)


def test_settings_with_a_fault_change_nothing(new: AnyBoard) -> None:
    with talking(new.url) as v1:
        before = v1.ask("set")
        answer = v1.ask("set", settings={"vflip": not before["vflip"], "quality": 99})
        assert answer["error"] == "bad_request"
        assert "quality" in answer["detail"]
        assert v1.ask("set") == before


def test_a_restart_closes_all_and_keeps_what_was_stored(new: AnyBoard) -> None:
    with talking(new.url) as v1, talking(new.url) as other, connected(new.url) as old:
        v1.ask("set", settings={"vflip": True, "hmirror": False}, persist=True)
        v1.ask("set", settings={"hmirror": True})
        v1.capture()
        uptime, since = v1.ask("status")["uptime_ms"], time.monotonic()
        answer = v1.ask("restart", id="r")
        assert answer == {"type": "ok", "id": "r", "cmd": "restart"}
        assert v1.closing_code() == 1001
        assert other.closing_code() == 1001
        assert old.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
    wait_until_up(new.url)
    with talking(new.url) as v1:
        passed = time.monotonic() - since
        status = v1.ask("status")
        assert status["uptime_ms"] < uptime + 1000 * passed  # as it would be without a restart
        assert (status["reset_reason"], status["captures"]) == ("software", 0)
        now = v1.ask("set")
        assert (now["vflip"], now["hmirror"]) == (True, False)


# The key


def test_who_has_the_key_is_served(locked: AnyBoard) -> None:
    with talking(locked.url) as v1:
        assert v1.hello["auth"] == "hmac"
        assert re.fullmatch("[0-9a-f]{32}", v1.hello["nonce"])
        assert v1.prove(KEY) == {"type": "ok", "cmd": "auth"}
        v1.capture()


def test_nonces_are_never_the_same(locked: AnyBoard) -> None:
    with talking(locked.url) as one, talking(locked.url) as other:
        assert one.hello["nonce"] != other.hello["nonce"]


def test_a_wrong_key_ends_the_connection(locked: AnyBoard) -> None:
    with talking(locked.url) as v1:
        assert v1.prove("wrong")["error"] == "unauthorized"
        assert v1.closing_code() == 1008


@pytest.mark.parametrize("mac", [None, 7, "", "ä", "\ud800"])
def test_what_is_no_mac_is_a_wrong_one(locked: AnyBoard, mac: object) -> None:
    with talking(locked.url) as v1:
        assert v1.ask("auth", mac=mac)["error"] == "unauthorized"
        assert v1.closing_code() == 1008


@pytest.mark.parametrize("text", ["capture", '{"cmd":"status"}', '{"cmd":"restart"}'])
def test_nothing_is_done_before_the_key_was_shown(locked: AnyBoard, text: str) -> None:
    with talking(locked.url) as v1:
        v1.client.send(text)
        assert v1.message()["error"] == "unauthorized"
        assert v1.closing_code() == 1008


@pytest.mark.parametrize("path", ["/", "/v1/", "/v1?x=1", "/V1"])
def test_with_a_key_there_is_no_legacy_wire(locked: AnyBoard, path: str) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(locked.url + path, timeout=TIMEOUT)
    assert refused.value.status_code == 401


# Many clients, and bad ones


def test_a_sixth_connection_is_reset_until_a_slot_is_free(new: AnyBoard) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(new.url)) for _ in range(5)]
        for client in clients:  # the firmware lets go of clients that never got a picture
            client.send("capture")
        for client in clients:
            picture(client)
        with pytest.raises((ConnectionError, websocket.WebSocketException)):
            websocket.create_connection(new.url, timeout=TIMEOUT)
        clients[0].close()
        for _ in range(200):  # the board hears of it in its own time
            try:
                clients[0] = stack.enter_context(connected(new.url))
                break
            except (ConnectionError, websocket.WebSocketException):
                continue
        for client in clients:
            client.send("capture")
        assert len({stamp(picture(client)).seq for client in clients}) == 5


def test_a_slow_capture_does_not_hold_up_others(new: AnyBoard) -> None:
    with talking(new.url) as slow, talking(new.url) as quick:
        slow.tell("capture", flash=True, settle_ms=1000)
        assert quick.ask("status")["captures"] == 0
        assert slow.image()[0]["flash"] is True


def test_more_captures_than_the_sensor_takes_on_are_busy(new: AnyBoard) -> None:
    with ExitStack() as stack:
        all_five = [stack.enter_context(talking(new.url)) for _ in range(5)]
        for v1 in all_five:
            v1.tell("capture", flash=True, settle_ms=300)
        answers = [v1.message() for v1 in all_five]
    busy = [answer for answer in answers if answer["type"] == "error"]
    assert [(answer["error"], answer["retry_after_ms"]) for answer in busy] == [("busy", 200)]


def test_who_leaves_in_the_middle_does_no_harm(any_new: AnyBoard) -> None:
    with connected(any_new.url) as client:
        client.send("capture")
        assert client.sock is not None
        client.sock.close()
    with connected(any_new.url) as client:
        client.send("capture")
        picture(client)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "settings", "persist", "mac", "flash", "quality"]), inner
        )
    ),
    max_leaves=8,
)
_COMMAND = st.builds(
    lambda name, more: json.dumps(more | {"cmd": name}),
    st.sampled_from(["auth", "status", "set", "capture!", ""]),
    st.dictionaries(st.sampled_from(["id", "settings", "persist", "mac", "flash"]), _JSON),
)
_FUZZ = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@_FUZZ
@given(text=st.text(max_size=1200) | _COMMAND | st.binary(max_size=64))
def test_anything_gets_one_answer_on_v1(board: AnyBoard, text: str | bytes) -> None:
    if text == "capture":
        return
    with talking(board.url) as v1:
        if isinstance(text, bytes):
            v1.client.send_binary(text)
        else:
            v1.client.send(text)
        assert v1.message()["type"] in ("error", "status", "settings", "ok")
        v1.ask("set", settings={"framesize": "QVGA", "flash": False, "quality": 12})
        assert v1.ask("status", id="end")["id"] == "end"


@settings(_FUZZ, max_examples=20)
@given(texts=st.lists(st.text(min_size=1, max_size=40) | st.binary(max_size=40), max_size=8))
def test_nothing_random_moves_the_legacy_wire(
    any_board: AnyBoard, texts: list[str | bytes]
) -> None:
    with connected(any_board.url) as client:
        for text in texts:
            if isinstance(text, bytes):
                client.send_binary(text)
            elif text.split("\0")[0] != "capture":  # the sketch sees no further
                client.send(text)
        client.send("capture")
        picture(client)
