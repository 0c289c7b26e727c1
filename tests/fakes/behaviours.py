"""What boards do wrong, to be scripted: ``board.script(half, late(2.0))``.

Each was seen on a real board, or is what a hostile one could do. A test writes its own with the
same decorators: ``@OnCapture`` on a function of a `Shot`, ``@OnConnect`` and ``@OnHello`` on one of
a `Connection`.
"""

import secrets
import threading
from typing import Any

from tests.fakes.board import Connection, OnCapture, OnConnect, OnHello, Shot
from tests.fakes.board import greet as greet  # what is right goes into a script too
from tests.fakes.board import normal as normal
from tests.fakes.board import welcome as welcome
from tests.fakes.websocket import BINARY, CONTINUATION, PING, TEXT, encode, header

_ZEROS = bytes(65_536)

# Asked for a picture


@OnCapture
def silent(shot: Shot) -> None:
    """Say nothing, as the old sketch when its camera fails."""


def late(until: float | threading.Event) -> OnCapture:
    """Send the picture after so many seconds, or when the event is set."""

    @OnCapture
    def play(shot: Shot) -> None:
        shot.connection.wait(until)
        shot.send()

    return play


def sized(size: int) -> OnCapture:
    """Send a picture of exactly so many bytes."""
    return OnCapture(lambda shot: shot.send(shot.of_size(size)))


len65535 = sized(65_535)
"""The one size whose length the boards' library writes in 64 bits where 16 would do."""


