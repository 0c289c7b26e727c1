"""The virtual board over the wire: what a real one says, and nothing else."""

import asyncio
import io
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import websocket
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bridge import jpeg, protocol
from bridge.capture import Options
from bridge.demo.board import VirtualBoard
from bridge.errors import ConfigError

ROOT = Path(__file__).parents[1]
TIMEOUT = 10.0
_COMMENT = re.compile(rb"seq=(\d+) exposed_ms=(\d+) flash=([01])")


@contextmanager
def played(**options: Any) -> Iterator[VirtualBoard]:
    """A board in a loop and a thread of its own; its pictures are small."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def do(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(30)

    board = VirtualBoard(**{"framesize": "QVGA"} | options)
    try:
        do(board.start())
        try:
            yield board
        finally:
            do(board.stop())
            do(loop.shutdown_default_executor())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[VirtualBoard]:
    """For tests that leave it as they found it."""
    with played() as board:
        yield board


@pytest.fixture
def virtual() -> Iterator[VirtualBoard]:
    """For tests that change its settings or restart it."""
    with played() as board:
        yield board


@contextmanager
def connected(board: VirtualBoard, path: str = "/") -> Iterator[websocket.WebSocket]:
    client = websocket.create_connection(board.url + path, timeout=TIMEOUT)
    try:
        yield client
    finally:
        client.shutdown()  # type: ignore[no-untyped-call]


class V1:
    """The bridge's side of the v1 wire."""

    def __init__(self, client: websocket.WebSocket) -> None:
        self.client = client
        self.hello = self.message()

    def message(self) -> dict[str, Any]:
        opcode, data = self.client.recv_data()
        assert opcode == websocket.ABNF.OPCODE_TEXT, (opcode, data[:80])
        assert len(data) <= 1024
        told = json.loads(data)
        assert isinstance(told, dict)
        return told

    def ask(self, cmd: str | None = None, **more: Any) -> dict[str, Any]:
        self.client.send(json.dumps(({} if cmd is None else {"cmd": cmd}) | more))
        return self.message()

    def capture(self, **options: Any) -> tuple[dict[str, Any], bytes]:
        head = self.ask("capture", **options)
        assert head["type"] == "image", head
        return head, picture(self.client)

    def is_closed(self) -> bool:
        opcode, _ = self.client.recv_data()
        return bool(opcode == websocket.ABNF.OPCODE_CLOSE)


@contextmanager
def talking(board: VirtualBoard) -> Iterator[V1]:
    with connected(board, "/v1") as client:
        yield V1(client)


def picture(client: websocket.WebSocket) -> bytes:
    """What comes next, which is a picture."""
    opcode, data = client.recv_data()
    assert opcode == websocket.ABNF.OPCODE_BINARY, data[:80]
    assert jpeg.parse(data)
    return bytes(data)


def stamp(data: bytes) -> tuple[int, int, bool]:
    """The picture's number, the uptime at its exposure, and whether the flash was on."""
    found = _COMMENT.search(data)
    assert found
    return int(found[1]), int(found[2]), found[3] == b"1"


def size(data: bytes) -> tuple[int, int]:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image.size


# The legacy wire


def test_the_original_script_gets_its_picture(shared: VirtualBoard) -> None:
    received: list[bytes] = []

    def on_open(app: websocket.WebSocketApp) -> None:
        app.send("capture")

    def on_message(app: websocket.WebSocketApp, message: bytes) -> None:
        received.append(message)
        app.close()

    app = websocket.WebSocketApp(shared.url, on_open=on_open, on_message=on_message)
    app.run_forever()
    assert len(received) == 1
    assert size(received[0]) == (320, 240)


