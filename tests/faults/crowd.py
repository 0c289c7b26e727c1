"""Boards that mean harm, in a process of their own, so that what they burn is not the test's.

    python -m tests.faults.crowd ws://192.0.2.10:81

It prints their URLs as a JSON object, and ends when its standard input does. They are nice: what
is measured beside them is whether the bridge is fair, and not whether the system's scheduler is.
"""

import json
import os
import sys
from contextlib import ExitStack

from tests.fakes import behaviours as b
from tests.fakes.board import Behaviour, Connection, FakeBoard, OnCapture, OnConnect, Shot, welcome
from tests.fakes.websocket import BINARY, CONTINUATION, PING, TEXT, encode, header

SLOW = {"timeout", "unreachable"}  # of little time, some may go into connecting

_PIECE = 60_000  # bytes that a flood sends at once


def flood(frames: bytes, *, first: bytes = b"") -> OnCapture:
    """Send ``first``, and then ``frames`` over and over, as fast as they are taken."""

    @OnCapture
    def play(shot: Shot) -> None:
        shot.connection.send(first)
        _pour(shot.connection, frames)

    return play


def unasked(frames: bytes) -> OnConnect:
    """Let everybody in and talk to them before they have asked for anything."""

    @OnConnect
    def play(connection: Connection) -> None:
        welcome.play(connection)
        connection.do(lambda: _pour(connection, frames))

    return play


def cookies(count: int) -> OnConnect:
    """Let everybody in, with so many cookies, which are others' each time."""

    @OnConnect
    def play(connection: Connection) -> None:
        connection.read_request()
        head, _, _ = connection.switching_protocols().partition(b"\r\n\r\n")
        lines = [
            f"Set-Cookie: c{connection.number}-{n}={'x' * 20}; Domain=example.org"
            for n in range(count)
        ]
        connection.upgrade(head + "\r\n".join(["", *lines, "", ""]).encode())

    return play


def _pour(connection: Connection, frames: bytes) -> None:
    piece = frames * (_PIECE // len(frames) + 1)
    while True:
        connection.send(piece)


@OnCapture
def segments(shot: Shot) -> None:
    """Send four megabytes of a JPEG's empty segments."""
    shot.send(b"\xff\xd8" + b"\xff\xe0\0\2" * 1_000_000)


@OnCapture
def stuffing(shot: Shot) -> None:
    """Send a picture of nothing but stuffed bytes, which has no end."""
    head = shot.jpeg[:-2]
    shot.send(head + b"\xff\0" * ((4_000_000 - len(head)) // 2))


def boards(elsewhere: str) -> dict[str, tuple[Behaviour, set[str]]]:
    """What each of them does, and the error codes that it may lead to; "" is a picture.

    ``elsewhere`` is whom a redirect would have us visit.
    """
    novel = encode(TEXT, b"x" * 10_000_000)
    return {
        "length": (b.huge(2**63), {"bad_image"}),
        "header": (b.handshake_endless, {"unreachable"}),
        "body": (b.http("200 OK", length=10**12), {"unreachable"}),
        "redirect": (b.http("302 Found", f"Location: {elsewhere}"), {"unreachable"}),
        "cookies": (cookies(200), {""}),
        "drip": (b.drip(0.002), SLOW),
        "pings": (flood(encode(PING, b"")), {"camera_failed"}),
        "few_pings": (b.ping_flood(every=0.01), SLOW),
        "fragments": (
            flood(encode(CONTINUATION, b"", fin=False), first=encode(BINARY, b"", fin=False)),
            {"bad_image"},
        ),
        "fat_fragments": (
            flood(
                encode(CONTINUATION, bytes(1_000), fin=False), first=encode(BINARY, b"", fin=False)
            ),
            {"bad_image"},
        ),
        "texts": (flood(encode(TEXT, b"")), {"camera_failed"}),
        "long_texts": (flood(encode(TEXT, b"x" * 16_000)), {"camera_failed"}),
        "text_fragments": (
            flood(
                encode(CONTINUATION, b"x" * 1_000, fin=False), first=encode(TEXT, b"", fin=False)
            ),
            {"bad_image"},
        ),
        "empties": (flood(encode(BINARY, b"")), {"bad_image"}),
        "novel": (b.raw(novel), {"bad_image"}),
        "segments": (segments, {"bad_image"}),
        "stuffing": (stuffing, {"bad_image"}),
        "chatter": (unasked(encode(TEXT, b"")), {"camera_failed", "unreachable"}),
        "images": (
            unasked(header(BINARY, 4_000_000) + bytes(4_000_000)),
            {"camera_failed", "unreachable", "bad_image"},
        ),
        "hello": (b.hello_too_large, {"unreachable"}),
    }


def main() -> None:
    """Serve until standard input ends."""
    os.nice(19)
    with ExitStack() as stack:
        urls = {}
        for name, (behaviour, _) in boards(sys.argv[1]).items():
            wire = "v1" if name == "hello" else "legacy"
            board = stack.enter_context(FakeBoard(name, wire=wire))  # type: ignore[arg-type]
            board.always(behaviour)
            urls[name] = board.url
        print(json.dumps(urls), flush=True)
        sys.stdin.read()
        os._exit(0)  # boards that pour would have to be waited for


if __name__ == "__main__":
    main()
