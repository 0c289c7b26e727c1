"""Which saved pictures are to go, by ``storage.keep``. Pure: no file is looked at.

A picture's age is the time in its name, as far as the template has it: a copied or restored
archive has new modification times, while its names stay true. Where the template has no full
date, and between pictures whose names say the same, the modification time decides.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

WINDOW = 4096
"""Of how many pictures of a camera we know more than their number: the oldest ones, 1.2 MB.

An archive of a million pictures must fit beside everything else on a Raspberry Pi Zero.
"""

MAX_DAYS = 100 * 366.0
"""Longer than any picture of an ESP32-CAM, the first of 2019, is kept; datetime ends somewhere."""


class Keep(Protocol):
    """What is to be kept; ``None`` is no limit. Sizes are bytes."""

    @property
    def days(self) -> float | None:
        """Days after which a picture goes."""

    @property
    def count(self) -> int | None:
        """Pictures of a camera."""

    @property
    def size(self) -> int | None:
        """Bytes of all pictures together."""

    @property
    def free(self) -> int | None:
        """Bytes that are to be free on a disk."""


class Picture(NamedTuple):
    """A saved picture; an older one is less than a newer.

    ``time`` is what its name says, ``modified`` nanoseconds, ``path`` relative, ``device`` the
    disk it is on: with symbolic links in the folder there may be several.
    """

    time: str
    modified: int
    path: str
    size: int
    device: int


class _Shelf:
    """One camera's pictures: their number and size, and of the oldest each one, sorted."""

    def __init__(self) -> None:
        self.oldest: list[Picture] = []
        self.count = 0
        self.size = 0

    @property
    def spare(self) -> int:
        """How many of ``oldest`` may go: all, unless the newest is among them."""
        return max(len(self.oldest) - (len(self.oldest) == self.count), 0)

    @property
    def dry(self) -> bool:
        """Whether only a new walk can tell which picture is the oldest."""
        return not self.oldest and self.count > 0

    def add(self, picture: Picture) -> None:
        """Count a picture, once if it is among the oldest known ones already."""
        whole = len(self.oldest) == self.count
        at = bisect_left(self.oldest, picture)
        if at < len(self.oldest):
            if self.oldest[at] == picture:
                return
            self.oldest.insert(at, picture)
        elif whole:
            self.oldest.append(picture)
        self.count += 1
        self.size += picture.size
        if len(self.oldest) > WINDOW:
            self.oldest.pop()

    def take(self, at: int = 0) -> Picture:
        """Forget one of the oldest pictures, which is about to be deleted."""
        picture = self.oldest.pop(at)
        self.count -= 1
        self.size -= picture.size
        return picture


class Index:
    """What is known of the saved pictures of all cameras."""

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}

    @property
    def files(self) -> int:
        """How many pictures there are."""
        return sum(shelf.count for shelf in self._shelves.values())

    @property
    def bytes(self) -> int:
        """How large they are together."""
        return sum(shelf.size for shelf in self._shelves.values())

    @property
    def dry(self) -> bool:
        """Whether the oldest pictures of a camera are unknown until the next walk."""
        return any(shelf.dry for shelf in self._shelves.values())

    def add(self, camera: str, picture: Picture) -> None:
        """Count a picture that was found or saved."""
        self._shelves.setdefault(camera, _Shelf()).add(picture)

    def disks(self) -> dict[int, str]:
        """The disks that hold the oldest pictures, each with the path of one of these."""
        return {p.device: p.path for shelf in self._shelves.values() for p in shelf.oldest}

    def surplus(self, keep: Keep, now: datetime | None) -> Iterator[tuple[str, Picture]]:
        """The pictures that ``days``, ``count`` and ``size`` let go; each is forgotten as it comes.

        Never a camera's newest. Without a time that can be believed, ``days`` lets none go.
        """
        limit = None
        if keep.days is not None and now is not None:
            limit = now.astimezone() - timedelta(days=min(keep.days, MAX_DAYS))
        for camera, shelf in list(self._shelves.items()):
            while shelf.spare and (
                (keep.count is not None and shelf.count > keep.count)
                or (limit is not None and older(shelf.oldest[0], limit))
            ):
                yield camera, shelf.take()
        if keep.size is not None:
            yield from self.oldest(self.bytes - keep.size)

    def oldest(self, size: int, device: int | None = None) -> Iterator[tuple[str, Picture]]:
        """The oldest pictures, on one disk or on all, until they are ``size`` bytes together.

        What is known may end first. Each is forgotten as it comes; never a camera's newest.
        """
        while size > 0:
            found: tuple[Picture, str, int] | None = None
            for camera, shelf in self._shelves.items():
                if shelf.dry:
                    return  # the oldest of all may be one of these
                for at in range(shelf.spare):
                    picture = shelf.oldest[at]
                    if device is None or picture.device == device:
                        if found is None or picture < found[0]:
                            found = picture, camera, at
                        break
            if found is None:
                return
            size -= found[0].size
            yield found[1], self._shelves[found[1]].take(found[2])


def older(picture: Picture, limit: datetime) -> bool:
    """Whether all of the time that the name stands for, a day perhaps, is before the limit."""
    if not picture.time:
        return picture.modified < limit.timestamp() * 1e9
    return picture.time < limit.strftime("%Y%m%d%H%M%S%f")[: len(picture.time)]
