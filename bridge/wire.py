"""One WebSocket connection to a board, guarded: made in a thread, read in the loop.

Only this module may import websocket. The library's stock receive path has no
limit of size or time, follows redirects and asks the environment for a proxy, so the connection
is opened here and handed over, and the two classes that it parses frames with are replaced.
"""

import asyncio
import base64
import contextlib
import re
import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import websocket
from websocket import ABNF

from bridge.errors import BadImage, BridgeError, CameraFailed, Unauthorized, Unreachable
from bridge.tls import Tls, TlsError, alert

TEXT = ABNF.OPCODE_TEXT
BINARY = ABNF.OPCODE_BINARY

_HANDSHAKE_BYTES = 16 * 1024  # an answer to a handshake; the boards' has 160
_READ_AHEAD = 4096
_HEAD_ENDS = re.compile(rb"\n\r?\n")
_LOW_WATER = 60_000  # stays below the smallest receive buffer that Linux gives by default
_FRAGMENTS = 8192  # of one message; 4 MiB in a board's segments of 1,436 bytes are 3,000
_MESSAGES = 200  # in a second without a question, pings too; a picture needs two, a heartbeat one
_FULL = "hung up before the handshake was over; are all its connections taken?"
_TURN = 8  # frames that one board is heard for, before it is the others' turn


@dataclass(frozen=True, slots=True)
class Target:
    """Where a board is, and how to be let in."""

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    fingerprint: str | None = None
    insecure: bool = False


class Opening:
    """A connection being made in a thread. ``cancel`` ends it at once, from any thread."""

    def __init__(self, target: Target, deadline: float) -> None:
        self._target = target
        self._deadline = deadline
        self._socket: socket.socket | None = None
        self._cancelled = False
        self._made = False
        parts = urlsplit(target.url)
        self._secure = parts.scheme == "wss"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._where = f"{self._host}:{self._port}"
        self._trust = Tls(
            "tls",
            ca_file=target.ca_file,
            fingerprint=target.fingerprint,
            insecure=target.insecure,
        )

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._cancelled = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            if self._made:  # and nobody has come for it
                self._socket.close()

    def run(self) -> tuple[websocket.WebSocket, bytes]:
        """Look up, connect, greet; blocks until the deadline at most.

        Returns:
            The connection, non-blocking, and what the board sent right behind its greeting.

        Raises:
            Unreachable: it did not come to a WebSocket connection.
            Unauthorized: the board, or what stands before it, wants other credentials.
        """
        try:
            context = self._context() if self._secure else None  # slow, so with nothing open yet
            sock = self._connect()
            made = self._handshake(sock if context is None else self._tls(sock, context))
            self._made = True
            if self._cancelled and self._socket is not None:
                self._socket.close()
        except BaseException:
            if self._socket is not None:
                self._socket.close()
            raise
        return made

    def _connect(self) -> socket.socket:
        try:
            addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise Unreachable(f"{self._host}: the name has no address ({_why(exc)})") from exc
        failure: OSError = TimeoutError()
        for number, (family, kind, proto, _, address) in enumerate(addresses):
            sock = self._socket = socket.socket(family, kind, proto)
            sock.settimeout(max(self._left() / (len(addresses) - number), 0.001))
            try:
                if not self._cancelled:
                    sock.connect(address)
                    _tune(sock)
                    return sock
            except OSError as exc:
                failure = exc
            sock.close()
        if isinstance(failure, ConnectionResetError):
            raise Unreachable(f"{self._where} {_FULL}") from failure
        raise Unreachable(f"{self._where}: {_why(failure)}") from failure

    def _context(self) -> ssl.SSLContext:
        try:
            return self._trust.context()
        except TlsError as exc:
            raise Unreachable(f"{self._where}: TLS: {exc}") from exc

    def _tls(self, sock: socket.socket, context: ssl.SSLContext) -> socket.socket:
        try:
            if self._cancelled:
                raise Unreachable("nobody waits for it any more")
            sock.settimeout(max(self._left(), 0.001))
            secured = context.wrap_socket(sock, server_hostname=self._host)
            self._socket = secured
            self._trust.check_fingerprint(secured)
        except (ssl.SSLError, TlsError) as exc:
            raise Unreachable(f"{self._where}: TLS: {self._trust.explain(exc)}") from exc
        except OSError as exc:
            raise Unreachable(f"{self._where}: TLS failed: {_why(exc)}") from exc
        return secured

    def _handshake(self, sock: socket.socket) -> tuple[websocket.WebSocket, bytes]:
        guarded = _Guarded(sock, self._deadline)
        connection = websocket.WebSocket(enable_multithread=False, skip_utf8_validation=True)
        header = []
        if self._target.username is not None:
            pair = f"{self._target.username}:{self._target.password or ''}".encode()
            header.append(f"Authorization: Basic {base64.b64encode(pair).decode()}")
        try:
            connection.connect(  # type: ignore[no-untyped-call]
                self._target.url,
                socket=guarded,
                header=header,
                redirect_limit=0,
                suppress_origin=True,
            )
        except (websocket.WebSocketException, OSError, ValueError) as exc:
            raise self._refused(guarded, exc) from exc
        finally:
            _forget_cookies()
        sock.setblocking(False)
        connection.sock = sock
        return connection, guarded.rest

    def _refused(self, guarded: "_Guarded", exc: Exception) -> BridgeError:
        status = guarded.status
        if status in (401, 403):
            return Unauthorized(f"{self._where} answers {status}: check username and password")
        if status is not None and status != 101:
            hint = "" if self._port == 81 else "; boards have theirs on port 81"
            what = f"is no WebSocket: it answers with status {status}{hint}"
            return Unreachable(f"{self._where} {what}")
        if isinstance(exc, ssl.SSLError):
            return Unreachable(f"{self._where}: TLS: {self._trust.explain(exc)}")
        if isinstance(exc, TimeoutError | websocket.WebSocketTimeoutException):
            return Unreachable(f"{self._where} was silent during the handshake")
        if isinstance(exc, ConnectionError | websocket.WebSocketConnectionClosedException):
            return Unreachable(f"{self._where} {_FULL}")
        return Unreachable(f"{self._where}: no WebSocket handshake: {_why(exc)}")

    def _left(self) -> float:
        return self._deadline - time.monotonic()