def test_the_legacy_wire_is_the_old_boards_frame_for_frame(shared: VirtualBoard) -> None:
    with connected(shared) as client:
        first = client.recv_frame()  # type: ignore[no-untyped-call]
        assert (first.opcode, first.data) == (websocket.ABNF.OPCODE_PING, b"")
        for _ in range(2):
            client.send("capture")
            frame = client.recv_frame()  # type: ignore[no-untyped-call]
            assert (frame.fin, frame.opcode) == (1, websocket.ABNF.OPCODE_BINARY)
            assert (frame.mask_value, frame.rsv1, frame.rsv2, frame.rsv3) == (0, 0, 0, 0)
            assert jpeg.parse(frame.data)


@pytest.mark.parametrize("path", ["/", "/anything", "/v1/", "/v1?x=1", "/V1"])
def test_every_path_but_v1_is_legacy(shared: VirtualBoard, path: str) -> None:
    with connected(shared, path) as client:
        client.send("capture")
        picture(client)


def test_what_the_old_sketch_does_not_know_brings_nothing(shared: VirtualBoard) -> None:
    with connected(shared) as client:
        client.send("capture")
        before, _, _ = stamp(picture(client))
        for text in ("CAPTURE", "capture\n", " capture", "", '{"cmd":"capture"}', "captur"):
            client.send(text)
        client.send_binary(b"capture")
        client.send_frame(websocket.ABNF.create_frame("cap", websocket.ABNF.OPCODE_TEXT, 0))
        client.send_frame(websocket.ABNF.create_frame("ture", websocket.ABNF.OPCODE_CONT, 1))
        client.send("capture")
        after, _, _ = stamp(picture(client))
        with talking(shared) as board:  # waits for the sensor behind whatever is still to come
            last, _, _ = stamp(board.capture()[1])
        assert (after, last) == (before + 1, before + 2)


def test_pictures_that_are_asked_for_at_once_come_in_order(shared: VirtualBoard) -> None:
    with connected(shared) as client:
        for _ in range(3):
            client.send("capture")
        numbers = [stamp(picture(client))[0] for _ in range(3)]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_a_failed_capture_brings_nothing_on_the_legacy_wire(virtual: VirtualBoard) -> None:
    virtual.device.fail()
    with connected(virtual) as client:
        client.send("capture")
        client.send("capture")
        assert stamp(picture(client))[0] == 1
    with talking(virtual) as board:
        status = board.ask("status")
        assert (status["captures"], status["failures"]) == (1, 1)


def test_a_legacy_board_says_no_hello(shared: VirtualBoard) -> None:
    with played(legacy_only=True) as old, connected(old, "/v1") as client:
        client.send('{"cmd":"status"}')
        client.send("capture")
        picture(client)


# v1


def test_hello_comes_at_once_and_the_bridge_understands_it(shared: VirtualBoard) -> None:
    with talking(shared) as board:
        hello = protocol.parse(json.dumps(board.hello).encode())
    assert isinstance(hello, protocol.Hello)
    assert (hello.protocol, hello.name, hello.auth, hello.nonce) == (1, "porch", "none", None)
    everything = Options(flash=True, framesize="SXGA", quality=10)
    assert protocol.unsupported(everything, hello) is None


def test_an_image_is_announced_and_comes_next(shared: VirtualBoard) -> None:
    with talking(shared) as board:
        head, data = board.capture(id="c1")
        message = protocol.parse(json.dumps(head).encode())
        assert isinstance(message, protocol.ImageHead)
        protocol.check_image(message, data)
        assert head["id"] == "c1"
        assert (head["width"], head["height"]) == size(data) == (320, 240)
        assert head["flash"] is False
        assert 0 <= head["age_ms"] < 5000


def test_a_bare_capture_is_answered_without_an_id(shared: VirtualBoard) -> None:
    with talking(shared) as board:
        board.client.send("capture")
        assert "id" not in board.message()
        picture(board.client)


def test_options_hold_for_one_picture(shared: VirtualBoard) -> None:
    with talking(shared) as board:
        usual, _ = board.capture()
        head, data = board.capture(
            framesize="VGA", quality=30, flash=True, settle_ms=1, max_age_ms=0, new="ignored"
        )
        assert size(data) == (640, 480)
        assert head["flash"] is True
        assert stamp(data)[2]
        _, fine = board.capture(framesize="VGA", quality=10)
        assert len(data) < len(fine)
        again, _ = board.capture()
        for key in ("width", "height", "flash"):
            assert again[key] == usual[key]


