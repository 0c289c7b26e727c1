"""What is to be published: bounded in bytes, in order, and never without a result."""

import gc
import weakref
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.errors import BridgeError, Expired, TooLarge
from bridge.outbox import MAX_BYTES, MAX_CUTS, WINDOW, WINDOW_BYTES, Kind, Outbox, Publication


class Broker:
    """Drains an outbox by hand, as a connection does."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.mid = 0
        self.got: list[bytes] = []

    def take(self) -> list[bytes]:
        """Hand over all that may be, and say what that was."""
        taken = []
        while (publication := self.outbox.next()) is not None:
            self.mid += 1
            self.outbox.sent(self.mid, publication)
            taken.append(bytes(publication.payload))
        self.got += taken
        return taken

    def acknowledge_all(self) -> None:
        for mid in range(self.mid + 1):
            self.outbox.acknowledged(mid)


def publication(kind: Kind, payload: bytes, topic: str = "", **given: Any) -> Publication:
    made = Publication(topic or f"esp32cam/door/{kind}", payload, kind)
    for name, value in given.items():
        setattr(made, name, value)
    return made


def image(payload: bytes, **given: Any) -> Publication:
    return publication("image", payload, **given)


def result(payload: bytes, **given: Any) -> Publication:
    return publication("result", payload, **given)


def state(payload: bytes, topic: str = "", **given: Any) -> Publication:
    return publication("state", payload, topic, **given)


def outbox(*publications: Publication, max_bytes: int = 100) -> Outbox:
    made = Outbox(max_bytes=max_bytes)
    for each in publications:
        made.put(each)
    return made


def test_everything_goes_out_in_the_order_it_was_put_in() -> None:
    out = outbox(image(b"i1"), result(b"r1"), state(b"s"), image(b"i2"), result(b"r2"))
    assert Broker(out).take() == [b"i1", b"r1", b"s", b"i2", b"r2"]


def test_putting_something_in_wakes_who_sends() -> None:
    woken = []
    out = Outbox()
    out.wake = lambda: woken.append(len(out))
    out.put(result(b"r"))
    assert woken == [1]


def test_what_waits_and_what_is_on_its_way_both_count() -> None:
    out = outbox(image(b"12345"), result(b"12"))
    broker = Broker(out)
    assert (out.bytes, len(out)) == (7, 2)
    broker.take()
    assert (out.bytes, len(out)) == (7, 2)
    out.acknowledged(1)
    assert (out.bytes, len(out)) == (2, 1)
    out.acknowledged(1)
    out.acknowledged(99)
    assert (out.bytes, len(out)) == (2, 1)


def test_of_an_image_that_the_broker_refuses_the_requester_is_told_once() -> None:
    reasons: list[BridgeError] = []
    out = outbox(image(b"12345", on_dropped=reasons.append), result(b"12"))
    Broker(out).take()
    refusal = TooLarge("too large")
    out.acknowledged(1, refusal)
    out.acknowledged(1, refusal)
    out.acknowledged(2, refusal)
    assert reasons == [refusal]
    assert (out.bytes, len(out), out.dropped) == (0, 0, 1)


def test_past_the_bound_the_oldest_image_goes_and_its_requester_is_told() -> None:
    reasons: list[BridgeError] = []
    out = outbox(
        image(b"a" * 40, on_dropped=reasons.append),
        result(b"ra"),
        image(b"b" * 40),
        result(b"rb"),
        image(b"c" * 40),
    )
    assert [type(reason) for reason in reasons] == [Expired]
    assert (out.bytes, out.dropped) == (84, 1)
    assert Broker(out).take() == [b"ra", b"b" * 40, b"rb", b"c" * 40]


def test_an_image_larger_than_everything_drives_all_others_and_itself_out() -> None:
    reasons: list[BridgeError] = []
    out = outbox(image(b"a"), result(b"r"), image(b"b" * 101, on_dropped=reasons.append))
    assert len(reasons) == 1
    assert (out.bytes, out.dropped) == (1, 2)
    assert Broker(out).take() == [b"r"]


def test_a_result_is_never_dropped_however_many_there_are() -> None:
    results = [bytes([65 + number]) * 30 for number in range(10)]
    out = outbox(*(result(each) for each in results))
    assert (out.bytes, out.dropped, out.full) == (300, 0, True)
    assert Broker(out).take() == results


def test_an_image_on_its_way_is_not_dropped() -> None:
    out = outbox(image(b"a" * 60))
    broker = Broker(out)
    broker.take()
    out.put(image(b"b" * 60))
    assert (out.dropped, out.bytes) == (1, 60)
    broker.acknowledge_all()
    assert (len(out._sent), out.bytes) == (0, 0)


def test_a_dropped_image_takes_no_memory() -> None:
    class Image(bytearray):
        pass

    data = Image(b"a" * 60)
    there = weakref.ref(data)
    out = outbox(image(b""), max_bytes=100)
    out.put(Publication("esp32cam/door/image", data, "image"))
    del data
    out.put(image(b"b" * 60))
    gc.collect()
    assert out.dropped == 2
    assert there() is None


def test_it_is_full_only_if_no_image_could_make_room() -> None:
    out = outbox(result(b"r" * 90), image(b"i" * 10))
    assert not out.full
    out.put(result(b"r" * 10))
    assert out.full
    assert outbox(result(b"r" * 99)).full is False


def test_of_a_state_only_the_newest_waits_at_the_place_of_the_first() -> None:
    out = outbox(state(b"s1"), result(b"r"), state(b"other", "b"), state(b"s2222"))
    assert (out.bytes, len(out)) == (11, 3)
    assert Broker(out).take() == [b"s2222", b"r", b"other"]


def test_a_state_that_was_handed_over_does_not_swallow_the_next() -> None:
    out = outbox(state(b"s1"))
    broker = Broker(out)
    broker.take()
    out.put(state(b"s2"))
    assert broker.take() == [b"s2"]


def test_no_more_is_on_its_way_than_the_broker_takes() -> None:
    out = outbox(*(result(bytes([number])) for number in range(50)))
    broker = Broker(out)
    assert len(broker.take()) == WINDOW == 20
    out.acknowledged(3)
    assert broker.take() == [bytes([20])]
    out.window = 1
    assert broker.take() == []
    broker.acknowledge_all()
    assert broker.take() == [bytes([21])]


def test_large_images_stay_where_they_can_still_be_dropped() -> None:
    size = WINDOW_BYTES // 2
    out = outbox(*(image(bytes(size)) for _ in range(5)), max_bytes=MAX_BYTES)
    broker = Broker(out)
    assert len(broker.take()) == 2
    out.acknowledged(1)
    assert len(broker.take()) == 1
    assert MAX_BYTES == 64 * 1024 * 1024


def test_being_sent_is_told_once_though_it_is_sent_again() -> None:
    told: list[int] = []
    out = outbox(result(b"r", on_sent=lambda: told.append(1)))
    broker = Broker(out)
    assert told == []
    broker.take()
    out.lost(cut=False)
    broker.take()
    assert (broker.got, told) == ([b"r", b"r"], [1])


def test_after_a_lost_connection_everything_unacknowledged_comes_again_in_order() -> None:
    out = outbox(image(b"i1"), result(b"r1"), image(b"i2"), result(b"r2"))
    out.window = 3
    broker = Broker(out)
    assert broker.take() == [b"i1", b"r1", b"i2"]
    out.acknowledged(1)
    out.lost(cut=False)
    out.put(result(b"r3"))
    assert out.bytes == 8
    broker.acknowledge_all()  # of the old connection: nothing of this is known any more
    assert broker.take() == [b"r1", b"i2", b"r2"]


def test_images_that_came_back_are_the_oldest_and_go_first() -> None:
    out = outbox(image(b"a" * 40), image(b"b" * 40))
    broker = Broker(out)
    broker.take()
    out.lost(cut=False)
    out.put(image(b"c" * 40))
    assert broker.take() == [b"b" * 40, b"c" * 40]


@pytest.mark.parametrize("newer", [True, False])
def test_a_state_comes_again_only_if_no_newer_one_waits(newer: bool) -> None:
    out = outbox(result(b"q"), state(b"old"), result(b"r"))
    broker = Broker(out)
    broker.take()
    if newer:
        out.put(state(b"newer"))
    out.lost(cut=False)
    assert broker.take() == ([b"q", b"r", b"newer"] if newer else [b"q", b"old", b"r"])
    assert out.bytes == (7 if newer else 5)
    broker.acknowledge_all()
    assert (out.bytes, len(out)) == (0, 0)


def test_of_a_state_that_was_on_its_way_twice_the_newest_comes_again() -> None:
    out = outbox(state(b"one"))
    broker = Broker(out)
    broker.take()
    out.put(state(b"two"))
    broker.take()
    out.lost(cut=False)
    assert broker.take() == [b"two"]
    assert out.bytes == 3


def test_an_image_on_which_the_broker_breaks_off_three_times_is_given_up() -> None:
    reasons: list[BridgeError] = []
    out = Outbox()
    answer = result(b"ok")

    def dropped(reason: BridgeError) -> None:
        reasons.append(reason)
        out.replace(answer, b"too_large")

    out.put(image(b"i" * 50, on_dropped=dropped))
    out.put(answer)
    broker = Broker(out)
    for _ in range(MAX_CUTS):
        assert not reasons
        assert broker.take() == [b"i" * 50, b"ok"]
        out.lost(cut=True)
    assert MAX_CUTS == 3
    assert [type(reason) for reason in reasons] == [TooLarge]
    assert "50 bytes" in str(reasons[0])
    assert broker.take() == [b"too_large"]
    assert out.bytes == len(b"too_large")


def test_a_connection_that_we_lost_ourselves_is_not_held_against_the_image() -> None:
    out = outbox(image(b"i"))
    broker = Broker(out)
    for _ in range(10):
        assert broker.take() == [b"i"]
        out.lost(cut=False)
    assert out.dropped == 0


def test_only_the_first_that_is_unacknowledged_is_suspected() -> None:
    out = outbox(image(b"a"), image(b"b"))
    broker = Broker(out)
    for _ in range(2):
        broker.take()
        out.lost(cut=True)
    broker.take()
    out.acknowledged(broker.mid - 1)  # "a" has come through after all
    for _ in range(2):
        out.lost(cut=True)
        assert broker.take() == [b"b"]
    out.lost(cut=True)
    assert broker.take() == []


def test_a_result_that_the_broker_breaks_off_at_is_kept() -> None:
    out = outbox(result(b"r"), image(b"i"))
    broker = Broker(out)
    for _ in range(10):
        assert broker.take() == [b"r", b"i"]
        out.lost(cut=True)
    assert out.dropped == 0


def test_what_was_handed_over_is_not_changed_any_more() -> None:
    answer = result(b"ok")
    out = outbox(answer)
    broker = Broker(out)
    broker.take()
    out.replace(answer, b"other")
    assert (answer.payload, out.bytes) == (b"ok", 2)
    out.lost(cut=False)
    out.replace(answer, b"other")
    assert broker.take() == [b"other"]
    assert out.bytes == 5


def test_an_image_taken_out_to_be_sent_can_still_be_given_up() -> None:
    reasons: list[BridgeError] = []
    out = outbox(image(b"aaa", on_dropped=reasons.append), image(b"b"))
    first = out.next()
    assert first is not None
    reason = TooLarge("3 bytes; the broker takes 2")
    out.drop(first, reason)
    assert (reasons, out.bytes) == ([reason], 1)
    assert Broker(out).take() == [b"b"]


class AnyOrderOfEvents(RuleBasedStateMachine):
    """Whatever happens, the bytes add up, and every result goes out in its turn."""

    MOST = 200

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(max_bytes=self.MOST)
        self.connected = False
        self.mid = 0
        self.results: list[Publication] = []  # all that were ever put in, in order
        self.images: list[Publication] = []
        self.dropped: list[Publication] = []
        self.on_way: dict[int, Publication] = {}
        self.acknowledged: list[Publication] = []
        self.first_sent: list[Publication] = []

    @rule(size=st.integers(0, 120))
    def put_image(self, size: int) -> None:
        made = image(bytes(size))
        made.on_dropped = lambda _: self.dropped.append(made)
        self.images.append(made)
        self.outbox.put(made)

    @rule(size=st.integers(0, 40))
    def put_result(self, size: int) -> None:
        made = result(bytes(size))
        made.on_sent = lambda: self.first_sent.append(made)
        self.results.append(made)
        self.outbox.put(made)

    @rule(size=st.integers(0, 40), topic=st.sampled_from(["a", "b"]))
    def put_state(self, size: int, topic: str) -> None:
        self.outbox.put(state(bytes(size), topic))

    @rule(size=st.integers(0, 60), data=st.data())
    def replace(self, size: int, data: st.DataObject) -> None:
        if self.results:
            self.outbox.replace(data.draw(st.sampled_from(self.results)), bytes(size))

    @precondition(lambda self: not self.connected)
    @rule(window=st.integers(1, 5))
    def connect(self, window: int) -> None:
        self.connected = True
        self.outbox.window = window

    @precondition(lambda self: self.connected)
    @rule(limit=st.sampled_from([50, 1000]))
    def send(self, limit: int) -> None:
        before = list(self.on_way.values())
        while (publication := self.outbox.next()) is not None:
            assert not publication.waiting
            if publication.kind == "image" and len(publication.payload) > limit:
                self.outbox.drop(publication, TooLarge("too large"))
                continue
            self.mid += 1
            self.on_way[self.mid] = publication
            self.outbox.sent(self.mid, publication)
        assert len(self.on_way) <= max(self.outbox.window, len(before))

    @precondition(lambda self: self.on_way)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        mid = data.draw(st.sampled_from(list(self.on_way)))
        self.acknowledged.append(self.on_way.pop(mid))
        self.outbox.acknowledged(mid)

    @precondition(lambda self: self.connected)
    @rule(cut=st.booleans())
    def lose(self, cut: bool) -> None:
        self.connected = False
        self.on_way.clear()
        self.outbox.lost(cut=cut)

    @invariant()
    def bytes_are_those_that_wait_or_are_on_their_way(self) -> None:
        waiting = [each for each in self.outbox._waiting if each.waiting]
        everything = [*waiting, *self.on_way.values()]
        assert self.outbox.bytes == sum(len(each.payload) for each in everything)
        assert self.outbox._sent == self.on_way
        assert self.outbox._sent_bytes == sum(len(each.payload) for each in self.on_way.values())
        assert list(self.outbox._images) == [each for each in waiting if each.kind == "image"]
        states = {each.topic: each for each in waiting if each.kind == "state"}
        assert self.outbox._states == states
        assert self.outbox.full == (self.outbox.bytes >= self.MOST and not self.outbox._images)

    @invariant()
    def every_result_waits_or_is_on_its_way_or_is_with_the_broker(self) -> None:
        waiting = [each for each in self.outbox._waiting if each.kind == "result"]
        there = [*waiting, *self.on_way.values(), *self.acknowledged]
        assert {id(each) for each in there if each.kind == "result"} == {
            id(each) for each in self.results
        }

    @invariant()
    def every_image_is_dropped_or_kept_and_never_both(self) -> None:
        waiting = [each for each in self.outbox._waiting if each.kind == "image" and each.waiting]
        kept = [*waiting, *self.on_way.values(), *self.acknowledged]
        ids = [id(each) for each in [*kept, *self.dropped] if each.kind == "image"]
        assert sorted(ids) == sorted(id(each) for each in self.images)

    @invariant()
    def results_are_handed_over_in_the_order_they_came_and_told_once(self) -> None:
        assert self.first_sent == self.results[: len(self.first_sent)]
        position = {id(each): number for number, each in enumerate(self.results)}
        waiting = [position[id(p)] for p in self.outbox._waiting if p.kind == "result"]
        assert waiting == sorted(waiting)


TestAnyOrderOfEvents = AnyOrderOfEvents.TestCase
TestAnyOrderOfEvents.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
