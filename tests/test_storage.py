"""Pictures on real disks: full ones, slow ones, hanging ones, and a process that is killed."""

# A test may block its own loop.
# ruff: noqa: ASYNC110, ASYNC221, ASYNC240

import asyncio
import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge import storage as module
from bridge.errors import StorageFailed
from bridge.filename import Caption
from bridge.storage import Saved, Storage
from tests.fakes.loop import in_loop
from tests.test_retention import Keep

DEFAULT = "{camera}/{captured_at:%Y/%m/%d}/{captured_at:%H%M%S_%f}_{id}.jpg"
AT = datetime(2026, 11, 22, 11, 0, 0, 480000, UTC)
PICTURE = b"\xff\xd8" + bytes(range(256)) * 40 + b"\xff\xd9"


def storage(
    path: Path, *, filename: str = DEFAULT, latest: bool = False, limit: float = 10, **options: Any
) -> Storage:
    keep = Keep(**{name: options.pop(name) for name in ("days", "count", "free") & options.keys()})
    options.setdefault("durability", "none")
    return Storage(path, filename=filename, latest=latest, keep=keep, limit=limit, **options)


def save(
    to: Storage,
    data: bytes | bytearray = PICTURE,
    *,
    camera: str = "door",
    id: str = "a1",  # noqa: A002
    captured_at: datetime = AT,
) -> Coroutine[Any, Any, Saved]:
    caption = Caption(
        camera=camera,
        id=id,
        captured_at=captured_at,
        index=1,
        count=1,
        width=1600,
        height=1200,
        trigger="mqtt",
    )
    return to.save(caption, data)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


