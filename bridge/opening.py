"""A connection to a board being made, in a thread: look-up, TCP, TLS and WebSocket's handshake.

The library's own way has no limit of size or time, follows redirects and asks the environment
for a proxy. Beside `wire`, which reads in the loop what is opened here, only this module may
import websocket.
"""

import base64
import contextlib
import re
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import websocket

from bridge.errors import BridgeError, Unauthorized, Unreachable
from bridge.tls import Tls, TlsError, alert

Opened = tuple[websocket.WebSocket, bytes]
"""A connection, non-blocking, and what the board sent right behind its greeting."""

_HANDSHAKE_BYTES = 16 * 1024  # an answer to a handshake; the boards' has 160
_READ_AHEAD = 4096
_HEAD_ENDS = re.compile(rb"\n\r?\n")
_FULL = "hung up before the handshake was over; are all its connections taken?"


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
        self._opened = False
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
            if self._opened:  # and nobody has come for it
                self._socket.close()

    def run(self) -> Opened:
        """Look up, connect, greet; blocks until the deadline at most.

        Raises:
            Unreachable: it did not come to a WebSocket connection.
            Unauthorized: the board, or what stands before it, wants other credentials.
        """
        try:
            context = self._context() if self._secure else None  # slow, so with nothing open yet
            sock = self._connect()
            opened = self._handshake(sock if context is None else self._tls(sock, context))
            self._opened = True
            if self._cancelled and self._socket is not None:
                self._socket.close()
        except BaseException:
            if self._socket is not None:
                self._socket.close()
            raise
        return opened

    def _connect(self) -> socket.socket:
        try:
            addresses = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise Unreachable(f"{self._host}: the name has no address ({why(exc)})") from exc
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
        raise Unreachable(f"{self._where}: {why(failure)}") from failure

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
            raise Unreachable(f"{self._where}: TLS failed: {why(exc)}") from exc
        return secured

    def _handshake(self, sock: socket.socket) -> Opened:
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
        return Unreachable(f"{self._where}: no WebSocket handshake: {why(exc)}")

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


def why(exc: BaseException) -> str:
    """What the system or the library says, in words."""
    if isinstance(exc, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(exc, TimeoutError):
        return "no answer"
    text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return text if len(text) <= 100 else text[:99] + "…"
