"""Saves pictures as files: whole or not at all, never one over another, as many as are wanted.

`filename` says how they are called, `archive` deletes the oldest. A folder belongs to one bridge:
another one's unfinished files would be taken for debris.

What touches the disk runs in threads, and the disk may stop answering at any call: a caller waits
for a limited time. What is shared with these threads is changed in single steps that no other
thread can come between: who decided first on a save (`_Save.decide`) and the set of saves under
way. One lock, of a camera's own, keeps its `latest.jpg` from going back.
"""

import asyncio
import errno
import hashlib
import logging
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count as counter
from pathlib import Path
from typing import Literal

from bridge.archive import Archive, free, megabytes, unfinished
from bridge.errors import StorageFailed
from bridge.filename import MAX_NUMBER, Caption, Template, latest, numbered
from bridge.retention import Keep
from bridge.threads import Pool

_LOGGER = logging.getLogger(__name__)

Durability = Literal["none", "file", "full"]

SAVE_LIMIT = 30.0
"""Seconds after which a save has failed; an SD card that tidies itself up may take some of them."""

THREADS = 4
MAX_SAVES = 64
MAX_BYTES = 64 * 1024 * 1024
"""Saves under way and their bytes: more than that wait only where the disk is too slow for all."""

_MODE, _FOLDER_MODE = 0o640, 0o750
_TRIES = 100  # only what changes the folder at the same time makes a second one needed

_numbers = counter(1)  # of saves, and of files that aren't whole yet


@dataclass(frozen=True, slots=True)
class Saved:
    """A picture that is safe: its absolute path and the file's hex digest."""

    path: str
    sha256: str


@dataclass(slots=True, eq=False)
class _Save:
    """One save, as its caller and its thread see it."""

    number: int
    camera: str
    path: str
    data: bytes | bytearray
    running: bool = False
    left: bool = False
    decision: dict[str, Saved | None] = field(default_factory=dict)

    def decide(self, saved: Saved | None) -> Saved | None:
        """What came of it, ``None``: it is given up. Who calls first decides, for both sides."""
        return self.decision.setdefault("", saved)


@dataclass(slots=True)
class _Latest:
    lock: threading.Lock = field(default_factory=threading.Lock)
    number: int = 0


class _TooFull(Exception):
    """Fewer bytes would be left free than are to be; older pictures may make room."""

    def __init__(self, device: int, missing: int, free: int) -> None:
        self.device, self.missing, self.free = device, missing, free