class _Guarded:
    """The socket during the handshake: one deadline, a budget of bytes, and reads in blocks.

    The library reads a handshake byte by byte, with a time limit for each. It gets none before they
    are all there: byte by byte, a head without an end would take the loop's time for milliseconds.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline
        self._head = bytearray()
        self._taken = 0
        self._whole = False

    @property
    def rest(self) -> bytes:
        """What has been received and not been read."""
        return bytes(self._head[self._taken :])

    @property
    def status(self) -> int | None:
        """The HTTP status in what was received."""
        words = bytes(self._head[:64]).split(b" ", 2)
        if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1][:3].isdigit():
            return int(words[1][:3])
        return None

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes."""
        while self._taken == len(self._head) or not self._whole:
            if len(self._head) >= _HANDSHAKE_BYTES:
                raise websocket.WebSocketException(f"over {_HANDSHAKE_BYTES} bytes")
            self._arm()
            received = self._sock.recv(_READ_AHEAD)
            self._head += received
            self._whole = not received or _HEAD_ENDS.search(self._head) is not None
        part = bytes(self._head[self._taken : self._taken + size])
        self._taken += len(part)
        return part

    def send(self, data: bytes) -> int:
        """Some of ``data``."""
        self._arm()
        try:
            return self._sock.send(data)
        except OSError:
            if isinstance(self._sock, ssl.SSLSocket):
                alert(self._sock)
            raise

    def gettimeout(self) -> float | None:
        """As a socket has it; the library asks."""
        return self._sock.gettimeout()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _arm(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)


