import random

import pytest

from bridge.backoff import BackOff


def failures(back_off: BackOff, count: int) -> list[float]:
    return [back_off.failed() for _ in range(count)]


def test_pauses_grow_to_half_a_minute_and_no_further() -> None:
    for number, pause in enumerate(failures(BackOff(), 100)):
        ceiling = min(30, 0.5 * 2**number)
        assert ceiling / 4 <= pause <= ceiling


def test_only_a_connection_that_lasted_starts_them_anew() -> None:
    back_off = BackOff()
    failures(back_off, 20)
    assert back_off.ended(lasted=9, taken_over=False, hung_up=False) >= 7.5
    assert not back_off.first
    assert back_off.ended(lasted=11, taken_over=False, hung_up=False) <= 0.5
    assert back_off.first


def test_who_is_taken_over_stays_away_for_a_minute_and_then_longer() -> None:
    back_off = BackOff()
    for number in range(10):
        pause = back_off.ended(lasted=70, taken_over=True, hung_up=False)
        assert min(900, 60 * 2**number) <= pause <= 1.25 * 900
        assert back_off.rival
        assert back_off.first == (number == 0)  # it is said once
    assert back_off.ended(lasted=1000, taken_over=False, hung_up=False) <= 0.5
    assert not back_off.rival
    assert back_off.ended(lasted=1, taken_over=True, hung_up=False) <= 75
    assert back_off.first


def test_three_hang_ups_in_a_row_with_nothing_on_its_way_are_a_rivals() -> None:
    back_off = BackOff()
    rivals = []
    for _ in range(4):
        back_off.ended(lasted=1, taken_over=False, hung_up=True)
        rivals.append(back_off.rival)
    assert rivals == [False, False, True, True]


@pytest.mark.parametrize("between", ["failed", "lasted", "busy"])
def test_a_broker_that_restarts_or_refuses_an_image_is_no_rival(between: str) -> None:
    back_off = BackOff()
    for _ in range(10):
        for _ in range(2):
            back_off.ended(lasted=1, taken_over=False, hung_up=True)
            assert not back_off.rival
        if between == "failed":
            back_off.failed()
        else:
            lasted = 11 if between == "lasted" else 1
            back_off.ended(lasted=lasted, taken_over=False, hung_up=between == "lasted")
        assert not back_off.rival


@pytest.mark.parametrize("told", [True, False])
def test_two_with_one_id_throw_each_other_out_a_few_times_an_hour(told: bool) -> None:
    random.seed(1)
    both = BackOff(), BackOff()
    due = [0.0, 5.0]  # when each connects; infinite while it is connected
    since, now, kicks, day = 0.0, 0.0, 0, 86_400.0
    connected: int | None = None
    while True:
        comes = due.index(min(due))
        now = due[comes]
        if now > day:
            break
        due[comes] = float("inf")
        if connected is not None:
            kicks += 1
            pause = both[connected].ended(lasted=now - since, taken_over=told, hung_up=not told)
            due[connected] = now + pause
        connected, since = comes, now
    assert 24 <= kicks <= 24 * 10
    assert any(one.rival for one in both)
