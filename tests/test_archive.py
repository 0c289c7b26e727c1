"""Retention on real files."""

import asyncio
import logging
import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge import archive, retention
from bridge.archive import Archive
from bridge.filename import Caption, Template
from tests.test_retention import Keep

DEFAULT = "{camera}/{captured_at:%Y/%m/%d}/{captured_at:%H%M%S_%f}_{id}.jpg"


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few pictures do for what is meant for many."""
    monkeypatch.setattr(archive, "_SLICE", 3)
    monkeypatch.setattr(retention, "WINDOW", 4)


def put(
    folder: Path, days: float, *, camera: str = "door", size: int = 10, template: str = DEFAULT
) -> Path:
    """A picture that was taken days ago."""
    at = datetime.now().astimezone() - timedelta(days=days)
    caption = Caption(
        camera=camera,
        id="a1",
        captured_at=at,
        index=1,
        count=1,
        width=1,
        height=1,
        trigger="mqtt",
    )
    path = folder / Template(template).render(caption)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def tidy(folder: Path, template: str = DEFAULT, **keep: Any) -> Archive:
    made = Archive(str(folder), Template(template), Keep(**keep))
    asyncio.run(made.tidy())
    return made


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


def test_days_delete_older_pictures_of_cameras_that_are_gone_too(tmp_path: Path) -> None:
    old = [put(tmp_path, 8), put(tmp_path, 9, camera="sold_last_year")]
    new = [put(tmp_path, 6), put(tmp_path, 1, camera="sold_last_year")]
    tidy(tmp_path, days=7)
    assert files(tmp_path) == {*new}
    assert old


def test_count_deletes_the_oldest_of_each_camera(tmp_path: Path) -> None:
    pictures = [put(tmp_path, age, camera=camera) for camera in "ab" for age in range(20)]
    tidy(tmp_path, count=5)
    assert files(tmp_path) == {*pictures[:5], *pictures[20:25]}


def test_size_deletes_the_oldest_of_all(tmp_path: Path) -> None:
    pictures = [put(tmp_path, age, camera="ab"[age % 2], size=1000) for age in range(20)]
    assert tidy(tmp_path, size=6500).health()["bytes"] == 6000
    assert files(tmp_path) == {*pictures[:6]}


def test_free_deletes_no_more_than_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems tell only later what a deletion freed."""
    pictures = [put(tmp_path, age, size=1000) for age in range(20)]
    monkeypatch.setattr(archive, "free", lambda where: 6500)
    tidy(tmp_path, free=10_000)
    assert files(tmp_path) == {*pictures[:-4]}


def test_nothing_goes_without_a_limit(tmp_path: Path) -> None:
    pictures = [put(tmp_path, age) for age in range(20)]
    health = tidy(tmp_path).health()
    assert files(tmp_path) == {*pictures}
    assert health["files"] == 20
    assert health["bytes"] == 200
    assert health["free"]


def test_the_newest_and_latest_always_stay(tmp_path: Path) -> None:
    newest = put(tmp_path, 500)
    put(tmp_path, 501)
    latest = tmp_path / "door" / "latest.jpg"
    latest.touch()
    os.utime(latest, (0, 0))
    assert tidy(tmp_path, days=1, count=0, size=0, free=2**60).health()["files"] == 1
    assert files(tmp_path) == {newest, latest}


@pytest.mark.parametrize(
    "template", ["{camera}/{id}.jpg", "{captured_at:%Y}/{camera}/{captured_at:%j}.jpg"]
)
def test_without_a_date_in_the_name_the_modification_time_decides(
    tmp_path: Path, template: str
) -> None:
    old, new, newest = (
        put(tmp_path, age, camera=camera, template=template)
        for age, camera in ((9, "a"), (3, "b"), (1, "a"))
    )
    if old == newest:  # they share their name
        old = put(tmp_path, 9, camera="a").rename(newest.with_name("a1_2.jpg"))
    assert tidy(tmp_path, template, days=7).health()["files"] == 2
    assert not old.exists()
    assert new.exists()
    assert newest.exists()


def test_a_persons_own_files_are_never_touched(tmp_path: Path) -> None:
    day = put(tmp_path, 900).parent
    put(tmp_path, 1)
    own = [
        day / "holiday.jpg",
        day / "notes.txt",
        day / ".hidden.tmp",
        tmp_path / "door" / "2020.jpg",
        tmp_path / "My Pictures" / "2020" / "01" / "01" / "000000_000000_a1.jpg",
        tmp_path / "door" / "2020" / "01" / "01" / "more" / "000000_000000_a1.jpg",
    ]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))
    folder = tmp_path / "door" / "2020" / "01" / "01" / "000000_000000_a1.jpg"
    folder.mkdir()
    link = tmp_path / "door" / "2020" / "01" / "01" / "000000_000001_a1.jpg"
    link.symlink_to(own[0])
    tidy(tmp_path, days=1, count=0, size=0, free=2**60)
    assert {*own, link} <= files(tmp_path)
    assert folder.is_dir()
    assert not list(day.glob("*_a1.jpg"))