class Wire:
    """A connection in the loop: calls back for every message, and once when it is lost.

    Args:
        made: what ``Opening.run`` returned.
        max_image: bytes of a binary message; ``max_text`` of a text message.
        message: gets opcode and payload.
        lost: gets the reason; never called for ``abort`` and ``close``.
    """

    def __init__(
        self,
        made: tuple[websocket.WebSocket, bytes],
        *,
        max_image: int,
        max_text: int,
        message: Callable[[int, bytearray], None],
        lost: Callable[[BridgeError], None],
    ) -> None:
        self._connection, rest = made
        assert self._connection.sock is not None
        self._sock = self._connection.sock
        self._fd = self._sock.fileno()
        self._loop = asyncio.get_running_loop()
        self._message = message
        self._lost = lost
        self._frames = _Frames(self._sock, rest, max_image=max_image, max_text=max_text)
        self._connection.frame_buffer = self._frames
        self._connection.cont_frame = _Parts(max_image=max_image, max_text=max_text)
        self._second = 0.0
        self._messages = 0  # in that second
        self._again: asyncio.Handle | None = None
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self.open = True
        self._loop.add_reader(self._fd, self.read)
        if rest:
            self._loop.call_soon(self.read)

    @property
    def received(self) -> int:
        """Bytes received, to see whether anything moves."""
        return self._frames.received

    def send(self, text: str) -> None:
        """Send one text message; it is short and goes into the socket's buffer at once.

        Raises:
            CameraFailed: the connection does not take it, and is aborted.
        """
        try:
            self._messages = 0
            self._connection.send(text)
        except (OSError, websocket.WebSocketException) as exc:
            self.abort()
            raise CameraFailed(f"the connection was lost: {_why(exc)}") from exc

    def read(self) -> None:
        """Take what has arrived, though not more than its turn allows."""
        self._frames.turn = _TURN
        try:
            while self.open:
                opcode, frame = self._connection.recv_data_frame(control_frame=True)
                self._count()
                if opcode == ABNF.OPCODE_CLOSE:
                    self._break(CameraFailed("the board closed the connection"))
                elif self.open and opcode in (TEXT, BINARY):
                    self._message(opcode, frame.data)
                if not self._frames.ahead:
                    return  # a further read would only find nothing
                if opcode == BINARY:
                    self._frames.turn = 0  # who asked for it looks at it before more is taken
        except _TurnOver:
            if self._again is None and self._frames.ahead:  # of this the loop knows nothing
                self._again = self._loop.call_soon(self._read_on)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except BridgeError as exc:
            self._break(exc)
        except (OSError, websocket.WebSocketConnectionClosedException) as exc:
            self._break(CameraFailed(f"the connection was lost: {_why(exc)}"))
        except websocket.WebSocketException as exc:
            self._break(CameraFailed(f"the board does not keep to WebSocket: {_why(exc)}"))

    def _read_on(self) -> None:
        self._again = None
        self.read()

    def _count(self) -> None:
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._messages = now, 0
        self._messages += 1
        if self._messages > _MESSAGES:
            self._break(CameraFailed(f"the board sends over {_MESSAGES} messages in a second"))

    def drain(self) -> None:
        """Take all that has arrived and the loop has not come to yet; mostly there is nothing."""
        while self.open and (self._frames.ahead or self._poll.poll(0)):
            before = self._frames.progress
            self.read()
            if self._frames.progress == before:
                return
            if not self._frames.turn and self.open:
                self._break(CameraFailed("the board talks without end, and was not asked"))

    @property
    def amid(self) -> bool:
        """Whether a binary message has begun and has not ended."""
        return self._connection.cont_frame.cont_data is not None or self._frames.amid

    def abort(self) -> None:
        """Drop the connection: whatever is still on its way on it is of no use."""
        if self.open:
            self.open = False
            self._loop.remove_reader(self._fd)
            self._sock.close()

    def close(self) -> None:
        """Take leave as WebSocket wants it, without waiting for the board to do so too."""
        if self.open:
            with contextlib.suppress(OSError, websocket.WebSocketException):
                self._connection.send_close()
            self.abort()

    def _break(self, reason: BridgeError) -> None:
        if self.open:
            self.abort()
            self._lost(reason)


class _TurnOver(Exception):
    """The board has been heard for long enough; nothing is lost, and reading goes on later."""


