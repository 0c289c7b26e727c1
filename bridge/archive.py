"""The pictures that are saved already: counts them, and deletes as `retention` says.

One thread of its own does it, in slices, and alone touches what is known of them; new pictures
reach it through a queue.
"""

import asyncio
import logging
import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice

from bridge.filename import CAMERA, Template
from bridge.retention import MAX_DAYS, Index, Keep, Picture, older
from bridge.threads import Pool
from bridge.trust import Trust

_LOGGER = logging.getLogger(__name__)

KEEP_EVERY = 60.0
"""Seconds between two rounds of retention; in between, only what ``free`` demands is deleted."""

_WALK_EVERY = 600.0
_WALK_SHARE = 100  # a walk through all files takes at most 1 % of the time
_SLICE = 256  # files after which a long job lets others pass

_TOKEN = os.urandom(4).hex()  # tells our own unfinished files from a crashed bridge's
_UNFINISHED = re.compile(r"\.esp32cam2mqtt-([0-9a-f]{8})-\d+\.tmp")


def _wall() -> float:
    return time.time()


def _elapsed() -> float:
    """Seconds that go on while the machine sleeps, where there is such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def unfinished(number: int) -> str:
    """A name for a file that isn't whole yet, which is debris once this process is gone."""
    return f".esp32cam2mqtt-{_TOKEN}-{number}.tmp"


