"""The result: the same keys always, whatever came of the request."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture import Options, Outcome, Request, result, timestamp, to_json
from bridge.errors import BridgeError, CaptureTimeout, Expired, StorageFailed, TooLarge

KEYS = [
    *("id", "camera", "status", "error", "message", "trigger", "requested_at", "captured_at"),
    *("duration", "attempts", "bytes", "width", "height", "sha256", "path", "url", "saved"),
    *("joined", "index", "count"),
]
RECEIVED, ASKED = 1000.0, 1_795_345_200.12  # 2026-11-22T11:00:00.120Z


def request(**given: Any) -> Request:
    usual: dict[str, Any] = {
        "id": "a1",
        "camera": "door",
        "received": RECEIVED,
        "requested_at": ASKED,
    }
    return Request(**usual | given)


def picture(**given: Any) -> Outcome:
    usual: dict[str, Any] = {
        "finished": RECEIVED + 0.36,
        "attempts": 1,
        "captured_at": ASKED + 0.36,
        "image": b"\xff\xd8\xff\xd9",
        "width": 1600,
        "height": 1200,
        "sha256": "ab" * 32,
        "path": "/srv/door/a1.jpg",
    }
    return Outcome(**usual | given)


def result_of(outcome: Outcome, asked: Request | None = None, **given: Any) -> dict[str, Any]:
    times = {"requested_at": ASKED, "received": RECEIVED}
    return result(asked or request(), outcome, **times | given)


def test_a_picture_that_was_taken_and_saved() -> None:
    assert result_of(picture()) == {
        "id": "a1",
        "camera": "door",
        "status": "ok",
        "error": None,
        "message": None,
        "trigger": "mqtt",
        "requested_at": "2026-11-22T11:00:00.120Z",
        "captured_at": "2026-11-22T11:00:00.480Z",
        "duration": 0.36,
        "attempts": 1,
        "bytes": 4,
        "width": 1600,
        "height": 1200,
        "sha256": "ab" * 32,
        "path": "/srv/door/a1.jpg",
        "url": None,
        "saved": True,
        "joined": False,
        "index": 1,
        "count": 1,
    }


def test_a_failure_has_a_code_a_sentence_and_null_for_the_rest() -> None:
    failed = Outcome(RECEIVED + 15, CaptureTimeout("nothing for 15 s"), attempts=2)
    content = result_of(failed, request(id="a2", trigger="interval"))
    assert list(content) == KEYS
    assert content["status"] == "error"
    assert (content["error"], content["message"]) == ("timeout", "nothing for 15 s")
    assert (content["trigger"], content["attempts"], content["duration"]) == ("interval", 2, 15.0)
    assert content["saved"] is False
    assert {key for key in KEYS if content[key] is None} == {
        *("captured_at", "bytes", "width", "height", "sha256", "path", "url")
    }


OUTCOMES = [
    picture(),
    picture(sha256=None, path=None),
    picture(path=None, sha256=None, storage_error=StorageFailed("disk full")),
    picture(error=TooLarge("4 bytes; the broker takes 3")),
    picture(unsent=Expired("the broker was away")),
    picture(path=None, sha256=None, unsent=Expired("the broker was away")),
    Outcome(finished=RECEIVED, error=Expired("it waited for 60 s")),
]


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("wants_path", [False, True])
@pytest.mark.parametrize(("index", "count"), [(1, 1), (3, 5), (None, 5)])
def test_the_keys_are_always_the_same(
    outcome: Outcome, wants_path: bool, index: int | None, count: int
) -> None:
    asked = request(options=Options(count=count))
    content = result_of(outcome, asked, wants_path=wants_path, index=index, joined=True)
    assert list(content) == KEYS
    assert (content["index"], content["count"], content["joined"]) == (index, count, True)
    assert (content["status"] == "ok") == (content["error"] is None)
    assert content["saved"] == (content["path"] is not None)
    assert content["sha256"] is None or content["saved"]


def test_a_file_that_could_not_be_written_is_an_error_only_for_who_wants_its_path() -> None:
    unsaved = picture(path=None, sha256=None, storage_error=StorageFailed("disk full"))
    other, path = result_of(unsaved), result_of(unsaved, wants_path=True)
    assert (other["status"], other["error"], other["message"]) == ("ok", None, "disk full")
    assert (path["status"], path["error"], path["message"]) == (
        "error",
        "storage_failed",
        "disk full",
    )
    assert other["bytes"] == path["bytes"] == 4


def test_a_picture_too_large_to_publish_still_has_its_path() -> None:
    content = result_of(picture(error=TooLarge("too large")))
    assert (content["error"], content["path"], content["bytes"]) == (
        "too_large",
        "/srv/door/a1.jpg",
        4,
    )


def test_times_are_of_the_picture_and_not_of_its_request() -> None:
    content = result_of(picture(), requested_at=ASKED + 0.1, received=RECEIVED + 0.1)
    assert (content["requested_at"], content["duration"]) == ("2026-11-22T11:00:00.220Z", 0.26)


def test_a_duration_is_never_negative() -> None:
    assert result_of(Outcome(finished=RECEIVED - 1))["duration"] == 0.0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (0.9999, "1970-01-01T00:00:00.999Z"),
        (1_795_345_200, "2026-11-22T11:00:00.000Z"),
        (951_782_400.5, "2000-02-29T00:00:00.500Z"),
    ],
)
def test_a_timestamp_is_utc_to_the_millisecond(seconds: float, expected: str) -> None:
    assert timestamp(seconds) == expected


@given(
    id_=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=128),
    message=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_a_result_with_any_id_comes_back_from_json_as_it_was(id_: str, message: str) -> None:
    error: BridgeError = CaptureTimeout(message)
    content = result_of(Outcome(RECEIVED, error), request(id=id_))
    payload = to_json(content)
    assert json.loads(payload) == content
    assert b"\n" not in payload


def test_json_is_compact_utf_8() -> None:
    assert to_json({"id": "Tür", "n": None}) == '{"id":"Tür","n":null}'.encode()
