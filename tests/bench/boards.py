"""Fake legacy boards for the bench, cheap enough not to be what is measured.

    python -m tests.bench.boards --bytes 100000 [--delay 0.06 --segment 1436 --gap 0.0005]

One process and one port; every connection is a board of its own, whatever path it asks for. It
prints the port, and ends when its standard input does, so that it never outlives who started it.
The fakes of the tests are in `tests/fakes/`; these here can do nothing but answer.
"""

import argparse
import base64
import hashlib
import heapq
import os
import random
import resource
import select
import socket
import struct
import sys
import time

WIDTH, HEIGHT = 1600, 1200

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CAPTURE = int.from_bytes(b"capture\0", "big")
_SEND_BUFFER = 1 << 20  # a whole image in one send


def make_jpeg(size: int, *, seed: int = 1) -> bytes:
    """``size`` bytes that walk like a photo's: SOI, segments, SOF, SOS, stuffed data, one EOI.

    The data has an 0xFF every 500 bytes; photos have one every 280 to 1,500, and looking for a
    marker stops at each.
    """
    head = b"\xff\xd8" + b"".join(
        b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body
        for marker, body in (
            (0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            (0xDB, b"\0" + bytes(range(8, 72))),
            (0xDB, b"\1" + bytes(range(9, 73))),
            (0xC0, struct.pack(">BHHB", 8, HEIGHT, WIDTH, 3) + b"\1\x21\0\2\x11\1\3\x11\1"),
            (0xC4, b"\0" + b"\0\1\5\1\1\1\1\1\1\0\0\0\0\0\0\0" + bytes(range(12))),
            (0xDA, b"\3\1\0\2\x11\3\x11\0\x3f\0"),
        )
    )
    length = size - len(head) - 2
    if length < 0:
        raise ValueError(f"a JPEG has at least {len(head) + 2} bytes, not {size}")
    numbers = random.Random(seed)
    plain = bytearray(numbers.randbytes(length).replace(b"\xff", b"\xfe"))
    for place in range(250, length - 1, 500):
        plain[place : place + 2] = b"\xff\0"
    return head + plain + b"\xff\xd9"


def make_message(payload: bytes) -> bytes:
    """``payload`` as one binary WebSocket message, as a server sends it."""
    if len(payload) < 126:
        return struct.pack(">BB", 0x82, len(payload)) + payload
    if len(payload) < 65536:
        return struct.pack(">BBH", 0x82, 126, len(payload)) + payload
    return struct.pack(">BBQ", 0x82, 127, len(payload)) + payload


class _Board:
    """One connection: what it has sent us, and what we still owe it."""

    __slots__ = ("connection", "due", "received", "sent", "upgraded", "waiting")

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = b""
        self.upgraded = False
        self.sent = -1  # bytes of the message that are out; -1: nobody has asked
        self.due = 0.0
        self.waiting = False  # for the connection to take more


class Boards:
    """The server: one epoll, and one heap of what is due for boards that take their time."""

    def __init__(
        self, size: int, *, delay: float = 0.0, segment: int = 0, gap: float = 0.0
    ) -> None:
        self._message = memoryview(make_message(make_jpeg(size)))
        self._delay = delay
        self._segment = segment
        self._gap = gap
        self._boards: dict[int, _Board] = {}
        self._due: list[tuple[float, int]] = []
        self._epoll = select.epoll()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._epoll.register(self._listener, select.EPOLLIN)
        self.port: int = self._listener.getsockname()[1]

    def serve(self, until: int) -> None:
        """Answer until there is something to read at the file descriptor ``until``."""
        self._epoll.register(until, select.EPOLLIN)
        listener = self._listener.fileno()
        while True:
            for fd, events in self._wait():
                if fd == listener:
                    self._accept()
                elif fd == until:
                    return
                elif events & select.EPOLLOUT:
                    self._send(self._boards[fd])
                else:
                    self._read(self._boards[fd])
            while self._due and self._due[0][0] <= time.monotonic():
                board = self._boards.get(heapq.heappop(self._due)[1])
                if board is not None and board.sent >= 0 and not board.waiting:
                    self._send(board)

    def _wait(self) -> list[tuple[int, int]]:
        if self._due:
            # epoll's own timeout is in whole milliseconds; select's, on the epoll, is not
            left = self._due[0][0] - time.monotonic()
            if left > 0 and not select.select((self._epoll,), (), (), left)[0]:
                return []
            return self._epoll.poll(0)
        return self._epoll.poll()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._boards[connection.fileno()] = _Board(connection)
            self._epoll.register(connection, select.EPOLLIN)

    def _read(self, board: _Board) -> None:
        try:
            data = board.connection.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._drop(board)
            return
        data = board.received + data
        if not board.upgraded:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                board.received = head
                return
            self._upgrade(board, head)
        while len(data) >= 6 and len(data) >= 6 + (length := data[1] & 0x7F):
            self._take(board, data[0] & 0x0F, data[2:6], data[6 : 6 + length])
            data = data[6 + length :]
        board.received = data

    def _drop(self, board: _Board) -> None:
        del self._boards[board.connection.fileno()]
        board.connection.close()

    def _upgrade(self, board: _Board, head: bytes) -> None:
        lines = (line.partition(b":") for line in head.split(b"\r\n"))
        key = next(
            value.strip() for name, _, value in lines if name.lower() == b"sec-websocket-key"
        )
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        board.connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        board.upgraded = True

    def _take(self, board: _Board, opcode: int, mask: bytes, payload: bytes) -> None:
        if opcode == 0x9:  # a ping; what it carries is unmasked byte by byte, for it is rare
            body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
            board.connection.send(bytes([0x8A, len(body)]) + body)
        if opcode != 0x1 or len(payload) != 7:
            return
        key = int.from_bytes(mask + mask[:3] + b"\0", "big")
        if int.from_bytes(payload + b"\0", "big") ^ key != _CAPTURE:
            return
        if board.sent >= 0:
            sys.exit("a board was asked while it was answering")
        board.sent = 0
        if self._delay:
            board.due = time.monotonic() + self._delay
            heapq.heappush(self._due, (board.due, board.connection.fileno()))
        else:
            self._send(board)

    def _send(self, board: _Board) -> None:
        end = board.sent + self._segment if self._segment else len(self._message)
        try:
            board.sent += board.connection.send(self._message[board.sent : end])
        except BlockingIOError:
            pass
        except ConnectionError:
            self._drop(board)
            return
        full = board.sent < min(end, len(self._message))
        if full != board.waiting:
            board.waiting = full
            events = select.EPOLLIN | select.EPOLLOUT if full else select.EPOLLIN
            self._epoll.modify(board.connection, events)
        if board.sent == len(self._message):
            board.sent = -1
        elif self._segment and not full:
            board.due = max(board.due + self._gap, time.monotonic() - self._gap)
            heapq.heappush(self._due, (board.due, board.connection.fileno()))


def main() -> None:
    """Serve, as the command line says."""
    parser = argparse.ArgumentParser(description="Fake legacy boards for the bench.")
    parser.add_argument("--bytes", type=int, required=True, help="size of the JPEG")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds to take a picture")
    parser.add_argument("--segment", type=int, default=0, help="bytes sent at a time, 0: all")
    parser.add_argument("--gap", type=float, default=0.0, help="seconds between two of those")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    boards = Boards(options.bytes, delay=options.delay, segment=options.segment, gap=options.gap)
    print(boards.port, flush=True)
    boards.serve(os.dup(0))


if __name__ == "__main__":
    main()
