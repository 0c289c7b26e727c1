"""The captures that wait for one camera: joined, bounded, in turn, and none of them forgotten."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.capture import Options, Request, Trigger
from bridge.errors import Busy
from bridge.queue import MAX_JOINED, CaptureQueue, Job

FLASH = Options(flash=True)
BURST = Options(count=3, every=10.0)


def request(
    id_: str = "a", *, at: float = 0.0, options: Options | None = None, trigger: Trigger = "mqtt"
) -> Request:
    options = options or Options()
    return Request(id_, "door", at, 1000.0 + at, trigger=trigger, options=options)


def queue(*requests: Request, size: int = 8, max_age: float = 60.0) -> CaptureQueue:
    made = CaptureQueue(size, max_age)
    for each in requests:
        made.add(each, idle=False)
    return made


def take(waiting: CaptureQueue, now: float = 100.0) -> list[str]:
    job = waiting.take(now)
    return [] if job is None else [request.id for request in job.requests]


def go_on(job: Job, now: float) -> Job:
    """The job's next picture, as the worker sets it up."""
    job.index += 1
    job.due = max(job.due + job.options.every, now)
    job.due_at = 1000.0 + job.due
    return job


def test_requests_for_the_same_picture_share_one_capture_in_order_of_arrival() -> None:
    waiting = queue(request("a"), request("b", at=1), request("c", at=2, trigger="interval"))
    assert len(waiting) == 1
    assert take(waiting) == ["a", "b", "c"]
    assert take(waiting) == []


@pytest.mark.parametrize(
    "other",
    [
        Options(save=True),
        Options(save=False),
        Options(flash=False),
        Options(framesize="SVGA"),
        Options(quality=4),
        Options(count=2),
        Options(every=1.0),
        Options(timeout=5.0),
    ],
)
def test_requests_that_differ_in_anything_else_do_not_share_one(other: Options) -> None:
    waiting = queue(request("a"), request("b", options=other), request("c"))
    assert take(waiting) == ["a", "c"]
    assert take(waiting) == ["b"]


def test_id_and_reply_do_not_part_requests() -> None:
    asked = request("b")
    asked.reply = "path"
    assert take(queue(request("a"), asked)) == ["a", "b"]


def test_a_request_never_joins_a_capture_that_was_taken_up_before_it() -> None:
    waiting = queue(request("a"))
    assert take(waiting) == ["a"]
    waiting.add(request("b"), idle=False)
    assert take(waiting) == ["b"]


def test_a_request_does_not_join_a_burst_that_has_begun() -> None:
    waiting = queue(request("a", options=BURST))
    job = waiting.take(0)
    assert job is not None
    waiting.put_back(go_on(job, now=1))
    waiting.add(request("b", at=2, options=BURST), idle=False)
    assert take(waiting, 2) == ["b"]
    assert take(waiting, 9) == []
    assert take(waiting, 10) == ["a"]


def test_the_longest_waiting_goes_first() -> None:
    waiting = queue(request("a"), request("b", at=1, options=FLASH), request("c", at=2))
    waiting.add(request("d", at=2, options=Options(quality=9)), idle=False)
    assert [take(waiting) for _ in range(3)] == [["a", "c"], ["b"], ["d"]]


def test_captures_due_at_the_same_moment_keep_the_order_they_came_in() -> None:
    waiting = queue(*(request(str(n), options=Options(quality=n)) for n in range(4, 10)))
    assert [take(waiting) for _ in range(6)] == [[str(n)] for n in range(4, 10)]


def test_a_burst_lets_others_in_between_its_pictures() -> None:
    waiting = queue(request("burst", options=Options(count=2)), request("b", at=1))
    job = waiting.take(2)
    assert job is not None
    waiting.put_back(go_on(job, now=3))  # every: 0, so it is due at once, but behind who waits
    assert [take(waiting, 3) for _ in range(3)] == [["b"], ["burst"], []]


def test_the_next_picture_of_a_burst_is_not_taken_early() -> None:
    waiting = queue(request("a", options=BURST))
    assert waiting.next_due() == 0
    job = waiting.take(0)
    assert job is not None
    waiting.put_back(go_on(job, now=1))
    assert (waiting.next_due(), take(waiting, 9.99)) == (10, [])
    assert take(waiting, 10) == ["a"]
    assert waiting.next_due() is None


def test_a_queue_takes_as_many_captures_as_it_may_and_is_then_busy() -> None:
    waiting = queue(*(request(str(n), options=Options(quality=n)) for n in range(4, 12)))
    with pytest.raises(Busy, match="8 captures"):
        waiting.add(request("x"), idle=False)
    assert len(waiting) == 8
    assert take(waiting) == ["4"]
    waiting.add(request("x"), idle=False)
    with pytest.raises(Busy):
        waiting.add(request("y", options=FLASH), idle=False)