class Disk:
    """A disk that stops answering while a picture is written, until it is let go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, hangs: Callable[[bytes], bool]) -> None:
        self.hanging = threading.Semaphore(0)
        self.goes_on = threading.Event()
        write = module._write_all

        def write_all(fd: int, data: bytes | bytearray) -> None:
            if hangs(bytes(data)):
                self.hanging.release()
                assert self.goes_on.wait(30)
            write(fd, data)

        monkeypatch.setattr(module, "_write_all", write_all)

    async def hung(self, times: int = 1) -> None:
        for _ in range(times):
            assert await asyncio.to_thread(self.hanging.acquire, timeout=10)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch, hangs=lambda data: data.startswith(b"hang"))
    yield disk
    disk.goes_on.set()


@in_loop
async def test_a_picture_is_saved_whole_under_an_absolute_path(tmp_path: Path) -> None:
    saved = await save(storage(tmp_path / "captures"), bytearray(PICTURE), id="x/../y")
    path = Path(saved.path)
    local = AT.astimezone()
    assert path == tmp_path / "captures" / "door" / local.strftime("%Y/%m/%d/%H%M%S_%f_x_.._y.jpg")
    assert path.read_bytes() == PICTURE
    assert saved.sha256 == hashlib.sha256(PICTURE).hexdigest()
    assert files(tmp_path) == {path}


@in_loop
async def test_a_relative_folder_gives_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved = await save(storage(Path("captures/../pictures")))
    assert saved.path.startswith(f"{tmp_path}/pictures/door/")


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o640, 0o750), (0o077, 0o600, 0o700)]
)
@in_loop
async def test_others_may_not_read_the_pictures(
    tmp_path: Path, umask: int, file: int, folder: int
) -> None:
    before = os.umask(umask)
    try:
        made = storage(tmp_path / "captures", latest=True)
        await made.start()
        path = Path((await save(made)).path)
        await made.stop()
    finally:
        os.umask(before)
    for made_file in (path, tmp_path / "captures/door/latest.jpg"):
        assert made_file.stat().st_mode & 0o777 == file
    for made_folder in (path.parent, tmp_path / "captures/door", tmp_path / "captures"):
        assert made_folder.stat().st_mode & 0o777 == folder


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@in_loop
async def test_a_name_that_is_taken_gets_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        without_hard_links(monkeypatch)
    made = storage(tmp_path, filename="{camera}/{id}.jpg")
    mine = tmp_path / "door" / "a1.jpg"
    mine.parent.mkdir()
    mine.write_bytes(b"a person's")
    saved = await asyncio.gather(*(save(made, b"%d" % n) for n in range(20)))
    assert mine.read_bytes() == b"a person's"
    assert {Path(one.path).name for one in saved} == {f"a1_{n}.jpg" for n in range(2, 22)}
    assert [Path(one.path).read_bytes() for one in saved] == [b"%d" % n for n in range(20)]
    assert len(files(tmp_path)) == 21


def without_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(src: str, dst: str) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), src, None, dst)

    monkeypatch.setattr(os, "link", link)


@in_loop
async def test_hundreds_of_the_same_name_take_few_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = storage(tmp_path, filename="{camera}/{id}.jpg")
    (tmp_path / "door").mkdir()
    for name in ("a1.jpg", *(f"a1_{n}.jpg" for n in range(2, 600))):
        (tmp_path / "door" / name).touch()
    asked: list[str] = []
    lexists = os.path.lexists

    def counted(path: str) -> bool:
        asked.append(path)
        return lexists(path)

    monkeypatch.setattr(os.path, "lexists", counted)
    assert Path((await save(made)).path).name == "a1_600.jpg"
    assert len(asked) < 25


@pytest.mark.parametrize(
    "id", ["..", "../x", "/etc/passwd", "a\x00b", "😀" * 128, "%s{id}", "-rf", "x" * 128, ".", " "]
)
@in_loop
async def test_no_id_leaves_the_cameras_folder(tmp_path: Path, id: str) -> None:  # noqa: A002
    root = tmp_path / "captures"
    path = Path((await save(storage(root, filename="{camera}/{id}.jpg"), id=id)).path)
    assert path.parent == root / "door"
    assert files(tmp_path) == {path}


@pytest.mark.parametrize(
    ("durability", "first", "second"), [("none", 0, 0), ("file", 1, 1), ("full", 7, 2)]
)
@in_loop
async def test_durability_says_what_is_synced_before_it_counts_as_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str, first: int, second: int
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    made = storage(tmp_path / "captures", durability=durability, latest=True)
    path = Path((await save(made)).path)
    assert len(synced) == first
    if durability == "full":  # captures/door/Y/m/d: five new ones, each in its parent
        folders = {str(path.parents[n]) for n in range(1, 6)}
        assert {*synced[:5]} == folders
        assert synced[5].endswith(".tmp")
        assert synced[6] == str(path.parent)
    await save(made)
    assert len(synced) == first + second


# latest.jpg


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("filename", [DEFAULT, "{captured_at:%Y}/{camera}.jpg"])
@in_loop
async def test_latest_is_the_newest_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filename: str, links: bool
) -> None:
    if not links:
        without_hard_links(monkeypatch)
    made = storage(tmp_path, filename=filename, latest=True)
    for data in (b"one", b"two"):
        path = Path((await save(made, data)).path)
        assert (tmp_path / "door" / "latest.jpg").read_bytes() == data
    path.unlink()
    assert (tmp_path / "door" / "latest.jpg").read_bytes() == b"two"
    assert len(files(tmp_path)) == 2


@in_loop
async def test_latest_is_on_the_disk_that_the_owner_linked(small_disk: Path) -> None:
    root = small_disk.parent / "captures"
    day = AT.astimezone().strftime("%Y")
    (root / "door").mkdir(parents=True)
    (root / "door" / day).symlink_to(small_disk)
    saved = await save(storage(root, latest=True))
    assert Path(saved.path).resolve().is_relative_to(small_disk)
    assert (root / "door" / "latest.jpg").read_bytes() == PICTURE
    assert len(files(root) | files(small_disk)) == 2


@in_loop
async def test_a_picture_cannot_take_latests_name(tmp_path: Path) -> None:
    made = storage(tmp_path, filename="{camera}/{id}.jpg", latest=True)
    first, second = await save(made, b"1", id="latest"), await save(made, b"2", id="latest")
    assert [Path(one.path).name for one in (first, second)] == ["latest_2.jpg", "latest_3.jpg"]
    assert (tmp_path / "door" / "latest.jpg").read_bytes() == b"2"


@in_loop
async def test_an_older_picture_that_is_late_does_not_become_the_latest(
    tmp_path: Path, hanging: Disk
) -> None:
    made = storage(tmp_path, latest=True)
    older = asyncio.create_task(save(made, b"hang, older"))
    await hanging.hung()
    # Told by the order of the calls: a clock that was set back must not freeze latest.jpg.
    await save(made, b"newer", captured_at=AT - timedelta(days=1))
    hanging.goes_on.set()
    assert Path((await older).path).read_bytes() == b"hang, older"
    assert (tmp_path / "door" / "latest.jpg").read_bytes() == b"newer"
    assert len(files(tmp_path)) == 3


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@in_loop
async def test_who_reads_latest_never_sees_a_torn_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        without_hard_links(monkeypatch)
    made = storage(tmp_path, latest=True)
    pictures = [bytes([n]) * (200_000 + n) for n in range(100)]
    await save(made, pictures[0])
    over, seen = threading.Event(), set()

    def read() -> None:
        while not over.is_set():
            seen.add((tmp_path / "door" / "latest.jpg").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for picture in pictures:
        await save(made, picture)
    over.set()
    reader.join(10)
    assert len(seen) > 1
    assert seen <= {*pictures}


@in_loop
async def test_a_latest_that_cannot_be_renewed_is_no_failed_save(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "door" / "latest.jpg"
    in_the_way.mkdir(parents=True)
    made = storage(tmp_path, latest=True)
    for _ in range(3):
        assert Path((await save(made)).path).read_bytes() == PICTURE
    assert len(files(tmp_path)) == 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "cannot renew" in caplog.text


# Links and folders


@in_loop
async def test_the_owners_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "disk" / "door").mkdir(parents=True)
    (tmp_path / "disk2").mkdir()
    (tmp_path / "captures").symlink_to("disk")
    (tmp_path / "disk" / "garden").symlink_to(tmp_path / "disk2")
    made = storage(tmp_path / "captures", latest=True)
    await made.start()
    for camera in ("door", "garden"):
        saved = await save(made, camera=camera)
        assert saved.path.startswith(f"{tmp_path}/captures/{camera}/")
    await made.stop()
    assert len(files(tmp_path / "disk")) == len(files(tmp_path / "disk2")) == 2


@in_loop
async def test_a_folder_that_goes_away_is_made_again(tmp_path: Path) -> None:
    made = storage(tmp_path)
    path = Path((await save(made)).path)
    path.unlink()
    for folder in list(path.parents)[:4]:
        folder.rmdir()
    assert (await save(made)).path == str(path)


@in_loop
async def test_a_file_where_a_folder_should_be_is_reported(tmp_path: Path) -> None:
    (tmp_path / "door").write_text("mine")
    with pytest.raises(StorageFailed, match=r"cannot save .*/door/.*\.jpg: not a directory"):
        await save(storage(tmp_path))
    assert (tmp_path / "door").read_text() == "mine"


@in_loop
async def test_a_link_to_nowhere_is_reported(tmp_path: Path) -> None:
    (tmp_path / "door").symlink_to(tmp_path / "unplugged")
    with pytest.raises(StorageFailed, match="no such file or directory"):
        await save(storage(tmp_path))


@in_loop
async def test_starting_says_at_once_that_nothing_can_be_saved(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    made = storage(tmp_path / "file" / "captures")
    with pytest.raises(StorageFailed, match=r"cannot save in .*/captures: not a directory"):
        await made.start()
    await made.stop()


@in_loop
async def test_a_disk_that_comes_back_is_used_again(tmp_path: Path) -> None:
    (tmp_path / "disk").touch()
    made = storage(tmp_path / "disk" / "captures")
    with pytest.raises(StorageFailed):
        await made.start()
    with pytest.raises(StorageFailed):
        await save(made)
    (tmp_path / "disk").unlink()
    assert Path((await save(made)).path).exists()
    await made.stop()


@in_loop
async def test_a_disk_that_is_read_only_is_reported(small_disk: Path) -> None:
    made = storage(small_disk / "captures")
    await made.start()
    await save(made)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True, timeout=10)
    with pytest.raises(StorageFailed, match="read-only file system"):
        await save(made)
    with pytest.raises(StorageFailed, match=r"cannot save in .*read-only file system"):
        await storage(small_disk / "captures").start()
    await made.stop()


# Full disks


@pytest.mark.parametrize("latest", [True, False])
@in_loop
async def test_a_full_disk_leaves_no_half_picture_and_stops_nothing(
    small_disk: Path, latest: bool
) -> None:
    made = storage(small_disk, latest=latest)
    whole = Path((await save(made, bytes(300_000))).path)
    before = files(small_disk)
    with pytest.raises(
        StorageFailed, match=r"cannot save .*\.jpg: no space left on device, 0\.7 MB free"
    ):
        await save(made, bytes(900_000))
    assert files(small_disk) == before
    assert whole.stat().st_size == 300_000
    assert Path((await save(made, bytes(100_000))).path).stat().st_size == 100_000


@in_loop
async def test_old_pictures_make_room_for_a_new_one(small_disk: Path) -> None:
    made = storage(small_disk, free=400_000, latest=True)
    await made.start()
    await made.tidy()
    saved = [
        await save(made, bytes([n]) * 100_000, captured_at=AT + timedelta(seconds=n))
        for n in range(30)
    ]
    left = [one for one in saved if Path(one.path).exists()]
    assert left == saved[-len(left) :]
    assert 4 <= len(left) <= 6
    status = os.statvfs(small_disk)
    assert status.f_bavail * status.f_frsize >= 400_000
    assert (small_disk / "door" / "latest.jpg").read_bytes() == bytes([29]) * 100_000
    await made.stop()


@in_loop
async def test_without_old_pictures_the_reserve_is_kept_and_said_so(small_disk: Path) -> None:
    made = storage(small_disk, free=500_000)
    await made.start()
    await made.tidy()
    mine = small_disk / "mine"
    mine.write_bytes(bytes(600_000))
    with pytest.raises(
        StorageFailed, match=r"0\.4 MB free, 0\.5 MB wanted, and no older picture to delete"
    ):
        await save(made)
    assert files(small_disk) == {mine}
    mine.unlink()
    assert Path((await save(made)).path).exists()
    await made.stop()


@in_loop
async def test_the_reserve_is_for_pictures_as_long_as_the_old_ones_are_unknown(
    small_disk: Path,
) -> None:
    made = storage(small_disk, free=2**40)
    assert Path((await save(made)).path).exists()


# Disks that don't answer


@in_loop
async def test_a_disk_that_hangs_fails_the_save_in_time_and_leaves_nothing_later(
    tmp_path: Path, hanging: Disk
) -> None:
    made = storage(tmp_path, latest=True, limit=0.05)
    with pytest.raises(
        StorageFailed, match=r"cannot save .*: the disk did not answer within 0\.05 seconds"
    ):
        await save(made, b"hang")
    hanging.goes_on.set()
    await eventually(lambda: not made._saves)
    assert files(tmp_path) == set()


@in_loop
async def test_a_save_that_is_cancelled_leaves_nothing(tmp_path: Path, hanging: Disk) -> None:
    made = storage(tmp_path, latest=True)
    await give_up([asyncio.create_task(save(made, b"hang"))], hanging)
    hanging.goes_on.set()
    await eventually(lambda: not made._saves)
    assert files(tmp_path) == set()


@in_loop
async def test_a_picture_that_is_saved_as_the_time_runs_out_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = storage(tmp_path, latest=True, limit=1)
    goes_on = threading.Event()
    monkeypatch.setattr(made, "_renew_latest", lambda *_: goes_on.wait(10))
    saved = await save(made)
    goes_on.set()
    assert Path(saved.path).read_bytes() == PICTURE


@in_loop
async def test_one_cameras_disk_that_hangs_is_no_other_cameras_trouble(
    tmp_path: Path, hanging: Disk
) -> None:
    made = storage(tmp_path)
    await give_up([asyncio.create_task(save(made, b"hang"))], hanging)
    with pytest.raises(StorageFailed, match="the disk still doesn't answer"):
        save(made).send(None)  # at once, with no await
    assert Path((await save(made, camera="garden")).path).exists()

    hanging.goes_on.set()
    await eventually(lambda: not made._saves)
    assert Path((await save(made)).path).exists()


@in_loop
async def test_while_all_threads_hang_a_save_fails_at_once(tmp_path: Path, hanging: Disk) -> None:
    made = storage(tmp_path)
    tasks = [
        asyncio.create_task(save(made, b"hang", camera=f"c{n}")) for n in range(module.THREADS)
    ]
    queued = asyncio.create_task(save(made, camera="queued"))
    await give_up(tasks, hanging)
    with pytest.raises(StorageFailed, match="still doesn't answer"):
        save(made, camera="garden").send(None)

    hanging.goes_on.set()
    path = Path((await queued).path)
    await eventually(lambda: not made._saves)
    assert files(tmp_path) == {path}
    assert Path((await save(made, camera="garden")).path).exists()


async def give_up(tasks: list[asyncio.Task[Saved]], disk: Disk) -> None:
    """Cancel saves as soon as each of them hangs."""
    await disk.hung(len(tasks))
    for task in tasks:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@in_loop
async def test_a_save_that_was_given_up_in_the_queue_is_forgotten(
    tmp_path: Path, hanging: Disk
) -> None:
    made = storage(tmp_path)
    tasks = [asyncio.create_task(save(made, b"hang", camera=f"c{n}")) for n in range(4)]
    await hanging.hung(4)
    queued = asyncio.create_task(save(made, camera="garden"))
    await asyncio.sleep(0)
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    assert len(made._saves) == 4
    hanging.goes_on.set()
    await asyncio.gather(*tasks)
    assert len(files(tmp_path)) == 4


@pytest.mark.parametrize(
    ("bound", "value"), [("MAX_SAVES", 6), ("MAX_BYTES", 4 * len(b"hang") + 2 * len(PICTURE))]
)
@in_loop
async def test_only_so_much_waits_for_a_slow_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanging: Disk, bound: str, value: int
) -> None:
    monkeypatch.setattr(module, bound, value)
    made = storage(tmp_path)
    tasks = [asyncio.create_task(save(made, b"hang", camera=f"c{n}")) for n in range(4)]
    await hanging.hung(4)
    tasks += [asyncio.create_task(save(made, camera=f"c{n}")) for n in range(4, 6)]
    await asyncio.sleep(0)
    with pytest.raises(StorageFailed, match=r"6 others, 0\.0 MB, wait already"):
        await save(made, camera="garden")
    hanging.goes_on.set()
    await asyncio.gather(*tasks)
    assert len(files(tmp_path)) == 6


@in_loop
async def test_a_picture_that_is_larger_than_all_that_may_wait_is_saved_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    assert Path((await save(storage(tmp_path))).path).exists()


@pytest.mark.parametrize("step", ["write", "fsync", "close", "stat", "replace"])
@in_loop
async def test_whatever_call_fails_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    made = storage(tmp_path, durability="full")
    path = Path((await save(made)).path)
    if step == "replace":
        without_hard_links(monkeypatch)
    call = getattr(os, step)

    def failing(*args: Any, **kwargs: Any) -> Any:
        if step == "close":
            call(*args)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, failing)
        with pytest.raises(StorageFailed, match=r"\.jpg: input/output error"):
            await save(made)
    assert files(tmp_path) == {path}


@in_loop
async def test_a_folder_that_cannot_be_synced_means_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = storage(tmp_path, durability="full")
    path = Path((await save(made)).path)

    def failing(folder: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(module, "_sync", failing)
    with pytest.raises(StorageFailed, match="input/output error"):
        await save(made)
    assert files(tmp_path) == {path}


# A crash

CRASHING = """
import asyncio, os, sys
from pathlib import Path
from bridge import storage as module
from tests.test_storage import save, storage