def test_a_picture_is_exposed_after_it_was_asked_for(shared: VirtualBoard) -> None:
    with talking(shared) as board:
        for flash in (True, False):
            asked = board.ask("status")["uptime_ms"]
            _, data = board.capture(flash=flash, max_age_ms=60_000)
            _, exposed, lit = stamp(data)
            assert exposed >= asked
            assert lit is flash


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ({"cmd": "capture", "framesize": "HUGE"}, "bad_framesize"),
        ({"cmd": "capture", "framesize": 13}, "bad_request"),
        ({"cmd": "capture", "quality": 3}, "bad_request"),
        ({"cmd": "capture", "quality": True}, "bad_request"),
        ({"cmd": "capture", "flash": 1}, "bad_request"),
        ({"cmd": "capture", "settle_ms": 60_000}, "bad_request"),
        ({"cmd": "set", "settings": []}, "bad_request"),
        ({"cmd": "set", "settings": {"framesize": "HUGE"}}, "bad_framesize"),
        ({"cmd": "set", "settings": {"vflip": "yes"}}, "bad_request"),
        ({"cmd": "set", "settings": {}, "persist": 1}, "bad_request"),
        ({"cmd": "dance"}, "unknown_command"),
        ({"cmd": ["capture"]}, "bad_request"),
        ({}, "bad_request"),
    ],
)
def test_what_it_can_not_do_is_an_error_that_names_the_request(
    shared: VirtualBoard, sent: dict[str, Any], error: str
) -> None:
    with talking(shared) as board:
        answer = board.ask(id="x", **sent)
        assert (answer["type"], answer["id"], answer["error"]) == ("error", "x", error)
        assert protocol.parse(json.dumps(answer).encode())
        assert board.ask("status", id="y")["id"] == "y"  # and the connection goes on


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
def test_what_is_no_command_is_a_bad_request(shared: VirtualBoard, text: str) -> None:
    with talking(shared) as board:
        board.client.send(text)
        answer = board.message()
        assert (answer["type"], answer["error"]) == ("error", "bad_request")
        assert "id" not in answer
        board.client.send_binary(b'{"cmd":"status"}')
        assert board.message()["error"] == "bad_request"
        assert board.ask("status")["type"] == "status"


def test_more_than_the_library_takes_ends_the_connection_alone(shared: VirtualBoard) -> None:
    with talking(shared) as other:
        with talking(shared) as board:
            board.client.send("x" * 16_000)
            assert board.is_closed()
        assert other.ask("status")["type"] == "status"


@pytest.mark.parametrize("error", ["camera_failed", "no_fresh_frame", "busy", "low_memory"])
def test_a_failing_camera_is_told(virtual: VirtualBoard, error: str) -> None:
    virtual.device.fail(error)
    with talking(virtual) as board:
        answer = board.ask("capture", id="c1")
        assert (answer["type"], answer["id"], answer["error"]) == ("error", "c1", error)
        assert answer["retry_after_ms"] > 0
        board.capture(id="c2")
        assert board.ask("status")["failures"] == 1


def test_status_tells_the_boards_health(shared: VirtualBoard) -> None:
    with talking(shared) as board:
        status = board.ask("status", id="s1")
        later = board.ask("status")
    assert protocol.parse(json.dumps(status).encode())
    assert status["id"] == "s1"
    assert -90 < status["rssi"] < -30
    assert status["min_heap"] <= status["heap"]
    assert status["largest_block"] < status["heap"] < 300_000
    assert 0 < status["psram_free"] < 4 * 1024 * 1024
    assert status["reset_reason"] == "power_on"
    assert later["uptime_ms"] >= status["uptime_ms"]