def test_joining_needs_no_place_in_a_full_queue() -> None:
    waiting = queue(request("a"), size=1)
    waiting.add(request("b"), idle=False)
    assert take(waiting) == ["a", "b"]


def test_what_an_idle_camera_is_about_to_take_does_not_wait() -> None:
    waiting = CaptureQueue(1, 60.0)
    waiting.add(request("a"), idle=True)
    waiting.add(request("b", options=FLASH), idle=True)
    with pytest.raises(Busy):
        waiting.add(request("c", options=BURST), idle=True)


def test_a_hundred_may_join_and_no_more() -> None:
    waiting = queue(request("first"))
    for number in range(MAX_JOINED):
        waiting.add(request(str(number)), idle=False)
    with pytest.raises(Busy, match="101 requests"):
        waiting.add(request("one too many"), idle=False)
    job = waiting.take(0)
    assert job is not None
    assert (MAX_JOINED, len(job.requests)) == (100, 101)


def test_each_request_expires_on_its_own() -> None:
    waiting = queue(request("a", at=0), request("b", at=30), request("c", at=5, options=FLASH))
    assert waiting.next_expiry() == 60
    assert waiting.expire(59.9) == []
    assert [request.id for _, request in waiting.expire(60)] == ["a"]
    assert waiting.next_expiry() == 65
    assert sorted(request.id for _, request in waiting.expire(90)) == ["b", "c"]
    assert (len(waiting), waiting.next_expiry(), waiting.next_due()) == (0, None, None)


def test_a_burst_expires_from_when_its_next_picture_was_due() -> None:
    waiting = queue(request("a", options=Options(count=3, every=100.0)))
    job = waiting.take(0)
    assert job is not None
    waiting.put_back(go_on(job, now=1))
    assert waiting.next_expiry() == 160
    assert waiting.expire(159) == []
    assert [(late.index, request.id) for late, request in waiting.expire(160)] == [(2, "a")]


def test_clearing_gives_everything_back_once() -> None:
    waiting = queue(request("a"), request("b"), request("c", options=FLASH))
    assert [request.id for _, request in waiting.clear()] == ["a", "b", "c"]
    assert waiting.clear() == []
    assert not len(waiting)


class AnyOrderOfEvents(RuleBasedStateMachine):
    """Whatever happens in whatever order, each request is in one place."""

    SIZE, MAX_AGE = 3, 20.0

    def __init__(self) -> None:
        super().__init__()
        self.queue = CaptureQueue(self.SIZE, self.MAX_AGE)
        self.now = 0.0
        self.waiting: Counter[str] = Counter()
        self.asked = 0
        self.taken: Job | None = None

    @rule(
        options=st.sampled_from([Options(), FLASH, BURST, Options(count=2), Options(quality=5)]),
        idle=st.booleans(),
    )
    def ask(self, options: Options, idle: bool) -> None:
        self.asked += 1
        before = len(self.queue)
        try:
            self.queue.add(request(str(self.asked), at=self.now, options=options), idle=idle)
        except Busy:
            assert before >= self.SIZE + idle
        else:
            self.waiting[str(self.asked)] += 1
            assert len(self.queue) in (before, before + 1)

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.taken is None)
    @rule()
    def take(self) -> None:
        due = self.queue.next_due()
        self.taken = self.queue.take(self.now)
        assert (self.taken is None) == (due is None or due > self.now)
        if self.taken is not None:
            assert self.taken.due == due
            assert {each.options for each in self.taken.requests} == {self.taken.options}
            self.waiting.subtract(each.id for each in self.taken.requests)

    @precondition(lambda self: self.taken is not None)
    @rule()
    def answer(self) -> None:
        job, self.taken = self.taken, None
        assert job is not None
        if job.index < job.options.count:
            self.waiting.update(each.id for each in job.requests)
            self.queue.put_back(go_on(job, self.now))

    @rule()
    def expire(self) -> None:
        for job, late in self.queue.expire(self.now):
            assert self.now - job.waits_since(late) >= self.MAX_AGE
            self.waiting.subtract([late.id])
        expiry = self.queue.next_expiry()
        assert expiry is None or expiry > self.now

    @rule()
    def clear(self) -> None:
        self.waiting.subtract(each.id for _, each in self.queue.clear())
        assert not +self.waiting

    @invariant()
    def no_request_is_lost_or_doubled(self) -> None:
        there = Counter(each.id for job in self.queue._jobs for each in job.requests)
        assert there == +self.waiting
        assert not -self.waiting
        assert max(there.values(), default=1) == 1

    @invariant()
    def nothing_waits_without_a_requester_or_past_the_bounds(self) -> None:
        assert all(job.requests for job in self.queue._jobs)
        assert len(self.queue) <= self.SIZE + 2  # the idle camera's, and the burst's that came back


TestAnyOrderOfEvents = AnyOrderOfEvents.TestCase
TestAnyOrderOfEvents.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
