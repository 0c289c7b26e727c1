"""A worker with a board that is away or slow: its pauses, and that whoever asked is answered."""

import asyncio
import json
import re
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

from bridge.camera import Camera, target_with_path
from bridge.capture import Options, Request
from bridge.opening import Target
from bridge.outbox import Outbox
from bridge.publisher import CameraPublisher
from bridge.threads import Pool
from bridge.topics import CameraTopics
from bridge.wire import Wire
from bridge.worker import Worker
from tests.conftest import Boards
from tests.fakes import behaviours as b
from tests.fakes.board import FakeBoard
from tests.fakes.loop import in_loop

TOPICS = CameraTopics.of("esp32cam", "door")


@dataclass
class Config:
    protocol: str = "legacy"
    discard: int = 0
    max_image: int = 4 * 1024 * 1024
    timeout: float = 5.0
    retries: int = 0
    queue: int = 8
    max_age: float = 60.0
    keep_open: bool = True
    interval: float = 0.0


class Subject:
    """A worker that runs, what it published, and between which bounds it drew its pauses."""

    def __init__(
        self,
        board: FakeBoard,
        monkeypatch: pytest.MonkeyPatch,
        *,
        pause: float = 0.0,
        key: str | None = None,
        **more: Any,
    ) -> None:
        self.board = board
        self.bounds: asyncio.Queue[tuple[float, float]] = asyncio.Queue()
        self.online = asyncio.Event()
        self._pause = pause
        self._results: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outbox = Outbox()
        self._outbox.wake = self._published
        config = Config(**more)
        self.worker = Worker(
            "door",
            config,
            camera=lambda lost, met: Camera(
                config,
                target=target_with_path(Target(board.url), config.protocol),
                key=key,
                pool=Pool(1, name="connect"),
                lost=lost,
                met=met,
            ),
            publisher=CameraPublisher(
                TOPICS, self._outbox, image=True, path=False, retain_image=True
            ),
            storage=None,
            rotate=None,
            met=lambda _: None,
        )
        monkeypatch.setattr("random.uniform", self._draw)

    def _draw(self, least: float, most: float) -> float:
        self.bounds.put_nowait((least, most))
        return self._pause

    def _published(self) -> None:
        while (publication := self._outbox.next()) is not None:
            if publication.topic == TOPICS.result:
                self._results.put_nowait(json.loads(bytes(publication.payload)))
            elif self.worker.online:
                self.online.set()

    def ask(self, id_: str, **options: Any) -> None:
        now = time.monotonic()
        self.worker.submit(Request(id_, "door", now, time.time(), options=Options(**options)))

    async def result(self) -> tuple[str, str | None]:
        """Of the next result: whose it is, and the error."""
        result = await asyncio.wait_for(self._results.get(), 3)
        return result["id"], result["error"]

    async def drawn(self, count: int) -> list[tuple[float, float]]:
        return [await asyncio.wait_for(self.bounds.get(), 3) for _ in range(count)]

    async def asked(self) -> None:
        """Wait until the board has a question."""
        await asyncio.to_thread(self.board.wait_for_asked, 1)

    def cancel(self) -> None:
        self._running.cancel()

    async def over(self) -> None:
        await asyncio.wait((self._running,), timeout=5)
        assert self._running.done()
        assert self._results.empty()

    async def __aenter__(self) -> "Subject":
        self._running = asyncio.create_task(self.worker.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.wait((self._running,))


@pytest.fixture
def away(board: Boards) -> FakeBoard:
    """A board that refuses connections until it resumes."""
    made = board()
    made.pause()
    return made


@in_loop
async def test_pauses_between_connections_double_to_a_minute_with_full_jitter(
    away: FakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Subject(away, monkeypatch) as it:
        assert await it.drawn(8) == [(0, most) for most in (1, 2, 4, 8, 16, 32, 60, 60)]


@in_loop
async def test_pauses_start_anew_once_the_board_was_there(
    away: FakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Subject(away, monkeypatch) as it:
        await it.drawn(3)
        away.resume()
        await asyncio.wait_for(it.online.wait(), 5)
        away.pause()
        while not it.bounds.empty():
            it.bounds.get_nowait()
        away.drop()
        assert await it.drawn(2) == [(0, 1), (0, 2)]


@in_loop
async def test_a_key_that_is_refused_is_what_the_log_says_and_counts_once(
    board: Boards, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    locked = board(wire="v1", key="right")
    send = Wire.send

    def send_and_be_refused(wire: Wire, text: str) -> None:
        send(wire, text)
        locked.wait_for_open(0)  # its answer and its hanging up are then read in one go

    monkeypatch.setattr(Wire, "send", send_and_be_refused)
    async with Subject(locked, monkeypatch, key="wrong", protocol="auto", pause=60) as it:
        assert await it.drawn(1) == [(0, 1)]
        it.worker.stop()
        await it.over()
        assert it.bounds.empty()
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert re.fullmatch("camera door: not connected: .*; is the key right[?]", warning)


@in_loop
async def test_a_request_does_not_wait_for_the_end_of_a_pause(
    away: FakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Subject(away, monkeypatch, pause=60.0) as it:
        await it.drawn(1)
        away.resume()
        it.ask("a")
        assert await it.result() == ("a", None)


@in_loop
async def test_what_waits_too_long_is_told_while_the_camera_is_busy(
    board: Boards, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, now = board(), threading.Event()
    there.script(b.late(now))
    async with Subject(there, monkeypatch, max_age=0.2) as it:
        it.ask("a")
        await it.asked()
        it.ask("b")
        assert await it.result() == ("b", "expired")
        now.set()
        assert await it.result() == ("a", None)


@in_loop
async def test_a_stop_refuses_what_waits_and_finishes_what_is_being_taken(
    board: Boards, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, now = board(), threading.Event()
    there.script(b.late(now))
    async with Subject(there, monkeypatch) as it:
        it.ask("a")
        await it.asked()
        it.ask("b")
        it.worker.stop()
        assert await it.result() == ("b", "shutting_down")
        it.ask("c")
        assert await it.result() == ("c", "shutting_down")
        now.set()
        assert await it.result() == ("a", None)
        await it.over()


@in_loop
async def test_who_waits_for_a_capture_that_is_broken_off_is_told(
    board: Boards, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = board()
    there.script(b.silent)
    async with Subject(there, monkeypatch) as it:
        it.ask("a")
        it.ask("b")
        await it.asked()
        it.cancel()
        assert await it.result() == ("a", "shutting_down")
        assert await it.result() == ("b", "shutting_down")
        await it.over()
