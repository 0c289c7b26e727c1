"""The firmware and its clients: bad, slow, silent, many, and for a long time."""

import json
import os
import queue
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Self
from urllib.parse import urlsplit

import pytest
import websocket

from tests.conftest import Simulators
from tests.fakes.pauses import pauses
from tests.fakes.simulator import Simulator
from tests.fakes.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, encode, header
from tests.fakes.wire import V1, connected, picture, talking, wait_until_up

LONGEST = 6_000
"""Milliseconds for which a client may hold up the others, by the contract."""

_MASK = b"\0\0\0\0"  # leaves the payload as it is
_RESET = struct.pack("ii", 1, 0)


@contextmanager
def stranger(board: Simulator, data: bytes = b"") -> Iterator[socket.socket]:
    """A TCP connection on which something was sent, and nothing more is."""
    address = urlsplit(board.url)
    with socket.create_connection((address.hostname, address.port), timeout=15) as sock:
        sock.sendall(data)
        yield sock


def request(path: str = "/v1") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def longest_gap(v1: V1, until: Callable[[], bool]) -> int:
    """How long the board left this client without an answer at most, by its own clock."""
    before, gap = v1.ask("status")["uptime_ms"], 0
    while not until():
        now = v1.ask("status")["uptime_ms"]
        before, gap = now, max(gap, now - before)
    return gap


# One that does not read


@pytest.mark.parametrize("path", ["/", "/v1"])
def test_a_client_that_stops_reading_is_cut_off_and_delays_others_within_the_limit(
    simulator: Simulators, path: str
) -> None:
    board = simulator(framesize="UXGA", quality=8)
    small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
    with talking(board.url) as other, connected(board.url, path, sockopt=small) as stuck:
        stuck.send("capture")
        with pauses() as paused:
            gap = longest_gap(other, until=lambda: board.state()["sockets"] == 1)
            assert gap - paused() * 1000 <= LONGEST
        other.capture(framesize="QVGA")
        received = b""
        with suppress(ConnectionError):
            assert stuck.sock is not None
            while data := stuck.sock.recv(65_536):
                received += data
        assert 0 < len(received) < 100_000  # not all of the picture
        assert not received.endswith(b"\xff\xd9")


def test_a_slow_network_is_no_reason_to_cut_a_client_off(simulator: Simulators) -> None:
    board = simulator(framesize="VGA", link_rate=100_000)
    with talking(board.url) as v1:
        _, data = v1.capture()
        assert len(data) > 10_000
        v1.capture()


# Strangers


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HT", id="half a line"),
        pytest.param(request()[:-2], id="half a request"),
        pytest.param(request() + b"\x81", id="half a frame's header"),
        pytest.param(request() + encode(TEXT, b"capture", mask=_MASK)[:-3], id="half a frame"),
        pytest.param(request("/") + encode(TEXT, b"x" * 900, mask=_MASK)[:-3], id="half of more"),
    ],
)
def test_what_a_stranger_does_not_finish_delays_nobody(simulator: Simulators, data: bytes) -> None:
    board = simulator(framesize="QVGA")
    with talking(board.url) as v1, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(stranger(board, data))
            captured = v1.ask("status")["captures"]
            before = v1.ask("status")["uptime_ms"]
            v1.capture()
            with talking(board.url) as newcomer:
                after = newcomer.ask("status")
            assert after["captures"] == captured + 1
            assert after["uptime_ms"] - before < 5_000  # the library waits so long for the rest


def test_five_silent_strangers_keep_nobody_out(simulator: Simulators) -> None:
    board = simulator(framesize="QVGA")
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(stranger(board))
        with talking(board.url) as v1:
            v1.capture()


@pytest.mark.parametrize("path", ["/", "/v1"])
def test_five_strangers_who_never_ask_keep_nobody_out(simulator: Simulators, path: str) -> None:
    board = simulator(framesize="QVGA")
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(connected(board.url, path))
        with talking(board.url) as v1:
            v1.capture()


def test_five_clients_who_have_fallen_silent_keep_nobody_out(simulator: Simulators) -> None:
    board = simulator(framesize="QVGA")
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(board.url)) for _ in range(5)]
        for client in clients:
            client.send("capture")
        for client in clients:
            picture(client)
        board.tell("advance 6")
        with talking(board.url) as v1:
            v1.capture()


@pytest.mark.parametrize("key", ["", "sesame"])
def test_the_one_who_works_is_never_sent_away_for_a_stranger(
    simulator: Simulators, key: str
) -> None:
    board = simulator(framesize="QVGA", **({"key": key} if key else {}))
    with talking(board.url, key=key or None) as v1, ExitStack() as stack:
        v1.capture()
        board.tell("advance 3")
        for _ in range(12):
            stack.enter_context(stranger(board, request("/v1")))
            v1.ask("status")
        v1.capture()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"POST /v1 HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 100_000, b"4"),
    ],
)
def test_what_is_no_handshake_is_refused(simulator: Simulators, data: bytes, status: bytes) -> None:
    board = simulator()
    with talking(board.url) as v1:
        with stranger(board) as sock:
            received = b""
            with suppress(ConnectionError):  # a reset may overtake the answer to what is too long
                sock.sendall(data)
                while more := sock.recv(4096):
                    received += more
            if len(data) < 1000 or received:
                assert received.startswith(b"HTTP/1.1 " + status)
        assert v1.ask("status")["type"] == "status"


