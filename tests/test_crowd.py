"""Commands that wait: each topic's in order, topics in turn, and no more than there is room for."""

from bridge.inbox import Crowd


def test_topics_have_their_turn_and_each_keeps_its_order() -> None:
    crowd: Crowd[str] = Crowd()
    for command in ("flood 1", "flood 2", "flood 3", "other 1", "other 2"):
        assert crowd.put(command.split()[0], command, 0)
    taken = [crowd.take() for _ in range(len(crowd))]
    assert taken == ["flood 1", "other 1", "flood 2", "other 2", "flood 3"]
    assert not crowd


def test_it_knows_whose_commands_wait() -> None:
    crowd: Crowd[int] = Crowd()
    crowd.put("flood", 1, 0)
    assert "flood" in crowd
    assert "other" not in crowd
    crowd.take()
    assert "flood" not in crowd


def test_past_its_bytes_nobody_may_wait_until_others_are_gone() -> None:
    crowd: Crowd[int] = Crowd(max_bytes=5_000)
    assert crowd.put("a", 1, 2_000)
    assert not crowd.put("a", 2, 4_000)
    assert not crowd.put("b", 3, 4_000)
    assert crowd.put("b", 4, 1_000)
    assert (crowd.take(), crowd.take(), len(crowd)) == (1, 4, 0)
    assert crowd.put("b", 5, 4_000)


def test_a_hundred_thousand_empty_commands_are_too_many() -> None:
    crowd: Crowd[int] = Crowd()
    assert not all(crowd.put("flood", number, 0) for number in range(100_000))
