"""The equipment itself: stock clients see of it what they would see of the real thing."""

import hashlib
import hmac
import io
import json
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import websocket
from PIL import Image

from tests.conftest import Boards, Brokers, Clients, StartBridge
from tests.fakes import behaviours as b
from tests.fakes import picture
from tests.fakes.board import ESP32, FakeBoard, OnCapture, Shot, stamp
from tests.fakes.broker import Broker
from tests.fakes.certificates import Certificates
from tests.fakes.client import NO_SUBSCRIBERS, Version
from tests.fakes.websocket import BINARY, CLOSE, PING, PONG, TEXT

DATA = Path(__file__).parent / "data"

Connect = Callable[..., websocket.WebSocket]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """``connect(board, path, **options)``: a stock websocket-client, connected."""
    with ExitStack() as stack:

        def start(board: FakeBoard, path: str = "/", **options: Any) -> websocket.WebSocket:
            ws = websocket.create_connection(board.url + path, **{"timeout": 5, **options})
            stack.callback(ws.shutdown)
            return ws

        yield start


def ask(ws: websocket.WebSocket, message: str | dict[str, Any] = "capture") -> None:
    ws.send(message if isinstance(message, str) else json.dumps(message))


def hang_up(ws: websocket.WebSocket) -> None:
    ws.shutdown()  # type: ignore[no-untyped-call]


def receive(ws: websocket.WebSocket) -> tuple[int, bytes]:
    """The next text, binary or close message."""
    opcode, frame = ws.recv_data_frame()
    assert frame is not None
    return opcode, bytes(frame.data)


def receive_close(ws: websocket.WebSocket) -> bytes:
    """A close frame, left unanswered, since the board may have hung up already."""
    while True:
        frame = ws.recv_frame()  # type: ignore[no-untyped-call]
        if frame.opcode != PING:
            assert frame.opcode == CLOSE
            return bytes(frame.data)


def receive_json(ws: websocket.WebSocket) -> Any:
    opcode, data = receive(ws)
    assert opcode == TEXT
    return json.loads(data)


def take(ws: websocket.WebSocket) -> bytes:
    ask(ws)
    opcode, data = receive(ws)
    assert opcode == BINARY
    return data


def is_whole(jpeg: bytes) -> bool:
    try:
        list(picture.segments(jpeg))
    except ValueError:
        return False
    return True


# Pictures


@pytest.mark.parametrize("size", [0, 12_345, 65_535, 100_000, 1_000_000])
def test_a_picture_is_a_real_one_of_exactly_that_size(size: int) -> None:
    jpeg = picture.stamped(picture.noise(640, 480, size - 512), {"board": "x"}, size=size)
    assert len(jpeg) == size or size == 0
    assert is_whole(jpeg)
    assert stamp(jpeg) == {"board": "x"}
    with Image.open(io.BytesIO(jpeg)) as image:
        image.load()
        assert image.size == (640, 480)


def test_a_photo_with_a_jfif_segment_keeps_it_in_front() -> None:
    photo = io.BytesIO()
    Image.new("RGB", (64, 48), "navy").save(photo, "JPEG")
    jpeg = picture.stamped(photo.getvalue(), {"board": "x"}, size=70_000)
    assert [marker for marker, _ in picture.segments(jpeg)][:2] == [picture.APP0, picture.COM]
    assert len(jpeg) == 70_000
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.getpixel((5, 5)) == pytest.approx((0, 0, 128), abs=3)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.jpg")), ids=lambda path: path.name)
def test_a_board_sends_a_photo(board: Boards, connect: Connect, path: Path) -> None:
    jpeg = take(connect(board(photo=path.read_bytes(), size=1_000_000)))
    assert len(jpeg) == 1_000_000
    assert stamp(jpeg)["seq"] == 1
    with Image.open(io.BytesIO(jpeg)) as sent, Image.open(path) as photo:
        assert sent.tobytes() == photo.tobytes()


def test_the_strict_walk_sees_damage() -> None:
    jpeg = picture.stamped(picture.noise(320, 240, 20_000), {"board": "x"})
    for damaged in (jpeg[:-1], jpeg[:9_000], jpeg[1:], jpeg + b"\0", jpeg * 2, b"", b"\xff\xd8"):
        assert not is_whole(damaged)


# The legacy wire


