"""Serves one camera: takes what waits in its queue, asks the board, answers everybody.

One task for each camera. It alone talks to the camera, so one picture is taken at a time, and
nothing that one camera does holds another one up.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol

from bridge.attempt import take
from bridge.backoff import Pauses
from bridge.camera import BoardFailure, Camera
from bridge.capture import Outcome, Request, new_id
from bridge.command import Change
from bridge.errors import (
    BridgeError,
    Busy,
    Expired,
    ShuttingDown,
    StorageFailed,
    Unauthorized,
    Unreachable,
    Unsupported,
)
from bridge.filename import Caption
from bridge.jpeg import Jpeg
from bridge.protocol import Hello
from bridge.publisher import CameraPublisher
from bridge.queue import CaptureQueue, Job
from bridge.state import CameraState

_LOGGER = logging.getLogger(__name__)

_CONNECT = 5.0  # seconds for a connection that no request waits for
_STATUS_EVERY = 60.0
_MAX_CONTROLS = 8  # changes of settings and restarts that may wait
_NOT_KEPT = "nothing is kept here: storage.path is null"
_LEAVING = "the bridge stops, or its configuration of this camera has changed"


class Saver(Protocol):
    """What keeps pictures."""

    async def save(self, caption: Caption, data: bytes | bytearray) -> Any:
        """Save one; what comes back has ``path`` and ``sha256``. Raises ``StorageFailed``."""


class Config(Protocol):
    """The part of a camera's configuration that its worker heeds."""

    timeout: float
    retries: int
    queue: int
    max_age: float
    keep_open: bool
    interval: float


