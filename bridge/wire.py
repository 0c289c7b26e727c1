"""One WebSocket connection to a board, guarded and read in the loop.

Beside `opening`, which makes it, only this module may import websocket. The library's stock receive
path has no limit of size or time, so the two classes that it parses frames with are replaced.
"""

import asyncio
import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable

import websocket
from websocket import ABNF

from bridge.errors import BadImage, BridgeError, CameraFailed
from bridge.opening import Opened, why

TEXT = ABNF.OPCODE_TEXT
BINARY = ABNF.OPCODE_BINARY

_READ_AHEAD = 4096
_LOW_WATER = 60_000  # stays below the smallest receive buffer that Linux gives by default
_FRAGMENTS = 8192  # of one message; 4 MiB in a board's segments of 1,436 bytes are 3,000
_MESSAGES = 200  # in a second without a question, pings too; a picture needs two, a heartbeat one
_TURN = 8  # frames that one board is heard for, before it is the others' turn


class Wire:
    """A connection in the loop: calls back for every message, and once when it is lost.

    Args:
        opened: what ``Opening.run`` returned.
        max_image: bytes of a binary message; ``max_text`` of a text message.
        message: gets opcode and payload.
        lost: gets the reason; never called for ``abort`` and ``close``.
    """

    def __init__(
        self,
        opened: Opened,
        *,
        max_image: int,
        max_text: int,
        message: Callable[[int, bytearray], None],
        lost: Callable[[BridgeError], None],
    ) -> None:
        self._connection, rest = opened
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
            raise CameraFailed(f"the connection was lost: {why(exc)}") from exc

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
            self._break(CameraFailed(f"the connection was lost: {why(exc)}"))
        except websocket.WebSocketException as exc:
            self._break(CameraFailed(f"the board does not keep to WebSocket: {why(exc)}"))

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