class Archive:
    """The pictures in a folder, known by their names; a person's own files are never touched."""

    def __init__(self, root: str, template: Template, keep: Keep) -> None:
        self._root = root
        self._template = template
        self._keep = keep
        self._new: deque[tuple[str, os.stat_result]] = deque()
        self._round = asyncio.Lock()
        self._walk_due = 0.0
        self._task: asyncio.Task[None] | None = None
        self._health: dict[str, int | None] = {"free": None, "files": None, "bytes": None}
        # What follows belongs to the one thread.
        self._thread = Pool(1, name="archive")
        self._index: Index | None = None
        self._walked: Index | None = None
        self._walk_again = False
        self._deleted = self._deleted_bytes = 0
        self._undeletable = False
        self._trust = Trust()
        self._began = datetime.fromtimestamp(_wall(), UTC).astimezone()
        self._has_recent = False

    def start(self) -> None:
        """Begin with a walk through the folder, and go on with a round of retention a minute."""
        self._task = asyncio.create_task(self._tend(), name="archive")

    async def stop(self) -> None:
        """End that."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def health(self) -> dict[str, int | None]:
        """What the last round found, ``None`` until there was one; asks no disk."""
        return dict(self._health)

    def add(self, path: str, status: os.stat_result) -> None:
        """Note a picture that was saved. From any thread."""
        self._new.append((path, status))

    async def make_room(self, device: int, size: int) -> bool:
        """Delete the oldest pictures on a disk for a new one; False: there are none.

        True, too, as long as nobody knows which are the oldest: a reserve is there for that.
        """
        return await self._thread.run(self._make_room, device, size)

    async def tidy(self) -> None:
        """One round of retention: delete what is too old or too much."""
        async with self._round:
            await self._walk_if_due()
            await self._in_slices(self._thin_out())
            while self._walk_again:
                self._walk_due = 0.0
                await self._walk_if_due()
                await self._in_slices(self._thin_out(again=True))
            await self._thread.run(self._report)

    async def _tend(self) -> None:
        while True:
            try:
                await self.tidy()
            except Exception:
                # Nobody waits for this task, and pictures are taken and saved without it.
                _LOGGER.exception("storage: a round of retention failed")
            await asyncio.sleep(KEEP_EVERY)

    async def _in_slices(self, steps: Iterator[None]) -> None:
        while await self._thread.run(next, steps, True) is None:
            pass

    async def _walk_if_due(self) -> None:
        began = time.monotonic()
        if began >= self._walk_due:
            await self._in_slices(self._walk())
            ended = time.monotonic()
            self._walk_due = ended + max(_WALK_EVERY, (ended - began) * _WALK_SHARE)

    # In the thread

    def _walk(self) -> Iterator[None]:
        """Count all pictures anew: people delete and add some behind our back."""
        self._walked = Index()
        for seen, entry in enumerate(self._entries(self._root, 0)):
            if entry is not None:
                with suppress(OSError):
                    self._count(entry.path, entry.stat(follow_symlinks=False), self._walked)
            if seen % _SLICE == 0:
                yield
        self._take_new()
        first, self._index, self._walked = self._index is None, self._walked, None
        if first and self._keep.days is not None and self._index.files and not self._has_recent:
            self._rest("all pictures are older than that; is the clock right?")

    def _entries(self, folder: str, depth: int) -> Iterator["os.DirEntry[str] | None"]:
        """The files that may be ours, ``None`` for everything else; debris is removed."""
        last = self._template.depth - 1
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    ours = depth <= last and self._template.patterns[depth].fullmatch(entry.name)
                    if debris := _UNFINISHED.fullmatch(entry.name):
                        if debris[1] != _TOKEN and entry.is_file(follow_symlinks=False):
                            with suppress(OSError):
                                os.unlink(entry.path)
                    elif ours and depth == last and entry.is_file(follow_symlinks=False):
                        yield entry
                        continue
                    elif ours and depth < last and entry.is_dir():
                        yield from self._entries(entry.path, depth + 1)
                    elif depth == 0 and CAMERA.fullmatch(entry.name) and entry.is_dir():
                        yield from self._entries(entry.path, last + 1)  # debris of latest.jpg
                    yield None
        except OSError as exc:
            _LOGGER.debug("storage: cannot look through %s: %s", folder, exc)

    def _thin_out(self, *, again: bool = False) -> Iterator[None]:
        """Delete what is too much, as far as the oldest pictures are known.

        What ``free`` wants is asked for once a round: a disk may tell later what it got back.
        """
        self._take_new()
        index = self._index
        assert index is not None
        before = self._deleted if again else 0  # what made room since the last round counts
        yield from self._delete(index.surplus(self._keep, self._now()))
        if self._keep.free is not None and not again:
            for device, path in index.disks().items():
                with suppress(OSError):
                    missing = self._keep.free - free(os.path.dirname(f"{self._root}/{path}"))
                    yield from self._delete(index.oldest(missing, device))
        self._walk_again = index.dry and self._deleted > before
        with suppress(OSError):
            self._health = {"free": free(self._root), "files": index.files, "bytes": index.bytes}

    def _now(self) -> datetime | None:
        """The time by which pictures are old, unless it can't be believed."""
        wall, elapsed = _wall(), _elapsed()
        jump = self._trust.jumped(wall=wall, elapsed=elapsed)
        if jump is not None and self._keep.days is not None:
            self._rest(f"the clock has jumped by {timedelta(seconds=round(jump))}")
        return datetime.fromtimestamp(wall, UTC) if self._trust.holds(elapsed) else None

    def _rest(self, why: str) -> None:
        self._trust.rest(_elapsed())
        _LOGGER.warning("storage: keep.days rests for a day: %s", why)

    def _is_recent(self, picture: Picture) -> bool:
        """Whether it was taken before this start, and is not too old by the clock of then."""
        days = timedelta(days=min(self._keep.days or 0, MAX_DAYS))
        return older(picture, self._began) and not older(picture, self._began - days)

    def _report(self) -> None:
        if self._deleted:
            _LOGGER.info(
                "storage: deleted the %d oldest pictures (%s), as storage.keep says",
                self._deleted,
                megabytes(self._deleted_bytes),
            )
        self._deleted = self._deleted_bytes = 0

    def _make_room(self, device: int, size: int) -> bool:
        if self._index is None:
            return True
        self._take_new()
        wanted = self._deleted_bytes + size
        while (missing := wanted - self._deleted_bytes) > 0:
            oldest = list(islice(self._index.oldest(missing, device), _SLICE))
            for _ in self._delete(oldest):
                pass
            if len(oldest) == _SLICE:
                return True  # the rest is for those who come next
            if not oldest:
                return self._index.dry
        return True

    def _take_new(self) -> None:
        while self._new:
            path, status = self._new.popleft()
            for index in (self._index, self._walked):
                if index is not None:
                    self._count(path, status, index)

    def _count(self, path: str, status: os.stat_result, index: Index) -> None:
        relative = path[len(self._root) + 1 :]
        if parsed := self._template.parse(relative):
            picture = Picture(
                parsed[1], status.st_mtime_ns, relative, status.st_size, status.st_dev
            )
            self._has_recent = self._has_recent or self._is_recent(picture)
            index.add(parsed[0], picture)

    def _delete(self, pictures: Iterable[tuple[str, Picture]]) -> Iterator[None]:
        """Delete pictures, in slices, and then the folders that this leaves empty."""
        folders = set()
        for number, (camera, picture) in enumerate(pictures, 1):
            folders.add((camera, os.path.dirname(picture.path)))
            try:
                os.unlink(f"{self._root}/{picture.path}")
            except FileNotFoundError:
                pass  # a person was faster
            except OSError as exc:
                level = logging.DEBUG if self._undeletable else logging.WARNING
                self._undeletable = True
                _LOGGER.log(level, "storage: cannot delete %s: %s", picture.path, exc.strerror)
            else:
                self._deleted += 1
                self._deleted_bytes += picture.size
            if number % _SLICE == 0:
                yield
        for camera, folder in folders:
            with suppress(OSError):  # it isn't empty, or is a symbolic link
                while folder not in {"", camera}:
                    os.rmdir(f"{self._root}/{folder}")
                    folder = os.path.dirname(folder)


def free(where: str | int) -> int:
    """Bytes free on the disk of a folder or a file's descriptor, for one who isn't root."""
    status = os.statvfs(where)
    return status.f_bavail * status.f_frsize


def megabytes(size: int) -> str:
    """A size for a person."""
    return f"{size / 1e6:.1f} MB"
