"""A board to test against. It speaks both wires byte for byte, and misbehaves on demand.

The legacy wire is what the old sketch was seen to do with the genuine library, its crash at an
empty text included; v1 is what our firmware adds on the path ``/v1``. What a board does when it is
connected to, greets or is asked for a picture is scripted with `tests.fakes.behaviours`.
"""

import hmac
import json
import queue
import secrets
import select
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeVar

from tests.fakes.picture import noise, stamped
from tests.fakes.picture import stamp as stamp  # what a test that has a board needs too
from tests.fakes.port import listen, number, reserve
from tests.fakes.websocket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    accept_key,
    encode,
    masked,
)

FRAMESIZES = {
    "QVGA": (320, 240),
    "CIF": (400, 296),
    "VGA": (640, 480),
    "SVGA": (800, 600),
    "XGA": (1024, 768),
    "SXGA": (1280, 1024),
    "UXGA": (1600, 1200),
}

MAX_RECEIVED = 15 * 1024
"""Bytes of a message that the boards' library takes; a longer one ends the connection, 1009."""

_MAX_REQUEST = 16 * 1024
_STAMP_ROOM = 512
_LOOK_UP = 100  # ms after which a thread that waits for a peer looks whether it is to end
_LINGER_RST = struct.pack("ii", 1, 0)

T = TypeVar("T")


class Asked(NamedTuple):
    """A capture that was asked for: monotonic time, and the raw message."""

    at_ns: int
    command: bytes


@dataclass(frozen=True)
class Pace:
    """How slow a board is: seconds of the sensor, and of the gap after each segment it sends."""

    sensor: float = 0.0
    segment: int = 1_436
    gap: float = 0.0


ESP32 = Pace(sensor=0.06, segment=1_436, gap=0.0005)


@dataclass(frozen=True)
class OnConnect:
    """What a board does with a TCP connection, up to the 101 or instead of it."""

    play: Callable[["Connection"], None]


@dataclass(frozen=True)
class OnHello:
    """What a v1 board says first."""

    play: Callable[["Connection"], None]


@dataclass(frozen=True)
class OnCapture:
    """What a board does when it is asked for a picture."""

    play: Callable[["Shot"], None]


Behaviour = OnConnect | OnHello | OnCapture
B = TypeVar("B", OnConnect, OnHello, OnCapture)


@OnConnect
def welcome(connection: "Connection") -> None:
    """Read the request and answer 101, as it should be."""
    connection.read_request()
    connection.upgrade()


@OnHello
def greet(connection: "Connection") -> None:
    """Say who we are, as it should be."""
    connection.send_json(connection.hello())


@OnCapture
def normal(shot: "Shot") -> None:
    """Take a picture and send it, as it should be."""
    shot.send()