def test_a_legacy_board_answers_each_capture_with_a_picture(
    board: Boards, connect: Connect
) -> None:
    porch = board("porch", size=100_000)
    ws = connect(porch, "/any/path?x=1")
    before = time.monotonic_ns()
    pictures = [take(ws) for _ in range(3)]
    stamps = [stamp(jpeg) for jpeg in pictures]
    assert [s["seq"] for s in stamps] == [1, 2, 3]
    assert {s["board"] for s in stamps} == {"porch"}
    assert before < stamps[0]["asked_ns"] < stamps[1]["asked_ns"] < time.monotonic_ns()
    assert [asked.at_ns for asked in porch.asked] == [s["asked_ns"] for s in stamps]
    assert {len(jpeg) for jpeg in pictures} == {100_000}
    assert all(map(is_whole, pictures))
    assert porch.paths == ["/any/path?x=1"]
    assert porch.headers[0]["upgrade"] == "websocket"
    assert porch.violations == []


def test_a_board_pings_first_and_the_pong_is_on_record(board: Boards, connect: Connect) -> None:
    porch = board()
    ws = connect(porch)
    opcode, _ = ws.recv_data_frame(control_frame=True)
    assert opcode == PING
    assert porch.wait_for_frame(lambda frame: frame.opcode == PONG).masked


@pytest.mark.parametrize("path", ["/", "/v1"])
def test_the_old_sketch_ignores_all_but_capture(board: Boards, connect: Connect, path: str) -> None:
    porch = board()
    ws = connect(porch, path)
    for message in ("CAPTURE", "capture\n", '{"cmd":"capture"}'):
        ws.send(message)
    ws.send_binary(b"capture")
    ws.send_frame(websocket.ABNF.create_frame("cap", TEXT, 0))
    ws.send_frame(websocket.ABNF.create_frame("ture", websocket.ABNF.OPCODE_CONT, 1))
    ws.send("capture\0anything")  # a string of C ends there
    assert stamp(receive(ws)[1])["seq"] == 1
    assert porch.asked[0].command == b"capture\0anything"
    porch.wait_for(lambda board: len(board.frames) == 8)  # the pong too


def test_an_empty_text_crashes_the_old_sketch(board: Boards, connect: Connect) -> None:
    porch = board()
    bystander, ws = connect(porch), connect(porch)
    ws.send("")
    for victim in (ws, bystander):
        with pytest.raises((ConnectionError, websocket.WebSocketException)):
            receive(victim)
    porch.wait_for_open(0)
    assert porch.crashed
    with pytest.raises(ConnectionRefusedError):
        connect(porch)
    porch.resume()
    assert stamp(take(connect(porch)))["seq"] == 1


def test_a_sixth_client_is_reset(board: Boards, connect: Connect) -> None:
    porch = board()
    with ExitStack() as stack:
        for _ in range(4):
            address = ("127.0.0.1", porch.port)
            stack.enter_context(closing(socket.create_connection(address)))
        porch.wait_for_open(4)
        ws = connect(porch)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connect(porch)
        assert take(ws)
        porch.wait_for_open(5)
        assert porch.connections == 6


def test_the_sub_protocol_is_the_librarys_own(board: Boards) -> None:
    porch = board()
    with pytest.raises(websocket.WebSocketException, match="Header"):
        websocket.create_connection(porch.url, subprotocols=["foo"], timeout=5)


def test_a_message_over_15_kib_ends_the_connection(board: Boards, connect: Connect) -> None:
    ws = connect(board())
    ws.send("x" * 20_000)
    assert receive_close(ws) == struct.pack(">H", 1009)


def test_the_closing_handshake_is_answered(board: Boards, connect: Connect) -> None:
    porch = board()
    ws = connect(porch)
    ws.send_close()
    assert receive_close(ws) == struct.pack(">H", 1000)
    porch.wait_for_open(0)


@pytest.mark.parametrize("options", [{"host": "::1"}, {}])
def test_a_board_goes_away_and_comes_back_on_its_port(
    board: Boards, connect: Connect, options: dict[str, Any]
) -> None:
    porch = board(**options)
    ws = connect(porch)
    porch.pause()
    assert take(ws), "who is connected stays so"
    with pytest.raises(ConnectionRefusedError):
        connect(porch)
    porch.resume()
    assert take(connect(porch))


def test_a_board_stops_while_it_begins_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping, begins, never = threading.Event(), threading.Event(), threading.Event()
    start = threading.Thread.start
    board = FakeBoard("slow")

    def accept() -> None:
        assert stopping.wait(10)
        monkeypatch.setattr(threading.Thread, "start", slowly)
        board.spawn(lambda: None)

    def slowly(thread: threading.Thread) -> None:
        begins.set()
        never.wait(0.2)  # `stop` is done with the one it waited for, and looks for more
        start(thread)

    def serve() -> None:
        stopping.set()
        assert begins.wait(10)

    board.spawn(accept)
    board.spawn(serve)
    board.stop()


