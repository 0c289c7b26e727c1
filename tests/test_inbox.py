"""Commands that a broker delivers again: known by what they are, and not carried out twice."""

from typing import Any

import pytest

from bridge.inbox import Delivery, Inbox


class Wire:
    """A connection that notes what it acknowledged; a dead one ignores it, as the real one does."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.acknowledged: list[int] = []
        self.alive = True

    def acknowledge(self, mid: int) -> None:
        if self.alive:
            self.acknowledged.append(mid)
            self.inbox.acknowledged(mid)


def arrive(inbox: Inbox, wire: Wire, mid: int = 1, *, dup: bool = False, **other: Any) -> Any:
    what = {"topic": "esp32cam/door/capture", "payload": b"{}", "correlation_data": b"7"} | other
    return inbox.arrived(mid, tuple(what.values()), dup=dup, connection=wire)


def reconnect(
    inbox: Inbox, old: Wire, *, session_present: bool = True, caught_up: bool = True
) -> Wire:
    """The next connection; on the one before, the broker had time to send all again."""
    old.alive = False
    if caught_up:
        inbox.caught_up()
    inbox.reconnected(session_present=session_present)
    return Wire(inbox)


def test_a_command_is_acknowledged_once_when_it_is_answered() -> None:
    inbox = Inbox()
    wire = Wire(inbox)
    delivery = arrive(inbox, wire, 5)
    assert wire.acknowledged == []
    delivery.settle()
    delivery.settle()
    assert wire.acknowledged == [5]


def test_one_that_is_in_the_works_is_acknowledged_to_who_brought_it_last() -> None:
    inbox = Inbox()
    old = Wire(inbox)
    delivery = arrive(inbox, old)
    new = reconnect(inbox, old)
    assert arrive(inbox, new, dup=True) is None
    assert new.acknowledged == []
    delivery.settle()
    assert (old.acknowledged, new.acknowledged) == ([], [1])


def test_one_that_was_answered_is_acknowledged_again_and_not_done_again() -> None:
    inbox = Inbox()
    old = Wire(inbox)
    arrive(inbox, old).settle()
    new = reconnect(inbox, old)
    assert arrive(inbox, new, dup=True) is None
    assert (old.acknowledged, new.acknowledged) == ([1], [1])


def test_one_that_was_answered_while_the_broker_was_away_is_not_done_again() -> None:
    inbox = Inbox()
    old = Wire(inbox)
    delivery = arrive(inbox, old)
    old.alive = False
    delivery.settle()
    new = reconnect(inbox, old)
    assert arrive(inbox, new, dup=True) is None
    assert (old.acknowledged, new.acknowledged) == ([], [1])


def test_one_that_takes_two_connections_to_answer_is_still_known() -> None:
    inbox = Inbox()
    wire = Wire(inbox)
    delivery = arrive(inbox, wire)
    for _ in range(3):
        wire = reconnect(inbox, wire)
        assert arrive(inbox, wire, dup=True) is None
    delivery.settle()
    wire = reconnect(inbox, wire)
    assert arrive(inbox, wire, dup=True) is None
    assert wire.acknowledged == [1]


@pytest.mark.parametrize(
    "other",
    [
        {"payload": b'{"id": "b"}'},
        {"topic": "esp32cam/garden/capture"},
        {"correlation_data": b"8"},
        {"correlation_data": None},
    ],
)
def test_another_command_under_the_same_identifier_is_a_command(other: dict[str, Any]) -> None:
    inbox = Inbox()
    old = Wire(inbox)
    arrive(inbox, old).settle()
    new = reconnect(inbox, old)
    assert isinstance(arrive(inbox, new, dup=True, **other), Delivery)
    assert new.acknowledged == []


def test_the_same_command_sent_anew_is_a_command() -> None:
    inbox = Inbox()
    wire = Wire(inbox)
    arrive(inbox, wire).settle()
    again = arrive(inbox, wire)
    assert isinstance(again, Delivery)
    again.settle()
    assert wire.acknowledged == [1, 1]


def test_without_its_session_a_broker_redelivers_nothing_so_all_is_new() -> None:
    inbox = Inbox()
    old = Wire(inbox)
    delivery = arrive(inbox, old)
    new = reconnect(inbox, old, session_present=False)
    assert isinstance(arrive(inbox, new, dup=True), Delivery)
    delivery.settle()
    assert (old.acknowledged, new.acknowledged) == ([], [])


def test_what_the_broker_has_confirmed_is_forgotten() -> None:
    inbox = Inbox()
    wire = Wire(inbox)
    arrive(inbox, wire).settle()
    inbox.seen(inbox.mark())
    assert inbox._deliveries == {}
    assert isinstance(arrive(inbox, wire, dup=True), Delivery)


def test_what_was_written_after_the_mark_is_not_confirmed_by_it() -> None:
    inbox = Inbox()
    wire = Wire(inbox)
    arrive(inbox, wire, 1).settle()
    mark = inbox.mark()
    arrive(inbox, wire, 2).settle()
    inbox.seen(mark)
    inbox.seen(mark)
    new = reconnect(inbox, wire)
    assert isinstance(arrive(inbox, new, 1, dup=True), Delivery)
    assert arrive(inbox, new, 2, dup=True) is None


def test_a_mark_of_a_connection_that_is_gone_confirms_nothing() -> None:
    inbox = Inbox()
    old = Wire(inbox)
    arrive(inbox, old).settle()
    mark = inbox.mark()
    new = reconnect(inbox, old)
    assert arrive(inbox, new, dup=True) is None
    inbox.seen(mark)
    assert arrive(inbox, new, dup=True) is None
    assert new.acknowledged == [1, 1]


def test_what_was_settled_is_remembered_for_one_connection_more_and_no_longer() -> None:
    inbox = Inbox()
    first = Wire(inbox)
    arrive(inbox, first).settle()
    second = reconnect(inbox, first)
    third = reconnect(inbox, second)
    assert isinstance(arrive(inbox, third, dup=True), Delivery)


def test_a_connection_that_ends_before_the_broker_has_sent_all_again_does_not_count() -> None:
    inbox = Inbox()
    wire = Wire(inbox)
    arrive(inbox, wire).settle()
    for caught_up in (True, False, False):
        wire = reconnect(inbox, wire, caught_up=caught_up)
    assert arrive(inbox, wire, dup=True) is None
    assert wire.acknowledged == [1]
    wire = reconnect(inbox, wire)
    assert isinstance(arrive(inbox, wire, dup=True), Delivery)


def test_a_confirmation_is_not_taken_for_that_of_a_later_command_with_the_same_identifier() -> None:
    inbox = Inbox()
    wire = Wire(inbox)
    arrive(inbox, wire, payload=b"first").settle()
    mark = inbox.mark()
    arrive(inbox, wire, payload=b"second").settle()  # some brokers take the lowest free one
    inbox.seen(mark)
    new = reconnect(inbox, wire)
    assert arrive(inbox, new, dup=True, payload=b"second") is None


def test_nothing_is_kept_of_what_is_done() -> None:
    inbox = Inbox()
    wire = Wire(inbox)
    for mid in range(1, 1000):
        arrive(inbox, wire, mid).settle()
        inbox.seen(inbox.mark())
    assert not inbox._deliveries
    assert not inbox._acknowledged