class Storage:
    """Keeps pictures in a folder.

    Args:
        path: the folder.
        filename: the template of their names within it.
        latest: whether ``<camera>/latest.jpg`` is the newest one too.
        durability: what a power cut may take: ``none`` doesn't care, ``file`` never leaves half
            a picture, ``full`` keeps each that was reported.
        keep: what retention leaves.
        limit: seconds that a save may take.
    """

    def __init__(
        self,
        path: Path,
        *,
        filename: str,
        latest: bool,
        durability: Durability,
        keep: Keep,
        limit: float = SAVE_LIMIT,
    ) -> None:
        self._root = os.path.abspath(path)
        self._template = Template(filename)
        self._with_latest = latest
        self._durability = durability
        self._keep = keep
        self._limit = limit
        self._writers = Pool(THREADS, name="storage")
        self._saves: set[_Save] = set()
        self._latest: dict[str, _Latest] = {}
        self._latest_fails = False
        self._archive = Archive(self._root, self._template, keep)

    async def start(self) -> None:
        """Begin to look after the folder, which is made if it isn't there.

        Raises:
            StorageFailed: it can't be written to. Saving is tried all the same: disks come back.
        """
        self._archive.start()
        try:
            async with asyncio.timeout(self._limit):
                await self._writers.run(self._probe)
        except TimeoutError as exc:
            raise StorageFailed(f"cannot save in {self._root}: {self._silence()}") from exc

    async def stop(self) -> None:
        """Look after it no longer."""
        await self._archive.stop()

    async def tidy(self) -> None:
        """One round of retention, as there is one every minute."""
        await self._archive.tidy()

    def health(self) -> dict[str, int | None]:
        """``free`` bytes, ``files`` and their ``bytes``, ``None`` until the folder was read."""
        return self._archive.health()

    async def save(self, caption: Caption, data: bytes | bytearray) -> Saved:
        """Save a picture; once this returns, the file is there under its final name.

        A save that is given up, by its time limit or by cancelling it, leaves no file, however
        late the disk comes back: the request's result has said that there is none.

        Raises:
            StorageFailed: it could not be saved.
        """
        path = f"{self._root}/{self._template.render(caption)}"
        save = _Save(next(_numbers), caption.camera, path, data)
        self._check_load(save)
        self._saves.add(save)
        try:
            async with asyncio.timeout(self._limit):
                return await self._make(save)
        except TimeoutError as exc:
            if saved := save.decide(None):
                return saved
            raise StorageFailed(f"cannot save {save.path}: {self._silence()}") from exc
        finally:
            save.decide(None)
            save.left = True
            if not save.running:  # otherwise its thread takes it out
                self._saves.discard(save)

    def _check_load(self, save: _Save) -> None:
        """Fail at once where waiting is in vain."""
        saves = tuple(self._saves)
        stuck = [other.camera for other in saves if other.left]
        if len(stuck) >= THREADS or save.camera in stuck:
            raise StorageFailed(f"cannot save {save.path}: the disk still doesn't answer")
        waiting = sum(len(other.data) for other in saves)
        if len(saves) >= MAX_SAVES or (saves and waiting + len(save.data) > MAX_BYTES):
            raise StorageFailed(
                f"cannot save {save.path}: {len(saves)} others, {megabytes(waiting)}, wait already"
            )

    async def _make(self, save: _Save) -> Saved:
        try:
            return await self._writers.run(self._write, save, self._keep.free)
        except _TooFull as full:
            if not await self._archive.make_room(full.device, full.missing):
                raise StorageFailed(
                    f"cannot save {save.path}: {megabytes(full.free)} free, "
                    f"{megabytes(self._keep.free or 0)} wanted, and no older picture to delete"
                ) from full
        return await self._writers.run(self._write, save, None)

    def _silence(self) -> str:
        return f"the disk did not answer within {self._limit:g} seconds"

    # In a writer's thread

    def _probe(self) -> None:
        try:
            temp, fd = self._create(self._root)
            os.close(fd)
            os.unlink(temp)
        except OSError as exc:
            raise _failure(f"cannot save in {self._root}", self._root, exc) from exc

    def _write(self, save: _Save, floor: int | None) -> Saved:
        save.running = True
        try:
            if save.decision:
                raise StorageFailed(f"cannot save {save.path}: given up")
            return self._save(save, floor)
        except OSError as exc:
            raise _failure(f"cannot save {save.path}", os.path.dirname(save.path), exc) from exc
        finally:
            save.running = False
            if save.decision:
                self._saves.discard(save)

    def _save(self, save: _Save, floor: int | None) -> Saved:
        folder = os.path.dirname(save.path)
        digest = hashlib.sha256(save.data).hexdigest()
        temp, fd = self._create(folder)
        try:
            self._fill(fd, save.data, floor)
            path = _publish(temp, save.path, taken=save.path == self._latest_path(save.camera))
            try:
                if self._durability == "full":
                    _sync(folder)
                status = os.stat(path)
            except OSError:
                os.unlink(path)
                raise
            saved = Saved(path, digest)
            if save.decide(saved) is not saved:
                os.unlink(path)
                raise StorageFailed(f"cannot save {save.path}: given up")
            self._archive.add(path, status)
            if self._with_latest:
                self._renew_latest(save, temp)
            return saved
        finally:
            with suppress(OSError):
                os.unlink(temp)

    def _renew_latest(self, save: _Save, temp: str) -> None:
        """Make ``latest.jpg`` this picture, by ``temp``, which is a second link to it at best."""
        path = self._latest_path(save.camera)
        state = self._latest.setdefault(save.camera, _Latest())
        try:
            with state.lock:
                if save.number < state.number:
                    return  # a later one was faster
                state.number = save.number
                try:
                    os.replace(temp, path)
                except OSError:  # no hard links here, another disk, or no such folder
                    self._copy(save.data, path)
        except OSError as exc:
            level = logging.DEBUG if self._latest_fails else logging.WARNING
            self._latest_fails = True
            _LOGGER.log(level, "camera %s: cannot renew %s: %s", save.camera, path, exc.strerror)
        else:
            self._latest_fails = False

    def _copy(self, data: bytes | bytearray, path: str) -> None:
        temp, fd = self._create(os.path.dirname(path))
        try:
            self._fill(fd, data)
            os.replace(temp, path)
        finally:
            with suppress(OSError):
                os.unlink(temp)

    def _fill(self, fd: int, data: bytes | bytearray, floor: int | None = None) -> None:
        """Write it all and close the file."""
        try:
            if floor is not None and (left := free(fd)) < floor + len(data):
                raise _TooFull(os.fstat(fd).st_dev, floor + len(data) - left, left)
            _write_all(fd, data)
            if self._durability != "none":
                os.fsync(fd)
        finally:
            os.close(fd)  # a network disk may tell only here that it is full

    def _create(self, folder: str) -> tuple[str, int]:
        """A new file that is not finished, and its descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        for _ in range(_TRIES):
            temp = f"{folder}/{unfinished(next(_numbers))}"
            try:
                return temp, os.open(temp, flags, _MODE)
            except FileNotFoundError:  # the day's first, or retention just took the empty folder
                self._make_folder(folder)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)

    def _make_folder(self, folder: str) -> None:
        parent = os.path.dirname(folder)
        if not os.path.isdir(parent):
            self._make_folder(parent)
        with suppress(FileExistsError):
            os.mkdir(folder, _FOLDER_MODE)
        if self._durability == "full":
            _sync(parent)

    def _latest_path(self, camera: str) -> str:
        return f"{self._root}/{latest(camera)}"


def _write_all(fd: int, data: bytes | bytearray) -> None:
    """Write it all; a disk that runs full first writes less than it was given."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _publish(temp: str, path: str, *, taken: bool) -> str:
    """Give a finished file its name, or that name with ``_2``, ``_3`` …, never one that is in use.

    A hard link does that in one step, on network disks too. FAT and exFAT, as SD cards have them,
    know none: there an empty file reserves the name first. A crash in between may leave that; what
    is there already is never overwritten.
    """
    number = 2 if taken else 1
    for _ in range(_TRIES):
        name = numbered(path, number)
        try:
            try:
                os.link(temp, name)
            except FileExistsError:
                raise
            except OSError:
                os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE))
                try:
                    os.replace(temp, name)
                except OSError:
                    os.unlink(name)
                    raise
        except FileExistsError:
            number = _free_number(path)
        else:
            return name
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


def _free_number(path: str) -> int:
    """A number that makes the name free, in few steps where thousands are taken."""
    low, high = 1, 2
    while high < MAX_NUMBER and os.path.lexists(numbered(path, high)):
        low, high = high, min(high * 2, MAX_NUMBER)
    while high - low > 1:
        middle = (low + high) // 2
        if os.path.lexists(numbered(path, middle)):
            low = middle
        else:
            high = middle
    return high


def _sync(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _failure(what: str, folder: str, exc: OSError) -> StorageFailed:
    """The one place where what the system says becomes ours."""
    reason = exc.strerror or str(exc)
    if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
        with suppress(OSError):
            reason += f", {megabytes(free(folder))} free"
    return StorageFailed(f"{what}: {reason[:1].lower()}{reason[1:]}")