BROKEN = {
    "unmasked": encode(TEXT, b"capture"),
    "reserved bit": b"\xf1" + encode(TEXT, b"capture", mask=_MASK)[1:],
    "reserved opcode": encode(0x3, b"capture", mask=_MASK),
    "long ping": encode(PING, b"x" * 126, mask=_MASK),
    "fragmented ping": encode(PING, b"x", fin=False, mask=_MASK),
    "endless": b"\x81\xff" + (2**63).to_bytes(8) + _MASK,
    "too long": encode(TEXT, b"x" * 16_000, mask=_MASK),
    "loose continuation": encode(CONTINUATION, b"x", mask=_MASK),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_frame_ends_its_connection_alone(simulator: Simulators, name: str) -> None:
    board = simulator(framesize="QVGA")
    with talking(board.url) as v1:
        with stranger(board, request() + BROKEN[name]) as sock:
            if name != "loose continuation":  # which is answered, or ends it too
                with suppress(ConnectionError):
                    while sock.recv(4096):
                        pass
        assert v1.ask("status")["type"] == "status"
        v1.capture()


# Very many messages

_SEEDS = [
    b'{"cmd":"status","id":"s"}',
    b'{"cmd":"set","settings":{"quality":20,"vflip":true,"framesize":"QVGA"},"persist":false}',
    b'{"cmd":"capture","id":"c","quality":99}',
    b'{"cmd":"auth","mac":"00"}',
    b'{"cmd":["x"],"id":"\\ud83d\\ude00"}',
    b"",
]
_ANSWERS = {"error", "status", "settings", "ok", "image"}
_BATCH = 100


def _message(chance: random.Random) -> bytes:
    message = bytearray(chance.choice(_SEEDS))
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(message) + 1)
        message[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
    return bytes(message) if chance.random() < 0.9 else chance.randbytes(chance.randrange(1500))


def _frame_of(opcode: int, payload: bytes) -> bytes:
    """A frame whose mask leaves its payload as it is, which is quickly done."""
    return header(opcode, len(payload), mask=_MASK) + payload


class _Raw:
    """A connection whose frames are counted and not looked at."""

    def __init__(self, board: Simulator, path: str) -> None:
        address = urlsplit(board.url)
        self.sock = socket.create_connection((address.hostname, address.port), timeout=30)
        self.sock.sendall(request(path))
        self.received = b""
        while b"\r\n\r\n" not in self.received:
            self.received += self.sock.recv(65_536)
        assert self.received.startswith(b"HTTP/1.1 101")
        self.received = self.received.partition(b"\r\n\r\n")[2]
        self._to_send: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send)
        self._sender.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the board may have gone first
            self.sock.shutdown(socket.SHUT_RDWR)
        self._to_send.put(b"")
        self._sender.join()
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send, without waiting for it: the board reads no faster than it answers."""
        self._to_send.put(data)

    def frame(self) -> tuple[int, bytes]:
        """The next frame that is no ping; a ping is answered."""
        opcode, data = self._frame()
        while opcode == PING:
            self.send(encode(PONG, data, mask=_MASK))
            opcode, data = self._frame()
        return opcode, data

    def _send(self) -> None:
        with suppress(OSError):
            while data := self._to_send.get():
                self.sock.sendall(data)

    def _frame(self) -> tuple[int, bytes]:
        opcode = self._take(1)[0] & 0x0F
        length = self._take(1)[0]
        if length > 125:
            length = int.from_bytes(self._take(2 if length == 126 else 8))
        return opcode, self._take(length)

    def answer(self) -> bytes:
        """The next text; what belongs to it, or to none, is passed over."""
        while True:
            opcode, data = self.frame()
            assert opcode != CLOSE, data
            if opcode == TEXT:
                return data

    def _take(self, count: int) -> bytes:
        while len(self.received) < count:
            more = self.sock.recv(65_536)
            assert more, "the board hung up"
            self.received += more
        taken, self.received = self.received[:count], self.received[count:]
        return taken


def _chance() -> random.Random:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")  # shown if it fails
    return random.Random(seed)


@pytest.mark.timeout(600)  # much work, and with sanitizers more
def test_a_hundred_thousand_random_messages_bring_an_answer_each_and_no_harm(
    simulator: Simulators,
) -> None:
    """To four boards at once, as each answers no more than one in a round of its loop."""
    chance = _chance()
    boards = [simulator(framesize="QVGA", fps=1000) for _ in range(4)]
    with ExitStack() as stack:
        for board in boards:
            stack.enter_context(board.hurrying())
        clients = [stack.enter_context(_Raw(board, "/v1")) for board in boards for _ in range(2)]
        for client in clients:
            assert json.loads(client.answer())["type"] == "hello"
        for _ in range(100_000 // _BATCH // len(clients)):
            for client in clients:
                kinds = [chance.choices((TEXT, BINARY), (9, 1))[0] for _ in range(_BATCH)]
                client.send(b"".join(_frame_of(kind, _message(chance)) for kind in kinds))
            for client in clients:
                for _ in range(_BATCH):
                    answer = client.answer()
                    assert len(answer) <= 1024
                    assert json.loads(answer)["type"] in _ANSWERS
    for board in boards:
        with talking(board.url) as v1:
            v1.capture(framesize="QVGA")
            assert v1.ask("status")["reset_reason"] == "power_on"
        assert board.starts() == 1


def test_random_messages_bring_nothing_on_the_old_wire(simulator: Simulators) -> None:
    chance = _chance()
    board = simulator(framesize="QVGA")
    with board.hurrying(), _Raw(board, "/") as client:
        for _ in range(20):
            frames = [_frame_of(TEXT, _message(chance)) for _ in range(_BATCH)]
            client.send(b"".join(frames) + _frame_of(PING, b"end"))
            assert client.frame() == (PONG, b"end")
    with talking(board.url) as v1:
        assert v1.ask("status")["captures"] == 0


def test_random_bytes_end_their_connection_alone(simulator: Simulators) -> None:
    chance = _chance()
    board = simulator(framesize="QVGA")
    with talking(board.url) as v1:
        for number in range(300):
            prefix = request() if number % 2 else b""
            with stranger(board, prefix + chance.randbytes(chance.randrange(1, 400))):
                pass
            v1.ask("status")
        v1.capture()
    assert board.starts() == 1


# A day


def _leave_politely(client: websocket.WebSocket) -> None:
    client.close(timeout=1)


def _leave_without_a_word(client: websocket.WebSocket) -> None:
    client.shutdown()  # type: ignore[no-untyped-call]


def _reset(client: websocket.WebSocket) -> None:
    assert client.sock is not None
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    client.sock.close()


def _leave_in_the_middle(client: websocket.WebSocket) -> None:
    client.send('{"cmd":"capture"}')
    _reset(client)


@pytest.mark.timeout(600)  # much work, and with sanitizers more
def test_a_day_of_clients_that_come_and_go_leaves_nothing_behind(
    simulator: Simulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,440 of them, one a minute by the board's clock; the first half is for warming up."""
    # With a sanitizer, what was given back is kept for a while: for as little as can be.
    monkeypatch.setenv("ASAN_OPTIONS", "quarantine_size_mb=1")
    board = simulator(framesize="QVGA", fps=1000)
    memory = fds = 0
    with board.hurrying():
        for minute in range(1, 1441):
            _visit(board, minute)
            if minute == 721:
                wait_for_sockets(board, 0)
                memory, fds = board.memory(), board.fds()
        wait_until_up(board.url)  # the day ends with the Wi-Fi coming back
        with talking(board.url) as v1:
            v1.capture()
            status = v1.ask("status")
        assert status["uptime_ms"] > 24 * 3_600_000
        assert status["wifi_reconnects"] == 24
        wait_for_sockets(board, 0)
    state = board.state()
    assert (state["frames"], state["led"]) == (0, 0)
    assert board.starts() == 1
    wait_for(lambda: board.fds() <= fds, board)  # our own questions have one for a moment too
    assert board.memory() <= memory + 500_000


def _visit(board: Simulator, minute: int) -> None:
    """Come, have a picture taken, and go; once an hour the Wi-Fi goes first."""
    client = _come(board.url)
    v1 = V1(client)
    v1.capture(flash=minute % 7 == 0, settle_ms=0)
    if minute % 60:
        leave = (_leave_politely, _leave_without_a_word, _reset, _leave_in_the_middle)
        leave[minute % len(leave)](client)
        board.tell("advance 60")
    else:
        board.tell("wifi down")
        _leave_without_a_word(client)
        board.tell("advance 20")
        board.tell("wifi up")
        board.tell("advance 40")


def _come(url: str) -> websocket.WebSocket:
    """Connect, as soon as the board lets one."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return websocket.create_connection(url + "/v1", timeout=15)
        except (OSError, websocket.WebSocketException):
            assert time.monotonic() < deadline


def wait_for_sockets(board: Simulator, count: int) -> None:
    """Wait until the board has noticed who is gone."""
    wait_for(lambda: bool(board.state()["sockets"] == count), board)


def wait_for(condition: Callable[[], bool], board: Simulator) -> None:
    """Wait until something holds of a board."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, (board.fds(), board.state())