def test_settings_are_told_and_hold(virtual: VirtualBoard) -> None:
    with talking(virtual) as board:
        before = board.ask("set", id="1")
        assert (before["type"], before["id"]) == ("settings", "1")
        assert before["framesize"] == "QVGA"
        wanted = {"framesize": "VGA", "flash": True, "quality": 20, "vflip": True, "new": 1}
        after = board.ask("set", settings=wanted)
        del wanted["new"]
        assert after == {"type": "settings"} | {
            key: wanted.get(key, before[key]) for key in before if key not in ("type", "id")
        }
        head, data = board.capture()
        assert size(data) == (640, 480)
        assert head["flash"] is True
        assert board.capture(flash=False)[0]["flash"] is False
    with connected(virtual) as client:
        client.send("capture")
        assert size(picture(client)) == (640, 480)


def test_settings_with_a_fault_change_nothing(virtual: VirtualBoard) -> None:
    with talking(virtual) as board:
        before = board.ask("set")
        assert board.ask("set", settings={"vflip": True, "quality": 99})["error"] == "bad_request"
        assert board.ask("set") == before


def test_a_restart_closes_all_and_keeps_what_was_stored(virtual: VirtualBoard) -> None:
    with talking(virtual) as board, talking(virtual) as other, connected(virtual) as old:
        board.ask("set", settings={"vflip": True}, persist=True)
        board.ask("set", settings={"hmirror": True})
        board.capture()
        uptime = board.ask("status")["uptime_ms"]
        answer = board.ask("restart", id="r")
        assert answer == {"type": "ok", "id": "r", "cmd": "restart"}
        assert board.is_closed()
        assert other.is_closed()
        assert old.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
    with talking(virtual) as board:
        status = board.ask("status")
        assert status["uptime_ms"] < uptime
        assert (status["reset_reason"], status["captures"]) == ("software", 0)
        now = board.ask("set")
        assert (now["vflip"], now["hmirror"]) == (True, False)


# The key


@pytest.fixture(scope="module")
def locked() -> Iterator[VirtualBoard]:
    with played(key="schlüssel") as board:
        yield board


def authenticate(board: V1, key: str) -> dict[str, Any]:
    hello = protocol.parse(json.dumps(board.hello).encode())
    assert isinstance(hello, protocol.Hello)
    board.client.send(protocol.auth_command(hello, key))
    return board.message()


def test_who_has_the_key_is_served(locked: VirtualBoard) -> None:
    with talking(locked) as board:
        assert board.hello["auth"] == "hmac"
        assert re.fullmatch("[0-9a-f]{32}", board.hello["nonce"])
        assert authenticate(board, "schlüssel") == {"type": "ok", "cmd": "auth"}
        board.capture()


def test_nonces_are_never_the_same(locked: VirtualBoard) -> None:
    with talking(locked) as one, talking(locked) as other:
        assert one.hello["nonce"] != other.hello["nonce"]


def test_a_wrong_key_ends_the_connection(locked: VirtualBoard) -> None:
    with talking(locked) as board:
        assert authenticate(board, "wrong")["error"] == "unauthorized"
        assert board.is_closed()


@pytest.mark.parametrize("mac", [None, 7, "", "ä", "\ud800"])
def test_what_is_no_mac_is_a_wrong_one(locked: VirtualBoard, mac: object) -> None:
    with talking(locked) as board:
        assert board.ask("auth", mac=mac)["error"] == "unauthorized"
        assert board.is_closed()


@pytest.mark.parametrize("text", ["capture", '{"cmd":"status"}', '{"cmd":"restart"}'])
def test_nothing_is_done_before_the_key_was_shown(locked: VirtualBoard, text: str) -> None:
    with talking(locked) as board:
        board.client.send(text)
        assert board.message()["error"] == "unauthorized"
        assert board.is_closed()


def test_with_a_key_there_is_no_legacy_wire(locked: VirtualBoard) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(locked.url, timeout=TIMEOUT)
    assert refused.value.status_code == 401


# Many clients, and bad ones