def write_half(fd, data):
    os.write(fd, data[: len(data) // 2])
    print("half", flush=True)
    sys.stdin.read()

module._write_all = write_half
asyncio.run(save(storage(Path(sys.argv[1]), latest=True)))
"""


@in_loop
async def test_what_a_killed_bridge_left_half_written_is_swept_at_the_next_start(
    tmp_path: Path,
) -> None:
    killed = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", CRASHING, str(tmp_path)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert killed.stdout is not None
    assert killed.stdin is not None
    with killed.stdout, killed.stdin:
        assert killed.stdout.readline() == b"half\n"
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait(10)
    (debris,) = files(tmp_path)
    assert debris.stat().st_size == len(PICTURE) // 2
    assert debris.suffix != ".jpg"

    made = storage(tmp_path)
    await made.start()
    await eventually(lambda: not files(tmp_path))
    await made.stop()


# The rest


@in_loop
async def test_health_tells_what_there_is(tmp_path: Path) -> None:
    made = storage(tmp_path, count=2, latest=True)
    assert made.health() == {"free": None, "files": None, "bytes": None}
    await made.start()
    for n in range(3):
        await save(made, id=str(n))
    await made.tidy()
    health = made.health()
    assert health["free"]
    assert (health["files"], health["bytes"]) == (2, 2 * len(PICTURE))
    await made.stop()


@in_loop
async def test_saving_goes_on_while_folders_that_became_empty_are_removed(tmp_path: Path) -> None:
    made = storage(tmp_path, filename="{camera}/{captured_at:%f}/{id}.jpg", count=1)
    over = asyncio.Event()

    async def tidy() -> None:
        while not over.is_set():
            await made.tidy()

    async def saves() -> None:
        for n in range(300):
            await save(made, captured_at=AT.replace(microsecond=n % 3))
        over.set()

    await asyncio.gather(tidy(), saves())
    await made.tidy()
    assert len(files(tmp_path)) == 1


@in_loop
async def test_stopping_does_not_wait_for_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, goes_on = threading.Event(), threading.Event()

    def scandir(path: str) -> Any:
        began.set()
        goes_on.wait(10)
        raise OSError(errno.EIO, "")

    monkeypatch.setattr(os, "scandir", scandir)
    made = storage(tmp_path)
    await made.start()
    assert await asyncio.to_thread(began.wait, 10)
    async with asyncio.timeout(1):
        await made.stop()
    goes_on.set()