class _Frames(websocket.frame_buffer):
    """The library's frame parser, resumable in the loop, bounded, and without needless copies."""

    def __init__(self, sock: socket.socket, rest: bytes, *, max_image: int, max_text: int) -> None:
        super().__init__(sock.recv, True)
        self._sock = sock
        self._ahead = bytearray(rest)
        self._payload: bytearray | None = None
        self._filled = 0
        self._max_image = max_image
        self._max_text = max_text
        self._secure = isinstance(sock, ssl.SSLSocket)
        self._low_water = 1
        self.received = len(rest)
        self.turn = 0

    def recv_frame(self) -> ABNF:
        """The next frame, while it is this board's turn."""
        if not self.turn:
            raise _TurnOver
        self.turn -= 1
        return super().recv_frame()

    @property
    def ahead(self) -> bool:
        """Whether there may be more than the socket would announce."""
        return self._secure or bool(self._ahead)

    @property
    def progress(self) -> tuple[int, int]:
        """What reading changes, if there was anything to read: a ping may be here already."""
        return self.received, len(self._ahead)

    @property
    def amid(self) -> bool:
        """Whether a frame of an image has begun and has not ended."""
        if self.header is not None:
            return self.header[4] in (BINARY, ABNF.OPCODE_CONT)
        return bool(self._ahead) and self._ahead[0] & 0x0F in (BINARY, ABNF.OPCODE_CONT)

    def recv_length(self) -> None:
        """Refuse too large a frame before memory is taken for it."""
        super().recv_length()
        assert self.header is not None
        assert self.length is not None
        if self.header[5]:
            raise websocket.WebSocketProtocolException("a masked frame from a server")
        limit = self._max_text if self.header[4] == TEXT else self._max_image
        if self.length > limit:
            raise BadImage(f"the board announces {self.length} bytes; {limit} is the limit")

    def recv_strict(self, bufsize: int) -> bytes:
        """Exactly ``bufsize`` bytes, or ``BlockingIOError`` until they are all there."""
        ahead = self._ahead
        if self._payload is None:
            if len(ahead) < bufsize <= _READ_AHEAD:
                self._read_ahead(bufsize)
            if len(ahead) >= bufsize:
                part = bytes(ahead[:bufsize])
                del ahead[:bufsize]
                return part
            self._payload = bytearray(bufsize)
            self._filled = len(ahead)
            self._payload[: self._filled] = ahead
            ahead.clear()
        return self._fill(self._payload)  # type: ignore[return-value]  # a bytearray serves

    def _read_ahead(self, wanted: int) -> None:
        while len(self._ahead) < wanted:
            part = self._sock.recv(_READ_AHEAD)
            if not part:
                raise websocket.WebSocketConnectionClosedException("the board hung up")
            self._ahead += part
            self.received += len(part)

    def _fill(self, payload: bytearray) -> bytearray:
        size = len(payload)
        with memoryview(payload) as view:
            while self._filled < size:
                try:
                    count = self._sock.recv_into(view[self._filled :])
                except BlockingIOError:
                    self._wake_at(size - self._filled)
                    raise
                if not count:
                    raise websocket.WebSocketConnectionClosedException("the board hung up")
                self._filled += count
                self.received += count
        self._payload = None
        self._wake_at(1)
        return payload

    def _wake_at(self, missing: int) -> None:
        """Be woken once enough is there, not for each of a board's segments of 1,436 bytes.

        100 KB in such segments cost 1.5 ms of CPU otherwise, and 0.5 ms so. The mark must not be
        above what is still to come. TLS has records of its own, other systems no such option.
        """
        mark = min(missing, _LOW_WATER)
        if mark != self._low_water and not self._secure and hasattr(socket, "SO_RCVLOWAT"):
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)
                self._low_water = mark


class _Parts(websocket.continuous_frame):
    """Joins a message's fragments once and not one by one, and bounds them."""

    def __init__(self, *, max_image: int, max_text: int) -> None:
        super().__init__(False, True)
        self._limits = {TEXT: max_text, BINARY: max_image}
        self._max_bytes = max_image
        self._size = 0

    def add(self, frame: ABNF) -> None:
        """Take one frame of a message."""
        if self.cont_data is None:
            self.recving_frames = frame.opcode
            self.cont_data = [frame.opcode, [frame.data]]
            self._size = len(frame.data)
            self._max_bytes = self._limits[frame.opcode]
        else:
            self.cont_data[1].append(frame.data)
            self._size += len(frame.data)
            if self._size > self._max_bytes or len(self.cont_data[1]) > _FRAGMENTS:
                raise BadImage(f"the board sends over {self._max_bytes} bytes in one message")
        if frame.fin:
            self.recving_frames = None

    def extract(self, frame: ABNF) -> tuple[int, ABNF]:
        """The message, whole."""
        assert self.cont_data is not None
        opcode, parts = self.cont_data
        self.cont_data = None
        frame.data = parts[0] if len(parts) == 1 else bytearray().join(parts)  # type: ignore[assignment]
        return opcode, frame


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # A board whose power is cut says nothing: idle, it is missed after 20 + 3 * 5 s. While
    # something unacknowledged is out, keepalive rests and TCP_USER_TIMEOUT (ms) counts.
    for name, value in (
        ("TCP_KEEPIDLE", 20),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 35_000),
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _forget_cookies() -> None:
    """Keep no board's cookies: the library has one jar for all hosts, which only grows."""
    from websocket._handshake import CookieJar

    CookieJar.jar.clear()


def _why(exc: BaseException) -> str:
    if isinstance(exc, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(exc, TimeoutError):
        return "no answer"
    text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return text if len(text) <= 100 else text[:99] + "…"
