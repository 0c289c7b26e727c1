from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import retention
from bridge.retention import Index, Picture

NOW = datetime(2026, 11, 22, 11, 0, 0, tzinfo=UTC)


@dataclass
class Keep:
    days: float | None = None
    count: int | None = None
    size: int | None = None
    free: int | None = None


def picture(age: timedelta, *, size: int = 100, device: int = 1, named: bool = True) -> Picture:
    at = (NOW - age).astimezone()
    return Picture(
        time=at.strftime("%Y%m%d%H%M%S%f") if named else "",
        modified=0 if named else int(at.timestamp() * 1e9),
        path=f"{age.total_seconds()}.jpg",
        size=size,
        device=device,
    )


def days(*ages: float, named: bool = True) -> list[Picture]:
    return [picture(timedelta(days=age), named=named) for age in ages]


def index(**cameras: list[Picture]) -> Index:
    made = Index()
    for camera, pictures in cameras.items():
        for one in pictures:
            made.add(camera, one)
    return made


def surplus(of: Index, keep: Keep) -> list[str]:
    return [f"{camera}/{gone.path}" for camera, gone in of.surplus(keep, NOW)]


def ages(*of: str) -> list[str]:
    return [f"{name.split()[0]}/{float(name.split()[1]) * 86400}.jpg" for name in of]


@pytest.mark.parametrize("named", [True, False])
def test_days_lets_the_older_ones_go(named: bool) -> None:
    known = index(a=days(1, 9, 6.9, 7.1, named=named), b=days(8, 2, named=named))
    assert surplus(known, Keep(days=7)) == ages("a 9", "a 7.1", "b 8")
    assert known.files == 3


def test_count_is_per_camera() -> None:
    known = index(a=days(1, 4, 2, 3), b=days(1, 2))
    assert surplus(known, Keep(count=2)) == ages("a 4", "a 3")


def test_size_is_of_all_cameras_together() -> None:
    known = index(a=days(1, 4, 2), b=days(3, 5))
    assert surplus(known, Keep(size=250)) == ages("b 5", "a 4", "a 2")
    assert known.bytes == 200


@pytest.mark.parametrize("keep", [Keep(days=1), Keep(count=0), Keep(size=0)])
def test_the_newest_of_a_camera_never_goes(keep: Keep) -> None:
    known = index(a=days(30, 31), b=days(40))
    assert surplus(known, keep) == ages("a 31")
    assert known.files == 2


def test_a_name_that_ends_with_the_day_is_old_only_when_all_of_the_day_is() -> None:
    at = [(NOW - timedelta(days=n)).astimezone().strftime("%Y%m%d") for n in (8, 7, 0)]
    known = index(a=[Picture(time, 0, time, 1, 1) for time in at])
    assert surplus(known, Keep(days=7)) == [f"a/{at[0]}"]


def test_any_number_of_days_is_taken() -> None:
    assert surplus(index(a=days(1, 2)), Keep(days=1e12)) == []


def test_the_name_comes_before_the_modification_time_which_a_copy_changes() -> None:
    copied = picture(timedelta(days=9))._replace(modified=10**18)
    known = index(a=[copied, *days(1, 2)])
    assert surplus(known, Keep(count=2)) == ages("a 9")


def test_only_pictures_on_the_full_disk_make_room_on_it() -> None:
    known = index(
        a=[picture(timedelta(days=age), device=age % 2) for age in (1, 2, 3, 4)],
        b=[picture(timedelta(days=age), device=1) for age in (9, 8)],
    )
    assert [gone.path for _, gone in known.oldest(10_000, 0)] == ["345600.0.jpg", "172800.0.jpg"]
    assert [gone.path for _, gone in known.oldest(10_000, 1)] == ["777600.0.jpg", "259200.0.jpg"]
    assert known.files == 2


def test_no_more_goes_than_is_needed() -> None:
    known = index(a=days(1, 2, 3, 4))
    assert len(list(known.oldest(101))) == 2
    assert list(known.oldest(0)) == []
    assert list(known.oldest(-5)) == []


def test_a_picture_that_is_saved_and_found_counts_once() -> None:
    known = index(a=days(1, 2, 3, 2, 1))
    assert (known.files, known.bytes) == (3, 300)


class TestManyPictures:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retention, "WINDOW", 3)

    def test_only_the_oldest_are_remembered(self) -> None:
        known = index(a=days(*range(1, 11)))
        assert (known.files, known.bytes, known.dry) == (10, 1000, False)
        assert surplus(known, Keep(count=2)) == ages("a 10", "a 9", "a 8")
        assert known.dry
        assert known.files == 7

    def test_new_ones_do_not_pass_for_the_oldest(self) -> None:
        known = index(a=days(*range(2, 11)))
        list(known.oldest(100))
        known.add("a", days(1)[0])
        assert surplus(known, Keep(count=0)) == ages("a 9", "a 8")

    def test_what_is_unknown_of_one_camera_stops_what_goes_by_age_among_all(self) -> None:
        known = index(a=days(*range(11, 16)), b=days(1, 2))
        assert [gone.path for _, gone in known.oldest(10_000)] == [
            f"{age * 86400}.0.jpg" for age in (15, 14, 13)
        ]


AGES = st.lists(st.integers(0, 60), max_size=20, unique=True)


@given(
    cameras=st.dictionaries(st.sampled_from("abc"), AGES, max_size=3),
    keep=st.builds(
        Keep,
        days=st.none() | st.integers(0, 60),
        count=st.none() | st.integers(0, 10),
        size=st.none() | st.integers(0, 3000),
    ),
    window=st.sampled_from([1, 2, 5, 4096]),
)
def test_walks_and_deletions_in_turn_leave_what_is_to_be_kept(
    cameras: dict[str, list[int]], keep: Keep, window: int
) -> None:
    there = {name: {one.path: one for one in days(*ages)} for name, ages in cameras.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "WINDOW", window)
        while True:
            known = index(**{name: list(pictures.values()) for name, pictures in there.items()})
            for camera, gone in known.surplus(keep, NOW):
                assert gone == min(there[camera].values())
                del there[camera][gone.path]
            assert known.files == sum(map(len, there.values()))
            if not known.dry:
                break

    for name, ages in cameras.items():
        assert bool(ages) == bool(there[name])
        if keep.count is not None:
            assert len(there[name]) <= max(keep.count, 1)
        if keep.days is not None:
            others = sorted(there[name].values())[:-1]
            limit = (NOW - timedelta(days=keep.days)).astimezone().strftime("%Y%m%d%H%M%S%f")
            assert all(other.time >= limit for other in others)
    left = [one for pictures in there.values() for one in pictures.values()]
    if keep.size is not None:
        alone = all(len(pictures) <= 1 for pictures in there.values())
        assert alone or sum(one.size for one in left) <= keep.size