def test_a_sixth_connection_is_reset_until_a_slot_is_free(virtual: VirtualBoard) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(virtual)) for _ in range(5)]
        with pytest.raises((ConnectionError, websocket.WebSocketException)):
            websocket.create_connection(virtual.url, timeout=TIMEOUT)
        clients[0].close()
        for _ in range(200):  # the board hears of it in its own time
            try:
                clients[0] = stack.enter_context(connected(virtual))
                break
            except (ConnectionError, websocket.WebSocketException):
                continue
        for client in clients:
            client.send("capture")
        assert len({stamp(picture(client))[0] for client in clients}) >= 4


def test_a_slow_capture_does_not_hold_up_others(virtual: VirtualBoard) -> None:
    with talking(virtual) as slow, talking(virtual) as quick:
        slow.client.send(json.dumps({"cmd": "capture", "flash": True, "settle_ms": 1000}))
        before = quick.ask("status")
        assert before["captures"] == 0
        assert slow.message()["type"] == "image"


def test_more_captures_than_the_sensor_takes_on_are_busy(virtual: VirtualBoard) -> None:
    with ExitStack() as stack:
        boards = [stack.enter_context(talking(virtual)) for _ in range(5)]
        command = {"cmd": "capture", "flash": True, "settle_ms": 300}
        for board in boards:
            board.client.send(json.dumps(command))
        answers = [board.message() for board in boards]
    busy = [answer for answer in answers if answer["type"] == "error"]
    assert [(answer["error"], answer["retry_after_ms"]) for answer in busy] == [("busy", 200)]


def test_who_leaves_in_the_middle_does_no_harm(virtual: VirtualBoard) -> None:
    with connected(virtual) as client:
        client.send("capture")
        assert client.sock is not None
        client.sock.close()
    with connected(virtual) as client:
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
def test_anything_gets_one_answer_on_v1(shared: VirtualBoard, text: str | bytes) -> None:
    if text == "capture":
        return
    with talking(shared) as board:
        if isinstance(text, bytes):
            board.client.send_binary(text)
        else:
            board.client.send(text)
        assert board.message()["type"] in ("error", "status", "settings", "ok")
        board.ask("set", settings={"framesize": "QVGA", "flash": False, "quality": 12})
        assert board.ask("status", id="end")["id"] == "end"


@settings(_FUZZ, max_examples=20)
@given(texts=st.lists(st.text(max_size=40) | st.binary(max_size=40), max_size=8))
def test_nothing_random_moves_the_legacy_wire(
    shared: VirtualBoard, texts: list[str | bytes]
) -> None:
    with connected(shared) as client:
        for text in texts:
            if isinstance(text, bytes):
                client.send_binary(text)
            elif text != "capture":
                client.send(text)
        client.send("capture")
        picture(client)


# Starting it


def test_a_port_that_is_taken_is_named(shared: VirtualBoard) -> None:
    port = int(shared.url.rsplit(":", 1)[1])
    with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1"), played(port=port):
        pass


@pytest.mark.parametrize(
    ("options", "named"), [({"framesize": "HUGE"}, "framesize"), ({"key": "k"}, "key")]
)
def test_wrong_options_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        VirtualBoard(legacy_only=True, **options)


def test_alone_it_says_how_to_ask_it_and_ends_when_told() -> None:
    command = [sys.executable, "-m", "bridge.demo.board", "--port", "0", "--framesize", "QVGA"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(3)]
        url = re.findall(r"ws://[\d.:]+", said[0])[0].rstrip(":")
        assert f"esp32cam2mqtt capture {url} -o picture.jpg" in said[1]
        client = websocket.create_connection(url, timeout=TIMEOUT)
        client.send("capture")
        picture(client)
        client.shutdown()  # type: ignore[no-untyped-call]
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize("missing", ["websockets", "PIL"])
def test_a_missing_extra_says_what_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; import bridge.demo.board"
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode != 0
    assert "pip install 'esp32cam2mqtt[demo]'" in said.stderr
    assert missing in said.stderr.splitlines()[-1]
