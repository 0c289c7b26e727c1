"""The boards that have to behave alike: ours in Python, the firmware itself, the original sketch.

Each is driven by its address, as anybody would; the little that a test must do to a board in other
ways is in `AnyBoard`.
"""

import asyncio
import datetime
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from bridge.demo.board import VirtualBoard
from tests.fakes import behaviours, picture, wire
from tests.fakes.board import FakeBoard
from tests.fakes.simulator import Simulator

_KNOBS = {
    "camera_failed": "fail forever null 100",  # ms that a frame is waited for in vain
    "no_fresh_frame": "fail forever stale",
    "low_memory": "heap 15000 4000",
}


class AnyBoard(Protocol):
    """A board, and what can be done to it and known of it beside its wire."""

    kind: str
    key: str | None

    @property
    def url(self) -> str: ...

    def captures(self) -> int:
        """How many pictures it has taken."""

    def number(self, jpeg: bytes) -> int:
        """A picture's number: later pictures have greater ones."""

    def break_camera(self, error: str) -> None:
        """Let the next capture fail with that error."""

    def mend_camera(self) -> None:
        """Let captures succeed again."""


class Virtual:
    """The virtual board that is written in Python."""

    kind = "virtual"

    def __init__(self, board: VirtualBoard, key: str | None) -> None:
        self.board = board
        self.key = key

    @property
    def url(self) -> str:
        return self.board.url

    def captures(self) -> int:
        return _captures(self)

    def number(self, jpeg: bytes) -> int:
        return wire.stamp(jpeg).seq

    def break_camera(self, error: str) -> None:
        self.board.device.fail(error)

    def mend_camera(self) -> None:
        pass  # it has failed once, as it was told


class Firmware:
    """The firmware, as a program."""

    kind = "firmware"

    def __init__(self, simulator: Simulator, key: str | None) -> None:
        self.simulator = simulator
        self.key = key

    @property
    def url(self) -> str:
        return self.simulator.url

    def captures(self) -> int:
        return _captures(self)

    def number(self, jpeg: bytes) -> int:
        return wire.stamp(jpeg).seq

    def break_camera(self, error: str) -> None:
        self.simulator.tell(_KNOBS[error])

    def mend_camera(self) -> None:
        self.simulator.tell("fail 0")
        self.simulator.tell("heap 180000 110000")


class Sketch:
    """A stand-in of the original sketch: the legacy wire alone."""

    kind = "sketch"
    key = None

    def __init__(self, board: FakeBoard) -> None:
        self.board = board

    @property
    def url(self) -> str:
        return self.board.url

    def captures(self) -> int:
        return len(self.board.asked)

    def number(self, jpeg: bytes) -> int:
        seq: int = picture.stamp(jpeg)["seq"]
        return seq

    def break_camera(self, error: str) -> None:
        self.board.script(behaviours.silent)

    def mend_camera(self) -> None:
        pass


@contextmanager
def virtual(*, key: str | None = None) -> Iterator[Virtual]:
    with played(key=key) as board:
        yield Virtual(board, key)


@contextmanager
def firmware(*, key: str | None = None) -> Iterator[Firmware]:
    options: dict[str, Any] = {} if key is None else {"key": key}
    with Simulator(framesize="QVGA", **options) as simulator:
        yield Firmware(simulator, key)


@contextmanager
def sketch(*, key: str | None = None) -> Iterator[Sketch]:
    assert key is None, "the original sketch knows no key"
    with FakeBoard(wire="legacy", framesize="QVGA") as board:
        yield Sketch(board)


@contextmanager
def played(**options: Any) -> Iterator[VirtualBoard]:
    """A virtual board in a loop and a thread of its own; its pictures are small."""
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


def forenoon() -> str:
    """A time zone in which it is about ten: there it is light in a virtual board's pictures."""
    west = datetime.datetime.now(datetime.UTC).hour - 10
    return f"Etc/GMT{west if west <= 12 else west - 24:+}"


def _captures(board: AnyBoard) -> int:
    with wire.talking(board.url, key=board.key) as v1:
        captures: int = v1.ask("status")["captures"]
        return captures