class Worker:
    """One camera's task, and what belongs to it alone.

    Args:
        name: the camera's.
        config: its configuration.
        camera: makes it, given what to call when it is lost and when it has introduced itself.
        publisher: where all that it has to say goes.
        storage: where pictures are kept, if anywhere.
        rotate: turns a picture, if they are to be turned.
        met: told what its board is, as soon as that is certain; no hello is the original sketch.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        *,
        camera: Callable[[Callable[[BridgeError], None], Callable[[], None]], Camera],
        publisher: CameraPublisher,
        storage: Saver | None,
        rotate: Callable[[Jpeg], Awaitable[Jpeg]] | None,
        met: Callable[[Hello | None], None],
    ) -> None:
        self.name = name
        self.state = CameraState()
        self.queue = CaptureQueue(config.queue, config.max_age)
        self._config = config
        self._camera = camera(self._lost, self._met)
        self._publisher = publisher
        self._storage = storage
        self._rotate = rotate
        self._tell_met = met
        self._controls: deque[tuple[Request, Callable[[], Awaitable[object]]]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._stopping = False
        self._online: bool | None = None
        self._failing = False
        self._connect_at = 0.0
        self._pauses = Pauses(1.0, 60.0, spread=(0, 1))
        self._status_at: float | None = None
        self._save = True
        self._board_settings: dict[str, Any] = {}
        self._interval = config.interval
        self._interval_at = time.monotonic() + random.uniform(0, config.interval)

    # What others call: nothing here waits.

    def submit(self, request: Request) -> None:
        """Take a request in, or refuse it with a result."""
        idle = self._wake is not None
        try:
            if self._stopping:
                raise ShuttingDown(_LEAVING)
            if request.reply == "path" and self._storage is None:
                raise StorageFailed(_NOT_KEPT)
            self.queue.add(request, idle=idle)
        except BridgeError as exc:
            self.refuse(request, exc)
            return
        if self._expiry is None and (not idle or len(self.queue) > 1):
            self._watch_expiry()
        self.wake()

    def change(self, request: Request, change: Change) -> None:
        """Change settings, ours and the board's, or refuse it with a result."""
        if change.own.get("save") and self._storage is None:
            self.refuse(request, StorageFailed(_NOT_KEPT))
            return
        if change.board:
            self._control(request, lambda: self._set(request, change))
            return
        self._apply(change.own)
        if request.done is not None:
            request.done()

    def restart(self, request: Request) -> None:
        """Restart the board, or refuse it with a result."""
        self._control(request, lambda: self._told(request, self._camera.restart))

    def announce(self) -> None:
        """Publish all that is retained: a broker may have forgotten it."""
        if self._online is not None:
            self._publisher.availability(self._online)
        self._publisher.settings(self.settings())
        self._publisher.state(self.state)

    def settings(self) -> dict[str, Any]:
        """The settings in force; what only a v1 board has is ``None`` for others."""
        keys = ("flash", "flash_level", "framesize", "quality", "vflip", "hmirror")
        board = dict.fromkeys(keys)
        return {
            **board,
            **self._board_settings,
            "interval": int(self._interval) if self._interval % 1 == 0 else self._interval,
            "save": self._save and self._storage is not None,
        }

    @property
    def online(self) -> bool:
        """Whether the board was there when last tried."""
        return bool(self._online)

    def stop(self) -> None:
        """Refuse what waits, finish what is being taken, and let ``run`` return."""
        self._stopping = True
        for job, request in self.queue.clear():
            self.refuse(request, ShuttingDown(_LEAVING), job)
        while self._controls:
            self.refuse(self._controls.popleft()[0], ShuttingDown(_LEAVING))
        self.wake()

    def wake(self) -> None:
        """Have the task look what there is to do."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def refuse(self, request: Request, error: BridgeError, job: Job | None = None) -> None:
        """Answer every picture that the request still waits for with this error."""
        count = request.options.count
        now = time.monotonic()
        if count == 1:
            self._publisher.refusal(request, error, finished=now)
            if request.trigger in ("set", "restart") and not self._stopping:
                self._show_refused(error)
        elif job is None or job.index == 1:
            self._publisher.refusal(request, error, finished=now, index=None)
        else:
            for index in range(job.index, count + 1):
                self._publisher.refusal(request, error, finished=now, index=index, job=job)

    def _show_refused(self, error: BridgeError) -> None:
        """Who shows a setting that was refused shows the old one again, and why."""
        self._publisher.settings(self.settings())
        self.state.failed(error, time.time())
        self._publisher.state(self.state)

    # The task.

    async def run(self) -> None:
        """Serve until ``stop``."""
        try:
            if not self._config.keep_open:
                await self._connect()
            while True:
                now = time.monotonic()
                if self._interval and now >= self._interval_at and not self._stopping:
                    self._capture_of_its_own(now)
                if self._controls:
                    _, control = self._controls.popleft()
                    await control()
                elif (job := self.queue.take(now)) is not None:
                    await self._serve(job)
                elif self._stopping:
                    return
                elif self._config.keep_open and not self._camera.connected:
                    if now < self._connect_at:
                        await self._sleep(self._connect_at)
                    else:
                        await self._connect()
                elif self._is_status_due(now):
                    await self._pull()
                else:
                    if not self._config.keep_open and not self.queue:
                        self._camera.close()
                    await self._sleep(None)
        finally:
            if self._expiry is not None:
                self._expiry.cancel()
            self._publisher.flush_state()
            self._camera.close()

    def _is_status_due(self, now: float) -> bool:
        return self._camera.connected and self._status_at is not None and now >= self._status_at

    async def _sleep(self, until: float | None) -> None:
        """Wait to be woken, at most until something is due."""
        due = [until, self.queue.next_due()]
        if self._interval:
            due.append(self._interval_at)
        if self._camera.connected:
            due.append(self._status_at)
        first = min((moment for moment in due if moment is not None), default=None)
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = None if first is None else loop.call_at(first, self.wake)
        try:
            await self._wake
        finally:
            self._wake = None
            if timer is not None:
                timer.cancel()

    async def _serve(self, job: Job) -> None:
        outcome = Outcome(finished=0.0)
        image = None
        try:
            image = await take(
                self._camera,
                job.options,
                outcome,
                timeout=self._config.timeout,
                retries=self._config.retries,
            )
            if self._rotate is not None:
                image = await self._rotate(image)
        except BridgeError as exc:
            outcome.error = exc
        except asyncio.CancelledError:
            for request in job.requests:
                self.refuse(request, ShuttingDown(_LEAVING), job)
            raise
        outcome.finished = time.monotonic()
        if image is not None and outcome.error is None:
            outcome.captured_at = time.time()
            outcome.image, outcome.width, outcome.height = image.data, image.width, image.height
        answer = self._publisher.image(outcome)
        try:
            if outcome.image is not None and self._is_to_be_saved(job):
                await self._store(job, outcome)
        finally:
            answer.results(job)
            self._note(job, outcome)
            if job.index < job.options.count:
                self._go_on(job)

    def _is_to_be_saved(self, job: Job) -> bool:
        if job.options.save is not None:
            return job.options.save
        if self._storage is None:
            return False
        return self._save or any(request.reply == "path" for request in job.requests)

    async def _store(self, job: Job, outcome: Outcome) -> None:
        assert outcome.captured_at is not None
        first = job.requests[0]
        caption = Caption(
            camera=self.name,
            id=first.id,
            captured_at=datetime.fromtimestamp(outcome.captured_at).astimezone(),
            index=job.index,
            count=job.options.count,
            width=outcome.width or 0,
            height=outcome.height or 0,
            trigger=first.trigger,
        )
        try:
            if self._storage is None:
                raise StorageFailed(_NOT_KEPT)
            saved = await self._storage.save(caption, outcome.image or b"")
        except StorageFailed as exc:
            outcome.storage_error = exc
            _LOGGER.warning("camera %s: not saved: %s", self.name, exc)
        else:
            outcome.path, outcome.sha256 = saved.path, saved.sha256

    def _note(self, job: Job, outcome: Outcome) -> None:
        """Keep state, availability and the owner's log up to date."""
        error = outcome.error
        if outcome.image is not None:
            since = job.waits_since(job.requests[0])
            self.state.captured(job.requests[0], outcome, since=since)
            if self._camera.hello is None:  # which would have come before a picture
                self._tell_met(None)
            if self._failing:
                _LOGGER.info("camera %s: takes pictures again", self.name)
            self._failing = False
            _LOGGER.info(
                "camera %s: captured %d bytes in %.2f s",
                self.name,
                len(outcome.image),
                outcome.finished - since,
            )
        elif error is not None:
            self.state.failed(error, time.time())
            level = logging.DEBUG if self._failing else logging.WARNING
            if isinstance(error, Unsupported):  # a fault of who asked
                level = logging.INFO
            else:
                self._failing = True
            _LOGGER.log(level, "camera %s: %s: %s", self.name, error.code, error)
        self._see(error)
        self._publisher.state(self.state)

    def _go_on(self, job: Job) -> None:
        """Let a burst wait for its next picture, or end it with the bridge."""
        now = time.monotonic()
        job.index += 1
        job.due = max(job.due + job.options.every, now)
        job.due_at = time.time() + job.due - now
        if self._stopping:
            for request in job.requests:
                self.refuse(request, ShuttingDown(_LEAVING), job)
        else:
            self.queue.put_back(job)
            self._watch_expiry()

    def _capture_of_its_own(self, now: float) -> None:
        while self._interval_at <= now:
            self._interval_at += self._interval
        if self._publisher.has_room:
            self.submit(Request(new_id(), self.name, now, time.time(), trigger="interval"))

    def _watch_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        moment = self.queue.next_expiry()
        self._expiry = (
            None if moment is None else asyncio.get_running_loop().call_at(moment, self._expire)
        )

    def _expire(self) -> None:
        self._expiry = None
        for job, request in self.queue.expire(time.monotonic()):
            self.refuse(request, Expired(f"it waited for {self._config.max_age:g} s"), job)
        self._watch_expiry()

    # The connection.

    async def _connect(self) -> None:
        """Connect with nobody waiting for it; failures make the next try later.

        Who comes meanwhile does not wait for a board that does not answer, but makes its own try.
        """
        deadline = time.monotonic() + _CONNECT
        connecting = asyncio.ensure_future(self._camera.connect(deadline=deadline))
        try:
            while not connecting.done():
                self._wake = asyncio.get_running_loop().create_future()
                await asyncio.wait((connecting, self._wake), return_when="FIRST_COMPLETED")
                wanted = self.queue or self._controls or self._stopping
                if wanted and not self._camera.connected:
                    connecting.cancel()
                    await asyncio.wait((connecting,))
                    return
        finally:
            self._wake = None
            connecting.cancel()
        try:
            await connecting
        except BridgeError as exc:
            self._is_offline(exc)
        else:
            self._is_online()

    def _see(self, error: BridgeError | None) -> None:
        """Tell from what came of an attempt whether the board is there; who was asked is."""
        if isinstance(error, Unreachable | Unauthorized) and not self._camera.connected:
            self._is_offline(error)
        elif self._camera.connected or not self._config.keep_open:
            self._is_online()

    def _is_online(self) -> None:
        self._pauses.failures = 0
        if self._camera.hello is None and self.state.hello is not None:  # flashed back
            self.state.hello = self.state.status = self._status_at = None
            self._board_settings = {}
            self._publisher.settings(self.settings())
        if self._online is not True:
            self._online = True
            _LOGGER.info("camera %s: connected", self.name)
            self._publisher.availability(True)

    def _is_offline(self, reason: BridgeError) -> None:
        self._connect_at = time.monotonic() + self._pauses.next()
        if self._online is not False:
            self._online = False
            _LOGGER.warning("camera %s: not connected: %s", self.name, reason)
            self._publisher.availability(False)
        else:
            _LOGGER.debug("camera %s: still not connected: %s", self.name, reason)

    def _lost(self, reason: BridgeError) -> None:
        if self._config.keep_open and not self._stopping:
            self._is_offline(reason)
            self.wake()

    # What only v1 boards do.

    def _met(self) -> None:
        known, hello = self.state.hello, self._camera.hello
        self.state.hello = hello
        self._status_at = time.monotonic()
        if hello is not None:
            board, firmware = hello.board, hello.firmware
            same = known is not None and (known.board, known.firmware) == (board, firmware)
            level = logging.DEBUG if same else logging.INFO
            _LOGGER.log(level, "camera %s: %s with firmware %s", self.name, board, firmware)
            self._tell_met(hello)
        self.wake()

    async def _pull(self) -> None:
        """Ask the board for its settings, once after it introduced itself, and for its health."""
        hello = self._camera.hello
        self._status_at = time.monotonic() + _STATUS_EVERY
        if hello is None:
            self._status_at = None
            return
        try:
            if "settings" in hello.features and not self._board_settings:
                self._board_settings = await self._camera.set({})
                self._publisher.settings(self.settings())
            if "status" in hello.features:
                self.state.status = await self._camera.status()
                self._publisher.state(self.state)
        except (BridgeError, BoardFailure) as exc:
            _LOGGER.debug("camera %s: no status: %s", self.name, exc)

    def _control(self, request: Request, control: Callable[[], Awaitable[object]]) -> None:
        if self._stopping:
            self.refuse(request, ShuttingDown(_LEAVING))
        elif len(self._controls) >= _MAX_CONTROLS:
            self.refuse(request, Busy(f"{_MAX_CONTROLS} changes wait already"))
        else:
            self._controls.append((request, control))
            self.wake()

    async def _set(self, request: Request, change: Change) -> None:
        async def ask() -> None:
            self._board_settings = await self._camera.set(change.board)

        if await self._told(request, ask):
            self._apply(change.own)

    async def _told(self, request: Request, ask: Callable[[], Awaitable[None]]) -> bool:
        """Tell a board something, connecting to it first if need be; failure is a result."""
        try:
            try:
                if not self._camera.connected:
                    await self._camera.connect(deadline=time.monotonic() + _CONNECT)
                await ask()
            except BoardFailure as exc:
                raise exc.error from exc
        except BridgeError as exc:
            self._see(exc)
            self.refuse(request, exc)
            return False
        except asyncio.CancelledError:
            self.refuse(request, ShuttingDown(_LEAVING))
            raise
        self._see(None)
        if request.done is not None:
            request.done()
        return True

    def _apply(self, own: dict[str, Any]) -> None:
        self._save = own.get("save", self._save)
        if "interval" in own:
            self._interval = own["interval"]
            self._interval_at = time.monotonic() + self._interval
            self.wake()
        self._publisher.settings(self.settings())