@OnCapture
def half(shot: Shot) -> None:
    """Announce all of it, send half, and say no more."""
    shot.announce(shot.jpeg)
    frame = encode(BINARY, shot.jpeg)
    shot.connection.send(frame[: len(frame) // 2])


@OnCapture
def glued(shot: Shot) -> None:
    """Give up half-way, and begin anew inside the message that was announced.

    The client gets one message of the right length: half a picture, a frame's header, the beginning
    of another picture. The genuine library does it when a client stops reading for a while.
    """
    half.play(shot)
    shot.connection.send(encode(BINARY, shot.jpeg))


@OnCapture
def doubled(shot: Shot) -> None:
    """Send two whole pictures as one message."""
    shot.send(shot.jpeg * 2)


@OnCapture
def twice(shot: Shot) -> None:
    """Send the picture, and the same again."""
    shot.send()
    shot.send()


@OnCapture
def truncated(shot: Shot) -> None:
    """Send a whole message with half a picture."""
    shot.send(shot.jpeg[: len(shot.jpeg) // 2])


@OnCapture
def not_a_jpeg(shot: Shot) -> None:
    """Send as many bytes that are no picture."""
    shot.send(b"\x89PNG\r\n\x1a\n".ljust(len(shot.jpeg), b"\x55"))


@OnCapture
def empty_binary(shot: Shot) -> None:
    """Send a binary message of no bytes."""
    shot.send(b"")


def trailing(junk: bytes) -> OnCapture:
    """Send the picture with something behind its end."""
    return OnCapture(lambda shot: shot.send(shot.jpeg + junk))


def padded(count: int = 64) -> OnCapture:
    """Send the picture with zero bytes behind its end, as some boards do."""
    return trailing(bytes(count))


def text(reply: str = "Camera capture failed") -> OnCapture:
    """Send a text instead."""
    return raw(encode(TEXT, reply.encode()))


def raw(data: bytes) -> OnCapture:
    """Send these bytes, whatever they are."""
    return OnCapture(lambda shot: shot.connection.send(data))


def huge(length: int = 2**63) -> OnCapture:
    """Declare a message of so many bytes, and stream it until the client hangs up."""

    @OnCapture
    def play(shot: Shot) -> None:
        shot.announce(shot.jpeg, bytes=length)
        shot.connection.send(header(BINARY, length) + shot.jpeg)
        sent = len(shot.jpeg)
        while sent < length:
            shot.connection.send(_ZEROS[: length - sent])
            sent += len(_ZEROS)

    return play


def drip(every: float = 0.05) -> OnCapture:
    """Send the picture a byte at a time, with so many seconds between."""

    @OnCapture
    def play(shot: Shot) -> None:
        shot.announce(shot.jpeg)
        frame = encode(BINARY, shot.jpeg)
        for at in range(len(frame)):
            shot.connection.send(frame[at : at + 1])
            shot.connection.wait(every)

    return play


def fragments(count: int, *, pings: bool = True) -> OnCapture:
    """Send the picture in so many fragments, with pings between them."""

    @OnCapture
    def play(shot: Shot) -> None:
        shot.announce(shot.jpeg)
        size = -(-len(shot.jpeg) // count)
        for n in range(count):
            opcode = CONTINUATION if n else BINARY
            part = shot.jpeg[n * size : (n + 1) * size]
            shot.connection.send(encode(opcode, part, fin=n == count - 1))
            if pings and n < count - 1:
                shot.connection.send(encode(PING, b"%d" % n))

    return play


def ping_flood(count: int | None = None, *, every: float = 0.001) -> OnCapture:
    """Send so many pings and then the picture; ``None``: nothing but pings for ever."""

    @OnCapture
    def play(shot: Shot) -> None:
        sent = 0
        while count is None or sent < count:
            shot.connection.send(encode(PING, b"%d" % sent))
            shot.connection.wait(every)
            sent += 1
        shot.send()

    return play


@OnCapture
def masked(shot: Shot) -> None:
    """Send the picture masked, which no server may."""
    shot.announce(shot.jpeg)
    shot.connection.send(encode(BINARY, shot.jpeg, mask=b"mask"))


@OnCapture
def bad_opcode(shot: Shot) -> None:
    """Send the picture with an opcode that means nothing."""
    shot.announce(shot.jpeg)
    shot.connection.send(encode(0x3, shot.jpeg))


def close(code: int = 1000, reason: str = "", *, hang_up: bool = True) -> OnCapture:
    """Send a close frame; without ``hang_up`` leave the TCP connection as it is."""

    @OnCapture
    def play(shot: Shot) -> None:
        shot.connection.send_close(code, reason)
        if hang_up:
            shot.connection.close()

    return play


def cut(after: int = 0) -> OnCapture:
    """Hang up after so many bytes of the picture's frame."""

    @OnCapture
    def play(shot: Shot) -> None:
        shot.announce(shot.jpeg)
        shot.connection.send(encode(BINARY, shot.jpeg)[:after])
        shot.connection.close()

    return play


def reset(after: int = 0) -> OnCapture:
    """Reset the connection after so many bytes of the picture's frame."""

    @OnCapture
    def play(shot: Shot) -> None:
        shot.announce(shot.jpeg)
        shot.connection.send(encode(BINARY, shot.jpeg)[:after])
        shot.connection.close(reset=True)

    return play


# Asked for a picture on v1; on the legacy wire, which has no such texts, these change nothing


def announced(**changes: Any) -> OnCapture:
    """Send the picture with an announcement that differs in these keys; ``None`` leaves one out."""
    return OnCapture(lambda shot: shot.send(**changes))


wrong_id = announced(id="of-another-request")
wrong_crc = announced(crc32="00000000")


@OnCapture
def wrong_length(shot: Shot) -> None:
    """Announce one byte more than there are."""
    shot.send(bytes=len(shot.jpeg) + 1)


@OnCapture
def text_only(shot: Shot) -> None:
    """Announce a picture that never comes."""
    shot.announce(shot.jpeg)


@OnCapture
def binary_only(shot: Shot) -> None:
    """Send a picture that was not announced."""
    shot.connection.send(encode(BINARY, shot.jpeg))


def error(code: str, retry_after_ms: int | None = None, detail: str | None = None) -> OnCapture:
    """Answer with an error message."""

    @OnCapture
    def play(shot: Shot) -> None:
        message = {
            "type": "error",
            "id": shot.stamp["id"],
            "error": code,
            "detail": detail,
            "retry_after_ms": retry_after_ms,
        }
        shot.connection.send_json({k: v for k, v in message.items() if v is not None})

    return play


# Connected to


@OnConnect
def slots_full(connection: Connection) -> None:
    """Reset it at once, as the library does when no slot is free."""
    connection.close(reset=True)


@OnConnect
def handshake_silent(connection: Connection) -> None:
    """Read the request and never answer."""
    connection.read_request()
    connection.drain()


@OnConnect
def handshake_half(connection: Connection) -> None:
    """Answer with half a 101."""
    connection.read_request()
    answer = connection.switching_protocols()
    connection.send(answer[: len(answer) // 2])
    connection.drain()


@OnConnect
def handshake_endless(connection: Connection) -> None:
    """Answer with a header line that has no end."""
    connection.read_request()
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nX-Endless: ")
    while True:
        connection.send(b"x" * 4_096)


@OnConnect
def wrong_accept(connection: Connection) -> None:
    """Answer 101 to somebody else's key."""
    connection.read_request()
    connection.upgrade(connection.switching_protocols(accept="s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))


def http(status: str, *headers: str, body: bytes = b"", length: int | None = None) -> OnConnect:
    """Answer something else than 101, such as ``http("302 Found", "Location: ws://…")``.

    A ``length`` over that of the body is made up for with zeros until the client hangs up.
    """

    @OnConnect
    def play(connection: Connection) -> None:
        connection.read_request()
        missing = 0 if length is None else length - len(body)
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) + missing}", *headers, "", ""]
        connection.send("\r\n".join(lines).encode() + body)
        while missing > 0:
            connection.send(_ZEROS[:missing])
            missing -= len(_ZEROS)

    return play


# Saying hello


@OnHello
def hello_silent(connection: Connection) -> None:
    """Say nothing."""


def hello_late(until: float | threading.Event) -> OnHello:
    """Say hello after so many seconds, or when the event is set."""

    @OnHello
    def play(connection: Connection) -> None:
        connection.wait(until)
        connection.send_json(connection.hello())

    return play


def hello_with(**changes: Any) -> OnHello:
    """Say hello with other values, such as ``protocol=2``."""
    return OnHello(lambda connection: connection.send_json(connection.hello(**changes)))


def hello_text(text: str = '{"type":"hello","protocol":1,') -> OnHello:
    """Say something that is no hello; by default JSON that breaks off."""
    return OnHello(lambda connection: connection.send(encode(TEXT, text.encode())))


hello_garbled = hello_text()
hello_too_large = hello_with(name="x" * 1_000_000)


@OnHello
def hello_wrong_nonce(connection: Connection) -> None:
    """Tell another nonce than the one that the answer is held against."""
    connection.send_json(connection.hello(nonce=secrets.token_hex(16)))