def test_folders_that_it_leaves_empty_go_but_not_the_cameras(tmp_path: Path) -> None:
    old = [put(tmp_path, age) for age in range(100, 110)]
    newest = put(tmp_path, 0)
    mine = tmp_path / "door" / "2020" / "01"
    mine.mkdir(parents=True)
    tidy(tmp_path, days=7)
    assert not any(path.parent.exists() for path in old)
    assert newest.exists()
    assert mine.exists()


def test_the_folder_of_a_camera_stays_when_its_last_picture_goes(tmp_path: Path) -> None:
    template = "{camera}/{captured_at:%Y%m%d%H%M%S%f}.jpg"
    put(tmp_path, 2, template=template)
    newest = put(tmp_path, 0, template=template)
    made = tidy(tmp_path, template)
    newest.unlink()  # by a person
    assert asyncio.run(made.make_room(os.stat(tmp_path).st_dev, 1))
    assert files(tmp_path) == set()
    assert (tmp_path / "door").is_dir()


def test_pictures_on_linked_disks_are_found_and_the_link_stays(tmp_path: Path) -> None:
    root, disk = tmp_path / "captures", tmp_path / "disk"
    disk.mkdir()
    root.mkdir()
    (root / "door").symlink_to(disk)
    put(root, 8)
    new = put(root, 0)
    tidy(root, days=7)
    assert files(disk) == {disk / new.relative_to(root / "door")}
    assert (root / "door").is_symlink()


def test_a_link_to_itself_does_not_lead_astray(tmp_path: Path) -> None:
    put(tmp_path, 1)
    (tmp_path / "door" / "2026").mkdir(exist_ok=True)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "door" / "2026" / "01").symlink_to(tmp_path / "door")
    assert tidy(tmp_path).health()["files"] == 1


def test_debris_of_a_crash_is_swept_wherever_it_may_be(tmp_path: Path) -> None:
    day = put(tmp_path, 1, template=DEFAULT).parent
    crashed = ".esp32cam2mqtt-0123abcd-7.tmp"
    debris = [tmp_path / crashed, tmp_path / "door" / crashed, day / crashed]
    ours = day / archive.unfinished(1)
    other = day / ".esp32cam2mqtt-notes.tmp"
    for path in (*debris, ours, other):
        path.touch()
    tidy(tmp_path)
    assert not any(path.exists() for path in debris)
    assert ours.exists()
    assert other.exists()


def test_debris_beside_latest_is_swept_where_the_template_has_no_such_folder(
    tmp_path: Path,
) -> None:
    debris = tmp_path / "door" / ".esp32cam2mqtt-0123abcd-7.tmp"
    debris.parent.mkdir()
    debris.touch()
    tidy(tmp_path, "{captured_at:%Y}/{camera}.jpg")
    assert not debris.exists()


def test_a_round_says_in_one_line_what_it_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for age in range(8):
        put(tmp_path, age, size=500_000)
    made = tidy(tmp_path, count=4)
    asyncio.run(made.tidy())
    assert [record.getMessage() for record in caplog.records] == [
        "storage: deleted the 4 oldest pictures (2.0 MB), as storage.keep says"
    ]


