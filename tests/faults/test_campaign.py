"""Many requests under a random mix of faults: one result each, never a wrong picture."""

import json
import os
import random

import pytest

from tests.fakes.client import Message, Version
from tests.fakes.picture import noise, stamped
from tests.faults.campaign import House, run
from tests.faults.ledger import Asked, Ledger

REQUESTS = int(os.environ.get("ESP32CAM_REQUESTS", "400"))


@pytest.mark.timeout(120 + REQUESTS // 5)
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_each_request_has_one_result_and_no_picture_is_wrong(version: Version) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}, MQTT {version}")
    house, verdict = run(REQUESTS if version == "5" else REQUESTS // 4, seed, version=version)
    print(house.ledger.table(verdict), verdict, *map(house.ledger.story, verdict.lost), sep="\n")
    assert not verdict.lost
    assert not verdict.wrong
    assert not verdict.unheard
    served = verdict.answered - verdict.errors["shutting_down"]  # the dice may end it often
    assert verdict.ok > served / 10
    assert house.ledger.tally().total() > len(house.ledger.asked) / 5


def test_a_bridge_that_was_started_last_is_there_when_all_is_settled() -> None:
    with House(1) as house:
        house.bridge.kill()
        house.bridge.start(wait=False)
        house.settle()
        assert house.bridge.stop() == 0


# The judge: it must be able to find fault.


def _ledger() -> Ledger:
    ledger = Ledger()
    ledger.ask(Asked("a", "door", 1_000, accepted=True))
    return ledger


def _result(at_ns: int = 5_000, **changes: object) -> Message:
    document = {"id": "a", "camera": "door", "error": None, "index": 1, "joined": False}
    content = {**document, "trigger": "mqtt", **changes}
    payload = json.dumps(content).encode()
    return Message("esp32cam/door/result", payload, 1, False, False, at_ns)


def _picture(
    asked_ns: int | None = 2_000, board: str = "door", topic: str = "answers", cut: int = 0
) -> Message:
    jpeg = stamped(noise(160, 120), {"board": board, "seq": 1, "asked_ns": asked_ns})
    payload = jpeg[: len(jpeg) - cut]
    id_ = None if topic.endswith("image") else b"a"
    return Message(topic, payload, 1, False, False, 4_000, None, id_, "image/jpeg")


def test_the_judge_is_content_with_what_is_right() -> None:
    verdict = _ledger().judge([_picture(), _result()])
    assert (verdict.ok, verdict.wrong, verdict.lost) == (1, [], [])


def test_the_judge_misses_what_is_lost() -> None:
    assert _ledger().judge([_picture()]).lost == ["a"]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([_picture(999), _result()], "before the request"),
        ([_picture(board="yard"), _result()], "a picture of yard"),
        ([_picture(cut=2), _result()], "no whole picture"),
        ([_picture(None), _result()], "did not ask for"),
        ([_result()], "ok, and no picture"),
        ([_picture(), _result(), _result(6_000)], "answered twice"),
        ([_picture(), _result(camera="yard")], "a result of yard"),
        ([_picture(), _result(), _result(id="b")], "nobody asked"),
        ([_picture(), _result(), _picture(board="yard", topic="a/door/image")], "of yard"),
    ],
)
def test_the_judge_sees_what_is_wrong(messages: list[Message], words: str) -> None:
    wrong = _ledger().judge(messages).wrong
    assert any(words in line for line in wrong), wrong


def test_the_judge_sees_one_picture_for_two_requests_that_did_not_join() -> None:
    ledger = _ledger()
    ledger.ask(Asked("b", "door", 1_000, accepted=True))
    other = Message("answers", _picture().payload, 1, False, False, 4_000, None, b"b", "image/jpeg")
    messages = [_picture(), _result(), other, _result(id="b")]
    assert any("did not join" in line for line in ledger.judge(messages).wrong)
    messages[-1] = _result(id="b", joined=True)
    assert not ledger.judge(messages).wrong


def test_the_judge_knows_the_documented_reasons_for_a_second_answer() -> None:
    ledger = _ledger()
    ledger.fault("bridge: killed", 5_500)
    verdict = ledger.judge([_picture(), _result(), _result(int(1e12), duration=1)])
    assert "ended" in verdict.twice["a"]
    ledger = _ledger()
    ledger.fault("broker: restarted", 5_500)
    verdict = ledger.judge([_picture(), _result(), _result(int(1e12))])
    assert "the same result again" in verdict.twice["a"]