class FakeBoard:
    """A WebSocket server with a camera, in threads of its own, from ``start()`` to ``stop()``.

    What happened is on record: ``connections`` ever accepted, ``paths`` and ``headers`` (names in
    lower case) of their handshakes, every frame in ``frames``, captures in ``asked``, breaches
    of the protocol in ``violations``. `wait_for` and its kind wait for such a thing to come.

    Args:
        wire: ``legacy`` is the old sketch; ``v1`` our firmware, which is as good as one elsewhere.
        key: v1's secret. Other paths are then refused, unless ``allow_legacy``.
        tls: files of a certificate and its key; ``wss://`` then.
        size: bytes of each picture, exactly, unless its frame size takes more.
        photo: a JPEG to send instead of noise.
        pace: such as `ESP32`; without, as fast as it goes.
        slots: connections at once; a further one is accepted and reset.
        hello: keys of the hello that differ.
        boot: seconds that a restart takes.
    """

    def __init__(
        self,
        name: str = "board",
        *,
        wire: Literal["legacy", "v1"] = "legacy",
        key: str | None = None,
        allow_legacy: bool = False,
        host: str = "127.0.0.1",
        tls: tuple[Path, Path] | None = None,
        size: int = 20_000,
        framesize: str = "VGA",
        photo: bytes | None = None,
        pace: Pace | None = None,
        slots: int = 5,
        hello: Mapping[str, Any] | None = None,
        boot: float = 0.05,
    ) -> None:
        self.name = name
        self.wire = wire
        self.key = key
        self.allow_legacy = allow_legacy
        self.host = host
        self.size = size
        self.photo = photo
        self.pace = pace
        self.slots = slots
        self.hello = dict(hello or {})
        self.boot = boot
        self.settings: dict[str, Any] = {
            "framesize": framesize,
            "quality": 12,
            "flash": False,
            "flash_level": 50,
            "vflip": True,
            "hmirror": False,
            "xclk_mhz": 20,
        }

        self.connections = 0
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.asked: list[Asked] = []
        self.frames: list[Frame] = []
        self.violations: list[str] = []
        self.crashed = False
        self.restarts = 0

        self.tls: ssl.SSLContext | None = None
        if tls is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._port: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._open: list[Connection] = []
        self._threads: list[threading.Thread] = []
        self._pictures = 0
        self._started = time.monotonic()
        self._always: dict[type[Behaviour], Behaviour] = {
            OnConnect: welcome,
            OnHello: greet,
            OnCapture: normal,
        }
        self._script: dict[type[Behaviour], deque[Behaviour]] = {
            kind: deque() for kind in self._always
        }

    def __repr__(self) -> str:
        return (
            f"<FakeBoard {self.name}: {self.connections} connections, {self.open} open, "
            f"{len(self.asked)} captures asked, last frames {self.frames[-5:]}>"
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Life

    def start(self, *, listening: bool = True) -> None:
        """Take a port, which stays ours until `stop`, and listen on it."""
        self._port = reserve(self.host)
        if listening:
            self.resume()

    def stop(self) -> None:
        """Hang up on everybody; all threads have ended afterwards."""
        self._stopping.set()
        self.pause()
        self.drop()
        while thread := self._a_thread():  # each may have begun another
            thread.join(10)
            assert not thread.is_alive(), f"{thread.name} does not end"
        if self._port is not None:
            self._port.close()

    def pause(self) -> None:
        """Stop listening: who connects is refused. Connections that are open stay so."""
        with self._changed:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which close() does not
            listener.close()

    def resume(self) -> None:
        """Listen again, on the same port."""
        with self._changed:
            if self._listener is None and not self._stopping.is_set():
                self._listener = listen(self._reserved())
                self.spawn(self._accept, self._listener)

    def restart(self) -> None:
        """Hang up on everybody and be back after ``boot`` seconds."""
        self.pause()
        self.drop()
        with self._recording():
            self.restarts += 1
            self._started = time.monotonic()

        def come_back() -> None:
            self._stopping.wait(self.boot)
            self.resume()

        self.spawn(come_back)

    def crash(self) -> None:
        """Be gone, as the old sketch at an empty text; it stays down until `resume`."""
        self.pause()
        self.drop(reset=True)
        with self._recording():
            self.crashed = True

    @property
    def port(self) -> int:
        """The port, also while nobody listens on it."""
        return number(self._reserved())

    @property
    def url(self) -> str:
        """Where the board is, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ws' if self.tls is None else 'wss'}://{host}:{self.port}"

    # What it is to do

    def script(self, *behaviours: Behaviour) -> None:
        """Do these things instead, each once and in this order; then as always again.

        Those for a connection, a hello and a capture are each used up by their own kind.
        """
        with self._changed:
            for behaviour in behaviours:
                self._script[type(behaviour)].append(behaviour)

    def always(self, *behaviours: Behaviour) -> None:
        """Do this from now on; `welcome`, `greet` and `normal` make it well again."""
        with self._changed:
            for behaviour in behaviours:
                self._always[type(behaviour)] = behaviour

    def send_unasked(self, jpeg: bytes | None = None, *, announced: bool = True) -> bytes:
        """Send a picture that nobody asked for, to everybody; it is on its way on return.

        On v1 it is ``announced`` like one that a bare ``capture`` brings.
        """
        with self._recording():
            seq = self._next_picture()
        taken: list[bytes] = []

        def send(connection: "Connection") -> None:
            shot = Shot(connection, seq, None)
            taken.append(shot.jpeg if jpeg is None else jpeg)
            if announced:
                shot.announce(taken[-1])
            connection.send(encode(BINARY, taken[-1]))

        self._everywhere(send)
        return taken[0]

    def send(self, data: bytes) -> None:
        """Send these bytes as they are, to everybody; they are on their way on return."""
        self._everywhere(lambda connection: connection.send(data))

    def drop(self, *, reset: bool = False) -> None:
        """Hang up on everybody, with a FIN or a RST."""
        with self._changed:
            connections = [*self._open]
        for connection in connections:
            connection.close(reset=reset)

    # What happened

    @property
    def open(self) -> int:
        """TCP connections that are open now."""
        return len(self._open)

    @property
    def texts(self) -> list[str]:
        """The text messages received so far."""
        texts = [frame.payload for frame in self.frames if frame.opcode == TEXT]
        return [text.decode(errors="replace") for text in texts]

    @property
    def captures(self) -> int:
        """How many pictures it was asked for."""
        return len(self.asked)

    def wait_for_captures(self, count: int, timeout: float = 10.0) -> None:
        """Wait until it was asked for so many pictures."""
        self.wait_for_asked(count, timeout)

    def clock(self) -> float:
        """Now, by the clock that its pictures tell the time by, in milliseconds."""
        return time.monotonic_ns() / 1e6

    def exposed(self, jpeg: bytes) -> float:
        """When a picture was taken, by that clock."""
        asked_ns: int = stamp(jpeg)["asked_ns"]
        return asked_ns / 1e6

    def wait_for(self, predicate: Callable[["FakeBoard"], object], timeout: float = 10.0) -> None:
        """Wait until ``predicate(board)`` holds, which is looked at whenever something happens."""
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(self), timeout):
                raise AssertionError(f"not within {timeout} s: {self}")

    def wait_for_asked(self, count: int = 1, timeout: float = 10.0) -> Asked:
        """Wait until that many captures were asked for, ever; the last of them comes back."""
        self.wait_for(lambda board: len(board.asked) >= count, timeout)
        return self.asked[count - 1]

    def wait_for_connections(self, count: int = 1, timeout: float = 10.0) -> None:
        """Wait until that many connections were accepted, ever."""
        self.wait_for(lambda board: board.connections >= count, timeout)

    def wait_for_open(self, count: int = 1, timeout: float = 10.0) -> None:
        """Wait until exactly that many connections are open; 0 is that all were closed."""
        self.wait_for(lambda board: board.open == count, timeout)

    def wait_for_frame(self, predicate: Callable[[Frame], object], timeout: float = 10.0) -> Frame:
        """Wait for a frame that ``predicate`` likes; the first such one ever comes back."""
        self.wait_for(lambda board: any(map(predicate, board.frames)), timeout)
        return next(filter(predicate, self.frames))

    def _a_thread(self) -> threading.Thread | None:
        """One to wait for. `spawn` holds the lock until it is started: before, it has no end."""
        with self._changed:
            return self._threads.pop() if self._threads else None

    # For the connections

    def spawn(self, target: Callable[..., None], *args: object) -> None:
        """Run it in a thread that `stop` waits for."""
        thread = threading.Thread(target=target, args=args, name=f"board {self.name}", daemon=True)
        with self._changed:
            self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
            thread.start()

    def turn(self, kind: type[B]) -> B:
        """What to do now, which is used up by that."""
        with self._changed:
            script = self._script[kind]
            behaviour = script.popleft() if script else self._always[kind]
        assert isinstance(behaviour, kind)
        return behaviour

    def opened(self, path: str, headers: dict[str, str]) -> None:
        """Note a handshake."""
        with self._recording():
            self.paths.append(path)
            self.headers.append(headers)

    def received(self, frame: Frame) -> None:
        """Note a frame."""
        with self._recording():
            self.frames.append(frame)
            if not frame.masked:
                self.violations.append(f"an unmasked frame: {frame}")

    def closed(self, connection: "Connection") -> None:
        """Note the end of a connection."""
        with self._recording():
            self._open.remove(connection)

    def ask(
        self, connection: "Connection", message: bytes, command: Mapping[str, Any] | None = None
    ) -> None:
        """Note that a picture is wanted, and have the connection take it."""
        with self._recording():
            asked = Asked(time.monotonic_ns(), message)
            self.asked.append(asked)
            shot = Shot(connection, self._next_picture(), asked.at_ns, command)
        behaviour = self.turn(OnCapture)

        def take() -> None:
            if self.pace is not None:
                connection.wait(self.pace.sensor)
            behaviour.play(shot)

        connection.do(take)

    def status(self) -> dict[str, Any]:
        """Health, as v1 tells it."""
        return {
            "uptime_ms": int((time.monotonic() - self._started) * 1000),
            "rssi": -61,
            "heap": 150_000,
            "min_heap": 120_000,
            "largest_block": 90_000,
            "psram_free": 3_500_000,
            "reset_reason": "software" if self.restarts else "power_on",
            "captures": len(self.asked),
            "failures": 0,
            "camera_reinits": 0,
            "wifi_reconnects": 0,
        }

    def _next_picture(self) -> int:
        self._pictures += 1
        return self._pictures

    def _reserved(self) -> socket.socket:
        assert self._port is not None, "the board was not started"
        return self._port

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return  # paused
            with self._recording():
                self.connections += 1
                full = len(self._open) >= self.slots
                connection = Connection(self, sock, self.connections)
                self._open.append(connection)
                late = self._listener is not listener
            if full or late:
                connection.close(reset=True)
            self.spawn(connection.run)

    def _everywhere(self, job: Callable[["Connection"], None]) -> None:
        # A client knows of its connection a moment before we do.
        self.wait_for(lambda board: any(c.upgraded.is_set() for c in board._open))
        with self._changed:
            connections = [connection for connection in self._open if connection.upgraded.is_set()]
        for connection in connections:
            done = connection.do(partial(job, connection))
            while not done.wait(0.01):
                assert not connection.gone.is_set(), f"{self.name}: a connection was lost"

    @contextmanager
    def _recording(self) -> Iterator[None]:
        with self._changed:
            yield
            self._changed.notify_all()


class Connection:
    """One TCP connection to a board, with what behaviours need to use or abuse it.

    Its reader is a thread that always listens; what the board says, pongs too, another does in
    turn, as the single loop of a real one does. Whatever waits ends when the connection does.
    """

    def __init__(self, board: FakeBoard, sock: socket.socket, number: int) -> None:
        self.board = board
        self.number = number
        self.path = ""
        self.headers: dict[str, str] = {}
        self.nonce = secrets.token_hex(16)
        self.authorised = board.key is None
        self.gone = threading.Event()
        self.upgraded = threading.Event()
        self._greeting: OnHello | None = None
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._lock = threading.Lock()  # OpenSSL wants a connection used by one thread at a time
        self._received = bytearray()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def run(self) -> None:
        """Serve it to its end."""
        try:
            if self.gone.is_set():
                return  # no slot is free
            self._start_tls()
            self.board.turn(OnConnect).play(self)
            if self.upgraded.is_set():
                self.board.spawn(self._work)
                self._listen()
        except OSError:
            pass  # it is gone, or was never one of TLS: a board doesn't mind
        finally:
            self.close()
            self._jobs.put(None)
            with self._lock:
                self._socket.close()
            self.board.closed(self)

    def close(self, *, reset: bool = False) -> None:
        """Hang up, with a FIN, or with a RST as soon as the reader has noticed."""
        if self.gone.is_set():
            return
        self.gone.set()
        with suppress(OSError):
            if reset:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RST)
            # not the method of an SSLSocket, which would go on in the clear
            socket.socket.shutdown(self._socket, socket.SHUT_RD if reset else socket.SHUT_RDWR)

    # For behaviours

    def send(self, data: bytes) -> None:
        """Send bytes; ``OSError`` if the connection is gone."""
        rest = memoryview(data)

        def send_some() -> int:
            return self._socket.send(rest[:65_536])

        while rest:
            rest = rest[self._step(send_some, select.POLLOUT) :]

    def send_slowly(self, data: bytes) -> None:
        """Send bytes at the board's pace."""
        pace = self.board.pace
        if pace is None:
            self.send(data)
            return
        for at in range(0, len(data), pace.segment):
            self.send(data[at : at + pace.segment])
            time.sleep(pace.gap)

    def send_json(self, message: Mapping[str, Any]) -> None:
        """Send a text message of v1."""
        self.send(encode(TEXT, json.dumps(message).encode()))

    def send_close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame, and leave the connection open."""
        self.send(encode(CLOSE, code.to_bytes(2) + reason.encode()))

    def wait(self, until: float | threading.Event) -> None:
        """Wait for seconds or an event; ``OSError`` if the connection goes first."""
        if not isinstance(until, threading.Event):
            if self.gone.wait(until):
                raise ConnectionAbortedError("gone while waiting")
            return
        while not until.wait(0.005):
            self.wait(0)

    def drain(self) -> None:
        """In place of an answer: read until the client hangs up."""
        while True:
            self._receive()

    def read_request(self) -> None:
        """Read the client's handshake, and note it."""
        while b"\r\n\r\n" not in self._received:
            if len(self._received) > _MAX_REQUEST:
                raise ConnectionAbortedError("a request without an end")
            self._receive()
        request, _, rest = bytes(self._received).partition(b"\r\n\r\n")
        self._received[:] = rest
        first, *lines = request.decode("latin-1").split("\r\n")
        _, _, first = first.partition(" ")
        self.path, _, _ = first.partition(" ")
        pairs = (line.partition(":") for line in lines)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self.board.opened(self.path, self.headers)

    def upgrade(self, answer: bytes | None = None) -> None:
        """Answer 101, in these bytes or as usual; the connection is a WebSocket from here on."""
        if "sec-websocket-key" not in self.headers:
            self.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            return
        # Its turn comes before the client knows, and may make its next connection.
        self._greeting = self.board.turn(OnHello) if self.v1 else None
        self.send(self.switching_protocols() if answer is None else answer)
        with self.board._recording():
            self.upgraded.set()

    def switching_protocols(self, accept: str | None = None) -> bytes:
        """The 101 as the boards' library writes it, its own sub-protocol for any included."""
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Server: arduino-WebSocketsServer",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Accept: {accept or accept_key(self.headers['sec-websocket-key'])}",
        ]
        if "sec-websocket-protocol" in self.headers:
            lines.append("Sec-WebSocket-Protocol: arduino")
        return "\r\n".join([*lines, "", ""]).encode()

    def hello(self, **changes: Any) -> dict[str, Any]:
        """The board's hello on this connection."""
        hello = {
            "type": "hello",
            "protocol": 1,
            "device": "esp32cam",
            "name": self.board.name,
            "firmware": "1.0.0",
            "board": "ai-thinker",
            "sensor": "OV2640",
            "psram": True,
            "framesizes": list(FRAMESIZES),
            "features": ["flash", "framesize", "quality", "status", "settings", "restart"],
            "auth": "none",
        }
        if self.board.key is not None:
            hello |= {"auth": "hmac", "nonce": self.nonce}
        return hello | self.board.hello | changes

    @property
    def v1(self) -> bool:
        """Whether it speaks v1, rather than the old sketch's wire."""
        return self.board.wire == "v1" and self.path.partition("?")[0] == "/v1"

    def do(self, job: Callable[[], None]) -> threading.Event:
        """Do it when all that came before is done; the event says when it was."""
        done = threading.Event()

        def work() -> None:
            job()
            done.set()

        self._jobs.put(work)
        return done

    # Reading

    def _start_tls(self) -> None:
        if self.board.tls is not None:
            self._socket = self.board.tls.wrap_socket(
                self._socket, server_side=True, do_handshake_on_connect=False
            )
            self._step(self._socket.do_handshake, select.POLLIN)

    def _listen(self) -> None:
        while True:
            frame = self._read_frame()
            self.board.received(frame)
            if frame.opcode == PING:
                self.do(partial(self.send, encode(PONG, frame.payload)))
            elif frame.opcode == CLOSE:
                self.do(self._take_leave)
            elif frame.opcode == TEXT and frame.fin:
                self._understand(frame.payload)

    def _read_frame(self) -> Frame:
        first, second = self._read(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(self._read(2 if length == 126 else 8))
        if length > MAX_RECEIVED:
            self.do(partial(self._take_leave, 1009))
            self.drain()
        mask = self._read(4) if second & 0x80 else b""
        payload = masked(self._read(length), mask)
        return Frame(
            time.monotonic_ns(), self.number, first & 0x0F, payload, bool(first & 0x80), bool(mask)
        )

    def _read(self, count: int) -> bytes:
        while len(self._received) < count:
            self._receive()
        data = bytes(self._received[:count])
        del self._received[:count]
        return data

    def _receive(self) -> None:
        data = self._step(lambda: self._socket.recv(65_536), select.POLLIN)
        if not data:
            raise ConnectionAbortedError("the client hung up")
        self._received += data

    def _step(self, step: Callable[[], T], events: int) -> T:
        """Do what may not block as soon as it can be done."""
        while not self.gone.is_set():
            with self._lock:
                try:
                    return step()
                except BlockingIOError:
                    wanted = events
                except ssl.SSLWantReadError:
                    wanted = select.POLLIN
                except ssl.SSLWantWriteError:
                    wanted = select.POLLOUT
                poll = select.poll()
                poll.register(self._socket, wanted)
            poll.poll(_LOOK_UP)
        raise ConnectionAbortedError("gone")

    # Answering

    def _work(self) -> None:
        try:
            self.send(encode(PING))
            if self._greeting is not None:
                self._greeting.play(self)
            elif self.board.wire == "v1" and self.board.key and not self.board.allow_legacy:
                self._take_leave()
            while job := self._jobs.get():
                job()
        except OSError:
            pass  # it is gone: what there was to say is said
        finally:
            self.close()

    def _take_leave(self, code: int = 1000) -> None:
        self.send_close(code)
        self.close()

    def _understand(self, message: bytes) -> None:
        if self.v1:
            self._understand_v1(message)
        elif not message and self.board.wire == "legacy":
            self.board.crash()  # strcmp() of a null pointer
        elif message.split(b"\0")[0] == b"capture":  # strcmp() sees no further
            self.board.ask(self, message)

    def _understand_v1(self, message: bytes) -> None:
        if message == b"capture":
            command: Any = {"cmd": "capture"}
        else:
            try:
                command = json.loads(message)
            except ValueError:
                command = None
        if not isinstance(command, dict):
            self._fail(None, "bad_request")
        elif command.get("cmd") == "auth":
            self._authorise(command)
        elif not self.authorised:
            self._fail(command.get("id"), "unauthorized")
        else:
            self._obey(message, command)

    def _authorise(self, command: dict[str, Any]) -> None:
        key = (self.board.key or "").encode()
        mac = hmac.new(key, self.nonce.encode(), "sha256").hexdigest()
        if hmac.compare_digest(str(command.get("mac")), mac):
            self.authorised = True
            self.do(partial(self.send_json, {"type": "ok", "cmd": "auth"}))
        else:
            self._fail(command.get("id"), "unauthorized")
            self.do(self._take_leave)

    def _obey(self, message: bytes, command: dict[str, Any]) -> None:
        id_ = command.get("id")
        match command.get("cmd"):
            case "capture" if str(command.get("framesize", "VGA")) not in FRAMESIZES:
                self._fail(id_, "bad_framesize")
            case "capture":
                self.board.ask(self, message, command)
            case "status":
                self._answer(id_, {"type": "status", **self.board.status()})
            case "set":
                settings = command.get("settings")
                if not isinstance(settings, dict) or settings.keys() - self.board.settings.keys():
                    self._fail(id_, "bad_request")
                elif str(settings.get("framesize", "VGA")) not in FRAMESIZES:
                    self._fail(id_, "bad_framesize")
                else:
                    self.board.settings |= settings
                    self._answer(id_, {"type": "settings", **self.board.settings})
            case "restart":
                self._answer(id_, {"type": "ok", "cmd": "restart"})
                self.do(self.board.restart)
            case _:
                self._fail(id_, "unknown_command")

    def _fail(self, id_: object, error: str) -> None:
        self._answer(id_, {"type": "error", "error": error, "detail": f"this is {self.board.name}"})

    def _answer(self, id_: object, message: dict[str, Any]) -> None:
        self.do(partial(self.send_json, message if id_ is None else {**message, "id": id_}))


@dataclass
class Shot:
    """One picture to take, for the connection that asked; ``asked_ns`` is None if none did."""

    connection: Connection
    seq: int
    asked_ns: int | None
    command: Mapping[str, Any] | None = None

    @property
    def board(self) -> FakeBoard:
        """The board that takes it."""
        return self.connection.board

    @cached_property
    def stamp(self) -> dict[str, Any]:
        """What the picture says of itself."""
        command = self.command or {}
        return {
            "board": self.board.name,
            "seq": self.seq,
            "asked_ns": self.asked_ns,
            "id": command.get("id"),
            "path": self.connection.path,
            "flash": command.get("flash", self.board.settings["flash"]),
            "framesize": command.get("framesize", self.board.settings["framesize"]),
            "quality": command.get("quality", self.board.settings["quality"]),
        }

    @cached_property
    def jpeg(self) -> bytes:
        """The picture."""
        return self.of_size(self.board.size)

    def of_size(self, size: int) -> bytes:
        """The picture with exactly that many bytes, unless it needs more."""
        base = self.board.photo
        if base is None:
            base = noise(*FRAMESIZES[self.stamp["framesize"]], size - _STAMP_ROOM)
        return stamped(base, self.stamp, size=size)

    def announce(self, jpeg: bytes, **changes: Any) -> None:
        """On v1 send the text that comes before a picture; on the legacy wire nothing."""
        if not self.connection.v1:
            return
        width, height = FRAMESIZES[self.stamp["framesize"]]
        head = {
            "type": "image",
            "id": self.stamp["id"],
            "bytes": len(jpeg),
            "crc32": f"{zlib.crc32(jpeg):08x}",
            "width": width,
            "height": height,
            "age_ms": 40,
            "dropped": 1,
            "flash": self.stamp["flash"],
        } | changes
        self.connection.send_json({key: head[key] for key in head if head[key] is not None})

    def send(self, jpeg: bytes | None = None, **changes: Any) -> None:
        """Send the picture, or this instead of it, announced as such except for ``changes``."""
        jpeg = self.jpeg if jpeg is None else jpeg
        self.announce(jpeg, **changes)
        self.connection.send_slowly(encode(BINARY, jpeg))