def test_what_cannot_be_deleted_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = [put(tmp_path, age, size=1000) for age in range(9)]
    unlink = os.unlink

    def guarded(path: str) -> None:
        if path in map(str, pictures[6:]):
            raise PermissionError(1, "Operation not permitted")
        unlink(path)

    monkeypatch.setattr(os, "unlink", guarded)
    monkeypatch.setattr(archive, "free", lambda where: 0)
    monkeypatch.setattr(retention, "WINDOW", 4096)
    made = tidy(tmp_path, free=2500)
    assert pictures[5].exists()  # those in vain were to bring enough
    asyncio.run(made.tidy())
    assert not any(path.exists() for path in pictures[3:6])
    assert files(tmp_path) == {*pictures[:3], *pictures[6:]}
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_picture_that_a_person_deleted_is_no_trouble(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = [put(tmp_path, age) for age in range(4)]
    made = tidy(tmp_path)
    pictures[3].unlink()
    assert asyncio.run(made.make_room(os.stat(tmp_path).st_dev, 1))
    assert files(tmp_path) == {*pictures[:2]}
    assert not caplog.records


def test_once_the_oldest_are_used_up_the_next_round_finds_more(tmp_path: Path) -> None:
    pictures = [put(tmp_path, age) for age in range(10)]
    disk = os.stat(tmp_path).st_dev
    made = tidy(tmp_path)
    for _ in range(6):
        assert asyncio.run(made.make_room(disk, 1))
    assert files(tmp_path) == {*pictures[:6]}  # more are not known: the reserve is used
    asyncio.run(made.tidy())
    assert asyncio.run(made.make_room(disk, 1))
    assert files(tmp_path) == {*pictures[:5]}


def test_new_pictures_are_counted_without_a_walk(tmp_path: Path) -> None:
    made = tidy(tmp_path, count=2)
    pictures = [put(tmp_path, age) for age in range(5)]
    for path in pictures:
        made.add(str(path), path.stat())
    asyncio.run(made.tidy())
    assert files(tmp_path) == {*pictures[:2]}
    assert made.health()["files"] == 2


def test_there_may_be_no_folder_yet(tmp_path: Path) -> None:
    assert tidy(tmp_path / "none", days=1, free=2**60).health()["files"] is None


def test_a_round_that_fails_is_reported_and_there_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(archive, "KEEP_EVERY", 0.0)
    made = Archive(str(tmp_path), Template(DEFAULT), Keep())

    async def scenario() -> None:
        twice = asyncio.Event()
        rounds = 0

        async def failing() -> None:
            nonlocal rounds
            rounds += 1
            if rounds > 1:
                twice.set()
                await asyncio.Event().wait()
            raise RuntimeError("a mistake of ours")

        monkeypatch.setattr(made, "tidy", failing)
        made.start()
        async with asyncio.timeout(5):
            await twice.wait()
        await made.stop()

    asyncio.run(scenario())
    assert "a mistake of ours" in caplog.text


# A clock that is wrong


class Clocks:
    """The two clocks by which pictures get old, to be turned by a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, ahead: float = 0) -> None:
        self.wall = time.time() + ahead
        self.elapsed = 1000.0
        monkeypatch.setattr(archive, "_wall", lambda: self.wall)
        monkeypatch.setattr(archive, "_elapsed", lambda: self.elapsed)

    def go(self, seconds: float) -> None:
        self.wall += seconds
        self.elapsed += seconds


DAY, YEAR = 86_400.0, 366 * 86_400.0


@pytest.mark.parametrize("jump", [50 * YEAR, -50 * YEAR, 8 * DAY])
def test_a_clock_that_jumps_deletes_nothing_for_a_day(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    jump: float,
) -> None:
    clocks = Clocks(monkeypatch)
    pictures = {put(tmp_path, age) for age in (1, 2, 3, 4, 5, 6)}
    made = tidy(tmp_path, days=7)
    clocks.go(60)
    clocks.wall += jump
    for _ in range(23):
        asyncio.run(made.tidy())
        clocks.go(3600)
    assert files(tmp_path) == pictures
    assert caplog.text.count("keep.days rests for a day: the clock has jumped by") == 1
    clocks.wall -= jump  # somebody has seen it
    asyncio.run(made.tidy())
    assert files(tmp_path) == pictures
    for _ in range(25):
        clocks.go(3600)
        asyncio.run(made.tidy())
    assert len(files(tmp_path)) == 4  # two have come of age meanwhile


def test_a_time_that_was_kept_for_a_day_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Clocks(monkeypatch)
    pictures = [put(tmp_path, age) for age in (1, 2, 3)]
    made = tidy(tmp_path, days=7)
    clocks.wall += 60 * DAY
    asyncio.run(made.tidy())
    assert files(tmp_path) == {*pictures}
    clocks.go(DAY)
    asyncio.run(made.tidy())
    assert files(tmp_path) == {pictures[0]}


def test_a_machine_that_slept_has_no_clock_that_jumped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Clocks(monkeypatch)
    pictures = [put(tmp_path, age) for age in (1, 2, 3)]
    made = tidy(tmp_path, days=7)
    clocks.go(5.5 * DAY)
    asyncio.run(made.tidy())
    assert files(tmp_path) == {pictures[0]}


@pytest.mark.parametrize("template", [DEFAULT, "{camera}/{id}_{index}.jpg"])
def test_a_start_in_the_wrong_year_deletes_nothing_for_a_day(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    template: str,
) -> None:
    pictures = {put(tmp_path, age, camera=f"cam{age}", template=template) for age in (1, 2, 30)}
    pictures.add(put(tmp_path, 40, camera="cam30"))
    clocks = Clocks(monkeypatch, ahead=50 * YEAR)
    made = Archive(str(tmp_path), Template(template), Keep(days=7))
    clocks.go(1)
    pictures.add(put(tmp_path, -50 * 366, camera="cam30", template=template))  # a new one
    asyncio.run(made.tidy())
    assert files(tmp_path) == pictures
    assert "keep.days rests for a day: all pictures are older" in caplog.text


def test_a_start_at_the_right_time_deletes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Clocks(monkeypatch)
    new = put(tmp_path, 1)
    put(tmp_path, 8)
    tidy(tmp_path, days=7)
    assert files(tmp_path) == {new}
    tidy(tmp_path / "an empty one", days=7)
    assert not caplog.text.count("rests")