def test_a_board_speaks_tls(board: Boards, connect: Connect, certificates: Certificates) -> None:
    porch = board(tls=certificates.server, size=300_000)
    assert porch.url.startswith("wss://")
    ws = connect(porch, sslopt={"ca_certs": str(certificates.ca)})
    assert [stamp(take(ws))["seq"] for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(porch, sslopt={"ca_certs": str(certificates.wrong_ca)})
    expired = board(tls=certificates.expired)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        connect(expired, sslopt={"ca_certs": str(certificates.ca)})


def test_a_board_has_an_esp32s_pace(board: Boards, connect: Connect) -> None:
    ws = connect(board(size=100_000, pace=ESP32))
    started = time.monotonic()
    take(ws)
    assert time.monotonic() - started > 0.06 + 100_000 / 1_436 * 0.0005


# What goes wrong with a capture


def test_a_script_is_used_up_one_by_one(board: Boards, connect: Connect) -> None:
    porch = board()
    porch.script(b.text("no"), b.normal, b.not_a_jpeg)
    ws = connect(porch)
    opcodes = []
    for _ in range(4):
        ask(ws)
        opcodes.append(receive(ws)[0])
    assert opcodes == [TEXT, BINARY, BINARY, BINARY]
    porch.always(b.text("never"))
    for _ in range(2):
        ask(ws)
        assert receive(ws) == (TEXT, b"never")


@pytest.mark.parametrize(
    "behaviour",
    [b.truncated, b.not_a_jpeg, b.empty_binary, b.doubled, b.trailing(b"x"), b.padded(4)],
)
def test_a_message_that_is_no_whole_picture(
    board: Boards, connect: Connect, behaviour: OnCapture
) -> None:
    porch = board()
    porch.script(behaviour)
    ws = connect(porch)
    damaged = take(ws)
    assert not is_whole(damaged)
    assert stamp(take(ws))["seq"] == 2
    if behaviour is b.doubled:
        assert damaged[: len(damaged) // 2] == damaged[len(damaged) // 2 :]


@pytest.mark.parametrize(
    "behaviour", [b.sized(70_000), b.len65535, b.fragments(7), b.ping_flood(20, every=0)]
)
def test_an_unusual_way_to_send_a_whole_picture(
    board: Boards, connect: Connect, behaviour: OnCapture
) -> None:
    porch = board(size=65_535)
    porch.script(behaviour)
    ws = connect(porch)
    jpeg = take(ws)
    assert is_whole(jpeg)
    assert len(jpeg) == (70_000 if stamp(jpeg) and len(jpeg) != 65_535 else 65_535)


def test_half_a_picture_and_then_another_inside_the_same_message(
    board: Boards, connect: Connect
) -> None:
    porch = board(size=50_000)
    porch.script(b.half)
    ws = connect(porch, timeout=0.2)
    ask(ws)
    with pytest.raises(websocket.WebSocketTimeoutException):
        receive(ws)
    glued = take(ws)
    assert len(glued) == 50_000
    assert glued.count(b"\xff\xd8\xff") == 2
    assert not glued.endswith(b"\xff\xd9")
    porch.script(b.glued)
    again = take(connect(porch))
    assert len(again) == 50_000
    assert again.count(b"\xff\xd8\xff") == 2


def test_a_late_picture_answers_the_question_before(board: Boards, connect: Connect) -> None:
    porch = board()
    now = threading.Event()
    porch.script(b.late(now))
    ws = connect(porch)
    ask(ws)
    ws.settimeout(0.2)
    with pytest.raises(websocket.WebSocketTimeoutException):
        receive(ws)
    ws.settimeout(10)
    ask(ws)
    porch.wait_for_asked(2)
    now.set()
    assert [stamp(receive(ws)[1])["seq"] for _ in range(2)] == [1, 2]


def test_a_picture_that_comes_twice_or_never(board: Boards, connect: Connect) -> None:
    porch = board()
    porch.script(b.twice, b.silent)
    ws = connect(porch)
    assert take(ws) == receive(ws)[1]
    ask(ws)
    assert stamp(take(ws))["seq"] == 3


def test_a_picture_that_nobody_asked_for(board: Boards, connect: Connect) -> None:
    porch = board()
    ws = connect(porch)
    take(ws)
    unasked = porch.send_unasked()
    assert receive(ws) == (BINARY, unasked)
    assert stamp(unasked)["asked_ns"] is None
    assert stamp(unasked)["seq"] == 2
    assert len(porch.asked) == 1


def test_a_test_writes_its_own_behaviour(board: Boards, connect: Connect) -> None:
    @OnCapture
    def flipped(shot: Shot) -> None:
        shot.send(shot.jpeg[::-1])

    porch = board()
    porch.script(flipped)
    assert stamp(take(connect(porch))[::-1])["seq"] == 1


@pytest.mark.parametrize(
    ("behaviour", "complaint"),
    [
        (b.cut(5_000), websocket.WebSocketConnectionClosedException),
        (b.reset(5_000), (ConnectionResetError, websocket.WebSocketConnectionClosedException)),
        (b.bad_opcode, websocket.WebSocketProtocolException),
        (b.raw(b"\xf1\x00"), websocket.WebSocketProtocolException),
        (b.silent, websocket.WebSocketTimeoutException),
    ],
)
def test_a_connection_that_is_of_no_use_any_more(
    board: Boards, connect: Connect, behaviour: OnCapture, complaint: Any
) -> None:
    porch = board()
    porch.script(behaviour)
    ws = connect(porch, timeout=0.3)
    with pytest.raises(complaint):
        take(ws)
    hang_up(ws)
    porch.wait_for_open(0)


def test_a_flood_of_pings(board: Boards, connect: Connect) -> None:
    porch = board()
    porch.script(b.ping_flood())
    ws = connect(porch)
    ask(ws)
    pings = [ws.recv_data_frame(control_frame=True)[0] for _ in range(50)]
    assert set(pings) == {PING}
    hang_up(ws)
    porch.wait_for_open(0)


def test_a_picture_that_drips(board: Boards) -> None:
    porch = board()
    porch.script(b.drip(0.005))
    with RawClient(porch) as raw:
        raw.ask()
        started = time.monotonic()
        raw.read(20)
        assert time.monotonic() - started > 18 * 0.005
    porch.wait_for_open(0)


def test_a_board_closes(board: Boards, connect: Connect) -> None:
    porch = board()
    porch.script(b.close(1001, "bye"), b.close(hang_up=False))
    ws = connect(porch)
    ask(ws)
    assert receive_close(ws) == struct.pack(">H", 1001) + b"bye"
    porch.wait_for_open(0)
    ws = connect(porch)
    ask(ws)
    assert receive_close(ws) == struct.pack(">H", 1000)
    assert take(ws), "it only says so"


def test_a_connection_ends_with_a_fin_or_with_a_rst(board: Boards) -> None:
    porch = board()
    porch.script(b.cut(5_000), b.reset(5_000))
    with RawClient(porch) as raw:
        raw.ask()
        assert len(raw.read(20_000)) == 5_000
    with RawClient(porch) as raw:
        raw.ask()
        assert len(raw.read(5_000)) == 5_000
        with pytest.raises(ConnectionResetError):
            raw.read(1)


def test_bytes_on_the_wire_that_no_library_would_send(board: Boards) -> None:
    porch = board(size=65_535)
    porch.script(b.len65535, b.masked, b.huge(2**63))
    with RawClient(porch) as raw:
        raw.ask()
        assert raw.read(10) == struct.pack(">BBQ", 0x82, 127, 65_535)
        raw.read(65_535)
        raw.ask()
        assert raw.read(14) == struct.pack(">BBQ", 0x82, 0xFF, 65_535) + b"mask"
        assert bytes(a ^ c for a, c in zip(raw.read(65_535)[:2], b"ma", strict=True)) == b"\xff\xd8"
        raw.ask()
        assert raw.read(10) == struct.pack(">BBQ", 0x82, 127, 2**63)
        assert len(raw.read(5_000_000)) == 5_000_000
    porch.wait_for_open(0)


class RawClient:
    """A WebSocket client without a library."""

    def __init__(self, board: FakeBoard) -> None:
        self._socket = socket.create_connection(("127.0.0.1", board.port), timeout=5)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(
            b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._file.readline()
        assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        assert self.read(2) == b"\x89\x00"  # the ping

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def ask(self) -> None:
        self._socket.sendall(b"\x81\x87\0\0\0\0capture")

    def read(self, count: int) -> bytes:
        return self._file.read(count)


# What goes wrong at a connection


@pytest.mark.parametrize(
    ("behaviour", "complaint", "words"),
    [
        (b.slots_full, (ConnectionResetError, BrokenPipeError), None),
        (b.handshake_silent, websocket.WebSocketTimeoutException, None),
        (b.handshake_half, websocket.WebSocketTimeoutException, None),
        (b.wrong_accept, websocket.WebSocketException, "Sec-WebSocket-Accept|Invalid"),
        (b.http("401 Unauthorized"), websocket.WebSocketBadStatusException, "401"),
        (b.http("404 Not Found", body=b"no"), websocket.WebSocketBadStatusException, "404"),
    ],
)
def test_a_handshake_that_fails(
    board: Boards, connect: Connect, behaviour: Any, complaint: Any, words: str | None
) -> None:
    porch = board()
    porch.script(behaviour)
    with pytest.raises(complaint, match=words):
        connect(porch, timeout=0.3)
    assert take(connect(porch)), "well again"
    assert porch.connections == 2


def test_a_redirect_is_one(board: Boards, connect: Connect) -> None:
    porch, garden = board("porch"), board("garden")
    porch.script(b.http("302 Found", f"Location: {garden.url}/there"))
    assert stamp(take(connect(porch)))["board"] == "garden"  # the stock library follows
    assert garden.paths == ["/there"]


@pytest.mark.parametrize(
    ("behaviour", "beginning"),
    [
        (b.handshake_endless, b"HTTP/1.1 101"),
        (b.http("503 Busy", length=10**12), b"HTTP/1.1 503 Busy\r\nContent-Length: 1000000000000"),
    ],
)
def test_an_answer_without_an_end(board: Boards, behaviour: Any, beginning: bytes) -> None:
    porch = board()
    porch.script(behaviour)
    with socket.create_connection(("127.0.0.1", porch.port), timeout=5) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with sock.makefile("rb") as file:
            assert file.read(2_000_000).startswith(beginning)
    porch.wait_for_open(0)


# v1


def test_v1_says_hello_and_announces_its_pictures(board: Boards, connect: Connect) -> None:
    porch = board("porch", wire="v1")
    ws = connect(porch, "/v1")
    hello = receive_json(ws)
    assert (hello["type"], hello["protocol"], hello["name"]) == ("hello", 1, "porch")
    ask(ws, {"cmd": "capture", "id": "c1", "framesize": "QVGA", "flash": True})
    head = receive_json(ws)
    opcode, jpeg = receive(ws)
    assert opcode == BINARY
    assert (head["type"], head["id"], head["bytes"]) == ("image", "c1", len(jpeg))
    assert int(head["crc32"], 16) == zlib.crc32(jpeg)
    assert (head["width"], head["height"]) == (320, 240)
    assert (stamp(jpeg)["id"], stamp(jpeg)["flash"], stamp(jpeg)["framesize"]) == (
        "c1",
        True,
        "QVGA",
    )
    ask(ws, "capture")
    assert "id" not in receive_json(ws)
    assert receive(ws)[0] == BINARY


def test_v1_is_a_legacy_board_elsewhere_that_does_not_crash(
    board: Boards, connect: Connect
) -> None:
    porch = board(wire="v1")
    ws = connect(porch)
    ws.send("")
    assert stamp(take(ws))["seq"] == 1
    assert not porch.crashed


def test_v1_wants_the_key(board: Boards, connect: Connect) -> None:
    porch = board(wire="v1", key="secret")
    ws = connect(porch, "/v1")
    nonce = receive_json(ws)["nonce"]
    ask(ws)
    assert receive_json(ws)["error"] == "unauthorized"
    mac = hmac.new(b"secret", nonce.encode(), hashlib.sha256).hexdigest()
    ask(ws, {"cmd": "auth", "mac": mac})
    assert receive_json(ws) == {"type": "ok", "cmd": "auth"}
    ask(ws)
    assert receive_json(ws)["type"] == "image"

    ws = connect(porch, "/v1")
    receive_json(ws)
    ask(ws, {"cmd": "auth", "mac": mac})  # of another nonce
    assert receive_json(ws)["error"] == "unauthorized"
    assert receive_close(ws)
    assert receive_close(connect(porch, "/"))
    assert take(connect(board(wire="v1", key="secret", allow_legacy=True), "/"))


def test_v1_knows_its_commands(board: Boards, connect: Connect) -> None:
    porch = board(wire="v1", boot=0.01)
    ws = connect(porch, "/v1")
    receive_json(ws)
    ask(ws, {"cmd": "status", "id": "s1"})
    status = receive_json(ws)
    assert (status["type"], status["id"], status["rssi"]) == ("status", "s1", -61)
    ask(ws, {"cmd": "set", "id": "x", "settings": {"vflip": False}, "persist": True})
    settings = receive_json(ws)
    assert (settings["type"], settings["id"], settings["vflip"]) == ("settings", "x", False)
    wrong: list[tuple[Any, str]] = [
        ({"cmd": "fly"}, "unknown_command"),
        ({"cmd": "capture", "framesize": "HUGE"}, "bad_framesize"),
        ({"cmd": "set", "settings": {"wings": 2}}, "bad_request"),
        ({"cmd": "set", "settings": {"framesize": "HUGE"}}, "bad_framesize"),
        ("[1", "bad_request"),
    ]
    for command, error in wrong:
        ask(ws, command)
        assert receive_json(ws)["error"] == error
    ask(ws, {"cmd": "restart", "id": "r"})
    assert receive_json(ws) == {"type": "ok", "cmd": "restart", "id": "r"}
    porch.wait_for_open(0)
    porch.wait_for(lambda board: board.restarts == 1)


@pytest.mark.parametrize(
    ("behaviour", "wrong"),
    [(b.wrong_id, "id"), (b.wrong_length, "bytes"), (b.wrong_crc, "crc32")],
)
def test_v1_announces_something_else(
    board: Boards, connect: Connect, behaviour: OnCapture, wrong: str
) -> None:
    porch = board(wire="v1")
    porch.script(behaviour)
    ws = connect(porch, "/v1")
    receive_json(ws)
    ask(ws, {"cmd": "capture", "id": "c1"})
    head = receive_json(ws)
    jpeg = receive(ws)[1]
    right = {"id": "c1", "bytes": len(jpeg), "crc32": f"{zlib.crc32(jpeg):08x}"}
    assert {key for key, value in right.items() if head[key] != value} == {wrong}


def test_v1_fails(board: Boards, connect: Connect) -> None:
    porch = board(wire="v1")
    porch.script(b.error("busy", 50), b.text_only, b.binary_only)
    ws = connect(porch, "/v1")
    receive_json(ws)
    for id_ in ("c1", "c2", "c3"):
        ask(ws, {"cmd": "capture", "id": id_})
    assert receive_json(ws) == {"type": "error", "id": "c1", "error": "busy", "retry_after_ms": 50}
    assert receive_json(ws)["id"] == "c2"
    assert stamp(receive(ws)[1])["id"] == "c3"


def test_v1_greets_badly(board: Boards, connect: Connect) -> None:
    porch = board(wire="v1", key="secret")
    now = threading.Event()
    porch.script(
        b.hello_with(protocol=2),
        b.hello_garbled,
        b.hello_too_large,
        b.hello_wrong_nonce,
        b.hello_silent,
        b.hello_late(now),
    )
    assert receive_json(connect(porch, "/v1"))["protocol"] == 2
    with pytest.raises(ValueError, match="Expecting"):
        receive_json(connect(porch, "/v1"))
    porch.drop()
    porch.wait_for_open(0)
    assert len(receive(connect(porch, "/v1"))[1]) > 1_000_000
    ws = connect(porch, "/v1")
    nonce = receive_json(ws)["nonce"]
    mac = hmac.new(b"secret", nonce.encode(), hashlib.sha256).hexdigest()
    ask(ws, {"cmd": "auth", "mac": mac})
    assert receive_json(ws)["error"] == "unauthorized"
    ws = connect(porch, "/v1")
    late = connect(porch, "/v1")
    for silent in (ws, late):
        silent.settimeout(0.1)
        with pytest.raises(websocket.WebSocketTimeoutException):
            receive(silent)
    now.set()
    late.settimeout(5)
    assert receive_json(late)["type"] == "hello"


# Brokers and clients


def test_a_client_records_and_waits(
    client: Clients, base_topic: str, mqtt_version: Version
) -> None:
    alice, bob = client(version=mqtt_version), client(version=mqtt_version)
    alice.publish(f"{base_topic}/a", "1", retain=True)
    alice.publish(f"{base_topic}/b", {"n": 2}, qos=0)
    alice.publish(f"{base_topic}/b", b"\xff\xd8" * 50)
    first, second = bob.wait(f"{base_topic}/b", count=2)
    assert first.json == {"n": 2}
    assert first.at_ns <= second.at_ns
    assert [m.text for m in bob.wait(f"{base_topic}/a")] == ["1"]
    late = client(version=mqtt_version).wait(f"{base_topic}/+")
    assert [(m.text, m.retain) for m in late] == [("1", True)]
    with pytest.raises(AssertionError, match=rf"{base_topic}/b <100 bytes>"):
        bob.wait(f"{base_topic}/c", timeout=0.01)


def test_a_client_shows_that_nothing_came(client: Clients, base_topic: str) -> None:
    ours = client()
    ours.publish(f"{base_topic}/a")
    ours.expect_none(f"{base_topic}/b")
    with pytest.raises(AssertionError, match="not expected"):
        ours.expect_none(f"{base_topic}/a")
    ours.expect_none(f"{base_topic}/a", lambda m: m.payload)
    ours.clear()
    ours.publish(f"{base_topic}/marker")
    ours.publish(f"{base_topic}/a")
    ours.expect_none(f"{base_topic}/a", until=f"{base_topic}/marker")


def test_a_client_of_mqtt_5_sends_properties_and_hears_of_no_subscribers(
    client: Clients, base_topic: str
) -> None:
    ours = client()
    properties: dict[str, Any] = {
        "response_topic": "r",
        "correlation_data": b"\0c",
        "content_type": "image/jpeg",
        "user": {"id": "a1"},
    }
    assert ours.publish(f"{base_topic}/a", **properties, expiry=60) == 0
    (message,) = ours.wait(f"{base_topic}/a")
    assert {name: getattr(message, name) for name in properties} == properties
    assert message.expiry == 60
    assert ours.publish(f"{base_topic.upper()}/nobody/here") == NO_SUBSCRIBERS


def test_a_request_gets_its_reply(client: Clients, base_topic: str) -> None:
    server = client(subscribe=[f"{base_topic}/ask"])
    asker = client()

    def answer() -> None:
        (message,) = server.wait(f"{base_topic}/ask")
        assert message.response_topic
        server.publish(message.response_topic, "other", correlation_data=b"other")
        server.publish(message.response_topic, "here", correlation_data=message.correlation_data)

    thread = threading.Thread(target=answer)
    thread.start()
    reply = asker.request(f"{base_topic}/ask", {"id": "a1"})
    thread.join()
    assert reply.text == "here"


def test_a_broker_comes_back_on_its_port_and_the_client_with_it(own_broker: Brokers) -> None:
    broker = own_broker(persistence=True)
    with broker.client() as ours:
        ours.publish("kept", "1", retain=True)
        port = broker.port
        assert broker.stop() == 0
        broker.start()
        assert broker.port == port
        ours.wait("kept", lambda m: m.retain)
        broker.kill()
        broker.start()
        ours.publish("again", "2")
        ours.wait("again")
        ours.drop()
        ours.publish("again", "3")
        ours.wait("again", lambda m: m.text == "3")
    broker.wait_for_log("Sending SUBACK", count=3)
    assert broker.memory() > 1_000_000
    assert broker.threads() >= 1
    assert broker.fds() > 3


def test_a_frozen_broker_says_nothing_until_it_thaws(own_broker: Brokers) -> None:
    broker = own_broker()
    with broker.client() as ours:
        broker.freeze()
        with pytest.raises(AssertionError, match="PUBACK"):
            ours.publish("a", timeout=0.1)
        broker.thaw()
        ours.wait("a")
        broker.freeze()  # and neither the client nor the broker hangs at its end


def test_a_broker_lets_in_only_its_users_and_keeps_to_its_acl(own_broker: Brokers) -> None:
    broker = own_broker(
        users={"bridge": "secret", "guest": "guest"},
        acl="user bridge\ntopic readwrite #\nuser guest\ntopic read open/#\n",
    )
    for wrong in ({"username": "bridge", "password": "wrong"}, {"username": None}):
        with pytest.raises(ConnectionRefusedError, match="Not authorized"):
            broker.client(**wrong).start()
    with (
        broker.client() as bridge,
        broker.client(username="guest", password="guest") as guest,
    ):
        assert guest.publish("open/a") == 0x87
        assert bridge.publish("closed/a") == 0
        assert bridge.publish("open/a") == 0
        assert [m.topic for m in guest.wait("#")] == ["open/a"]


def test_a_broker_limits_packets(own_broker: Brokers) -> None:
    broker = own_broker(max_packet_size=10_000)
    with broker.client() as ours:
        ours.publish("a", bytes(9_000))
    broker = own_broker(message_size_limit=10_000)
    with broker.client(version="3.1.1") as ours:
        ours.publish("a", bytes(20_000))  # acknowledged, and dropped
        ours.publish("b", bytes(9_000))
        ours.expect_none("a", until="b")


def test_a_broker_speaks_tls_and_wants_certificates(
    own_broker: Brokers, certificates: Certificates
) -> None:
    broker = own_broker(tls=certificates, require_certificate=True)
    with broker.client(port=broker.tls_port, tls=certificates) as ours:
        ours.publish("a")
        ours.wait("a")
    with shake_hands(broker, certificates.ca) as tls, pytest.raises(ssl.SSLError, match="required"):
        tls.recv(1)
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
        shake_hands(broker, certificates.wrong_ca)
    expired = own_broker(tls=certificates, certificate="expired")
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(expired, certificates.ca)


def shake_hands(broker: Broker, ca: Path) -> ssl.SSLSocket:
    """Without paho, which leaves its socket open when this fails."""
    context = ssl.create_default_context(cafile=ca)
    with socket.create_connection(("127.0.0.1", broker.tls_port), timeout=5) as sock:
        return context.wrap_socket(sock, server_hostname="localhost")


@pytest.mark.parametrize("transport", ["websockets", "unix"])
def test_a_broker_has_other_listeners(own_broker: Brokers, transport: str) -> None:
    broker = own_broker(websockets=transport == "websockets", unix=transport == "unix")
    options: dict[str, Any] = (
        {"port": 0, "host": str(broker.unix_path)}
        if transport == "unix"
        else {"port": broker.websockets_port}
    )
    with broker.client(transport=transport, **options) as ours:
        ours.publish("a")
        ours.wait("a")


@pytest.mark.parametrize("refusal", ["connack", "reason", "close"])
def test_a_broker_that_never_heard_of_mqtt_5(own_broker: Brokers, refusal: str) -> None:
    broker = own_broker(only_3_1_1=refusal)
    with broker.client(port=broker.old_port, version="3.1.1") as ours:
        ours.publish("a")
        ours.wait("a")
        broker.proxy.cut()
        ours.publish("b")
        ours.wait("b")
    complaint = AssertionError if refusal == "close" else ConnectionRefusedError
    with pytest.raises(complaint):
        broker.client(port=broker.old_port).start(timeout=0.3)
    assert broker.proxy.refused >= 1


def test_without_mosquitto_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tests.fakes.broker._SBIN", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="apt-get install mosquitto"):
        Broker().start()


# The bridge as a process; here a stand-in, since what runs it is on trial

STAND_IN = """
import pathlib, signal, sys, yaml
from paho.mqtt import client as paho

def read():
    return yaml.safe_load(pathlib.Path(sys.argv[sys.argv.index("-c") + 1]).read_text())

signals = {signal.SIGHUP, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)

mqtt = read()["mqtt"]
state = mqtt["base_topic"] + "/bridge/state"
client = paho.Client(paho.CallbackAPIVersion.VERSION2, mqtt["client_id"])
client.will_set(state, "offline", 1, True)
client.connect(mqtt["host"], mqtt["port"])
client.loop_start()
client.publish(state, "online", 1, True).wait_for_publish()
print("cameras", list(read()["cameras"]), sys.argv[1])
while signal.sigwait(signals) == signal.SIGHUP:
    print("cameras", list(read()["cameras"]))
client.publish(state, "offline", 1, True).wait_for_publish()
client.disconnect()
client.loop_stop()
"""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file that runs in place of the bridge."""
    main = tmp_path / "bridge" / "__main__.py"
    main.parent.mkdir()
    main.write_text(STAND_IN)
    monkeypatch.setattr("tests.fakes.bridge.ROOT", tmp_path)
    return main


@pytest.mark.usefixtures("stand_in")
def test_a_bridge_starts_reloads_and_stops(
    bridge: StartBridge, board: Boards, client: Clients, base_topic: str
) -> None:
    watcher = client()
    running = bridge({"door": board()}, capture={"timeout": 1})
    running.wait_for_log(r"cameras \['door'\] run")
    assert isinstance(running.config, dict)
    assert running.config["capture"] == {"timeout": 1}
    running.reload({**running.config, "cameras": {"garden": {"url": "ws://192.0.2.1"}}})
    running.wait_for_log(r"cameras \['garden'\]")
    assert running.memory() > 1_000_000
    assert running.threads() >= 1
    assert running.fds() > 3
    assert running.cpu() > 0
    assert running.stop() == 0
    states = watcher.wait(f"{base_topic}/bridge/state", count=2)
    assert [m.text for m in states] == ["online", "offline"]


@pytest.mark.usefixtures("stand_in")
def test_a_bridge_that_is_killed_is_ready_only_when_it_is_back(
    bridge: StartBridge, client: Clients, base_topic: str
) -> None:
    watcher = client()
    running = bridge()
    running.kill()
    running.start()
    states = watcher.wait(f"{base_topic}/bridge/state", count=3)
    assert [m.text for m in states] == ["online", "offline", "online"]


def test_a_bridge_that_does_not_start_says_why(bridge: StartBridge, stand_in: Path) -> None:
    stand_in.write_text("raise SystemExit('no such camera')")
    running = bridge(start=False)
    with pytest.raises(AssertionError, match=r"has ended:\nno such camera"):
        running.start()
    assert running.wait() == 1
