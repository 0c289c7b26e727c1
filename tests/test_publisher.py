"""What one camera publishes, in which order, and what becomes of it when an image can't go out."""

import asyncio
import gc
import json
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from bridge.capture import Options, Outcome, Reply, Request
from bridge.capture import result as result_of
from bridge.errors import (
    BadRequest,
    BridgeError,
    CaptureTimeout,
    Expired,
    ShuttingDown,
    StorageFailed,
    TooLarge,
)
from bridge.outbox import MAX_BYTES, MAX_CUTS, Outbox, Publication
from bridge.publisher import CameraPublisher
from bridge.queue import Job
from bridge.state import CameraState
from bridge.topics import CameraTopics

TOPICS = CameraTopics.of("esp32cam", "door")
JPEG = b"\xff\xd8 a picture \xff\xd9"
PATH = "/srv/captures/door/Tür.jpg"
ASKED = 1_795_345_200.12  # 2026-11-22T11:00:00.120Z


class Bench:
    """A camera's publisher, its outbox, and a broker that takes what is in it."""

    def __init__(
        self,
        *,
        image: bool = True,
        path: bool = False,
        retain_image: bool = True,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.outbox = Outbox(max_bytes=max_bytes)
        self.publisher = CameraPublisher(
            TOPICS, self.outbox, image=image, path=path, retain_image=retain_image
        )
        self.mid = 0
        self.done: list[str] = []

    def request(self, id_: str = "a1", **given: Any) -> Request:
        made = Request(id_, "door", received=1000.0, requested_at=ASKED, **given)
        made.done = lambda: self.done.append(id_)
        return made

    def capture(self, *requests: Request, outcome: Outcome | None = None, index: int = 1) -> None:
        """All that one capture publishes."""
        outcome = picture() if outcome is None else outcome
        job = Job(requests[0].options, list(requests), due=1010.0, due_at=ASKED + 10, index=index)
        self.publisher.image(outcome).results(job)

    def sent(self) -> list[Publication]:
        """What is handed over to the broker now."""
        taken = []
        while (publication := self.outbox.next()) is not None:
            self.mid += 1
            self.outbox.sent(self.mid, publication)
            taken.append(publication)
        return taken

    def drop_image(self, reason: BridgeError) -> None:
        """What is next does not get through, and is an image."""
        publication = self.outbox.next()
        assert publication is not None
        assert publication.kind == "image"
        self.outbox.drop(publication, reason)


def picture(*, saved: bool = True, **given: Any) -> Outcome:
    usual: dict[str, Any] = {
        "finished": 1000.36,
        "attempts": 1,
        "captured_at": ASKED + 0.36,
        "image": JPEG,
        "width": 1600,
        "height": 1200,
    }
    if saved:
        usual |= {"path": PATH, "sha256": "ab" * 32}
    return Outcome(**usual | given)


def topics(publications: list[Publication]) -> list[str]:
    return [publication.topic.removeprefix("esp32cam/door/") for publication in publications]


def document(publication: Publication) -> Any:
    assert publication.content_type == "application/json"
    return json.loads(publication.payload)


def results(publications: list[Publication]) -> list[Any]:
    return [document(each) for each in publications if each.topic == TOPICS.result]


@pytest.mark.parametrize(
    ("image", "path", "expected"),
    [
        (True, False, ["image", "result"]),
        (True, True, ["image", "path", "result"]),
        (False, True, ["path", "result"]),
        (False, False, ["result"]),
    ],
)
def test_image_then_path_then_result(image: bool, path: bool, expected: list[str]) -> None:
    bench = Bench(image=image, path=path)
    bench.capture(bench.request())
    assert topics(bench.sent()) == expected
    assert bench.done == ["a1"]


@pytest.mark.parametrize("retain", [True, False])
def test_what_each_of_them_carries(retain: bool) -> None:
    bench = Bench(path=True, retain_image=retain)
    asked, outcome = bench.request(), picture()
    bench.capture(asked, outcome=outcome)
    image, path, result = bench.sent()
    assert (image.payload, image.content_type, image.retain) == (JPEG, "image/jpeg", retain)
    assert (path.payload, path.content_type, path.retain) == (PATH.encode(), "text/plain", False)
    assert result.retain is False
    assert document(result) == result_of(asked, outcome, requested_at=ASKED, received=1000.0)


def test_the_image_does_not_wait_for_the_file() -> None:
    bench = Bench(path=True)
    outcome = picture(saved=False)
    answer = bench.publisher.image(outcome)
    assert topics(bench.sent()) == ["image"]
    outcome.path = PATH
    request = bench.request()
    answer.results(Job(request.options, [request], due=1000.0, due_at=ASKED))
    assert topics(bench.sent()) == ["path", "result"]


def test_a_picture_that_is_not_saved_has_no_path_to_publish() -> None:
    bench = Bench(path=True)
    bench.capture(bench.request(), outcome=picture(saved=False))
    sent = bench.sent()
    assert topics(sent) == ["image", "result"]
    (result,) = results(sent)
    assert (result["status"], result["saved"], result["path"]) == ("ok", False, None)


def test_a_failure_publishes_its_result_alone() -> None:
    bench = Bench(path=True)
    failed = Outcome(1015.0, CaptureTimeout("nothing for 15 s"), attempts=2)
    bench.capture(bench.request(), outcome=failed)
    sent = bench.sent()
    assert topics(sent) == ["result"]
    assert document(sent[0])["error"] == "timeout"
    assert bench.done == ["a1"]


def test_one_image_answers_all_who_joined_in_order_of_arrival() -> None:
    bench = Bench()
    bench.capture(*(bench.request(id_) for id_ in "abc"))
    sent = bench.sent()
    assert topics(sent) == ["image", "result", "result", "result"]
    assert [(each["id"], each["joined"]) for each in results(sent)] == [
        ("a", False),
        ("b", True),
        ("c", True),
    ]
    assert bench.done == ["a", "b", "c"]


@pytest.mark.parametrize("correlation", [b"\x00\xff7", b"", None])
def test_an_image_response_is_the_jpeg_with_the_results_scalars(correlation: bytes | None) -> None:
    bench = Bench()
    bench.capture(bench.request(response_topic="replies/1", correlation_data=correlation))
    image, result, response = bench.sent()
    assert (image.topic, result.topic, response.topic) == (TOPICS.image, TOPICS.result, "replies/1")
    assert (response.payload, response.content_type) == (JPEG, "image/jpeg")
    assert (response.correlation_data, response.retain) == (correlation, False)
    scalars = dict(response.user_properties or [])
    assert scalars == {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in document(result).items()
        if value is not None
    }
    assert (scalars["id"], scalars["saved"], scalars["width"]) == ("a1", "true", "1600")


@pytest.mark.parametrize(
    ("reply", "content_type", "payload"),
    [("path", "text/plain", PATH.encode()), ("result", "application/json", None)],
)
def test_other_responses_are_the_path_or_the_result(
    reply: Reply, content_type: str, payload: bytes | None
) -> None:
    bench = Bench()
    bench.capture(bench.request(reply=reply, response_topic="replies/1", correlation_data=b"7"))
    _, result, response = bench.sent()
    assert response.content_type == content_type
    assert response.payload == (payload or result.payload)
    assert (response.correlation_data, response.user_properties) == (b"7", None)


@pytest.mark.parametrize("reply", ["image", "path", "result"])
def test_an_error_is_answered_with_json_whatever_was_wanted(reply: Reply) -> None:
    bench = Bench()
    request = bench.request(reply=reply, response_topic="replies/1", correlation_data=b"7")
    bench.capture(request, outcome=Outcome(1015.0, CaptureTimeout("nothing")))
    result, response = bench.sent()
    assert response.topic == "replies/1"
    assert document(response) == document(result)
    assert (response.correlation_data, document(response)["error"]) == (b"7", "timeout")


def test_each_who_joined_gets_the_response_that_he_wants() -> None:
    bench = Bench()
    bench.capture(
        bench.request("a"),
        bench.request("b", reply="path", response_topic="replies/b"),
        bench.request("c", response_topic="replies/c"),
    )
    sent = bench.sent()
    assert topics(sent) == ["image", "result", "result", "replies/b", "result", "replies/c"]
    assert [each.payload for each in sent if each.topic.startswith("replies")] == [
        PATH.encode(),
        JPEG,
    ]


@pytest.mark.parametrize("response_topic", [None, "replies/1"])
@pytest.mark.parametrize("reply", ["image", "path", "result"])
def test_a_command_is_done_with_once_and_after_its_last_answer(
    reply: Reply, response_topic: str | None
) -> None:
    bench = Bench(path=True)
    bench.capture(bench.request(reply=reply, response_topic=response_topic))
    bench.outbox.window = 1
    for _ in range(10):
        if not bench.sent():
            break
        last = not bench.outbox._waiting
        assert bench.done == (["a1"] if last else [])
        bench.outbox.acknowledged(bench.mid)
    assert bench.done == ["a1"]


def test_a_command_is_not_done_with_again_after_a_lost_connection() -> None:
    bench = Bench()
    bench.capture(bench.request(response_topic="replies/1"))
    assert len(bench.sent()) == 3
    bench.outbox.lost(cut=False)
    assert len(bench.sent()) == 3
    assert bench.done == ["a1"]


def test_a_burst_is_done_with_after_its_last_picture() -> None:
    bench = Bench()
    request = bench.request(options=Options(count=3, every=10.0))
    told = []
    for index in (1, 2, 3):
        bench.capture(request, index=index, outcome=picture(finished=1010.5))
        (result,) = results(bench.sent())
        told.append((result["index"], result["count"], result["duration"], len(bench.done)))
    # The first counts from when it was asked for, the others from when they were due.
    assert told == [(1, 3, 10.5, 0), (2, 3, 0.5, 0), (3, 3, 0.5, 1)]
    assert result["requested_at"] == "2026-11-22T11:00:10.120Z"


@pytest.mark.parametrize("response_topic", [None, "replies/1"])
@pytest.mark.parametrize("index", [1, None])
def test_a_refusal_is_a_result_and_a_response(
    response_topic: str | None, index: int | None
) -> None:
    bench = Bench()
    count = 1 if index else 5
    bench.publisher.refusal(
        bench.request(response_topic=response_topic, options=Options(count=count)),
        BadRequest("quality: expected less"),
        finished=1000.5,
        index=index,
    )
    sent = bench.sent()
    assert [each.topic for each in sent] == [TOPICS.result, response_topic][: len(sent)]
    assert len(sent) == (1 if response_topic is None else 2)
    assert all(document(each) == document(sent[0]) for each in sent)
    result = document(sent[0])
    assert (result["error"], result["message"]) == ("bad_request", "quality: expected less")
    assert (result["index"], result["count"], result["duration"]) == (index, count, 0.5)
    assert bench.done == ["a1"]


def test_the_rest_of_a_burst_that_is_refused_is_done_with_once() -> None:
    bench = Bench()
    request = bench.request(options=Options(count=3))
    waits = Job(request.options, [request], due=1010.0, due_at=ASKED + 10, index=2)
    for index in (2, 3):
        bench.publisher.refusal(
            request, ShuttingDown("stopping"), finished=1010.5, index=index, job=waits
        )
    told = results(bench.sent())
    assert [(each["index"], each["duration"]) for each in told] == [(2, 0.5), (3, 0.5)]
    assert {each["requested_at"] for each in told} == {"2026-11-22T11:00:10.120Z"}
    assert bench.done == ["a1"]


def test_a_picture_that_could_not_be_saved_is_a_failure_only_for_who_wants_the_path() -> None:
    bench = Bench()
    unsaved = picture(saved=False, storage_error=StorageFailed("disk full"))
    bench.capture(
        bench.request("a", response_topic="replies/a"),
        bench.request("b", reply="path", response_topic="replies/b"),
        bench.request("c"),
        outcome=unsaved,
    )
    sent = bench.sent()
    assert [(each["status"], each["error"], each["message"]) for each in results(sent)] == [
        ("ok", None, "disk full"),
        ("error", "storage_failed", "disk full"),
        ("ok", None, "disk full"),
    ]
    responses = {each.topic: each for each in sent if each.topic.startswith("replies")}
    assert responses["replies/a"].payload == JPEG
    assert document(responses["replies/b"])["error"] == "storage_failed"


def test_where_only_the_path_is_published_it_is_what_everybody_wants() -> None:
    bench = Bench(image=False, path=True)
    unsaved = picture(saved=False, storage_error=StorageFailed("disk full"))
    bench.capture(bench.request(), outcome=unsaved)
    sent = bench.sent()
    assert topics(sent) == ["result"]
    assert document(sent[0])["error"] == "storage_failed"


def test_an_image_dropped_before_its_results_makes_them_errors_that_have_the_path() -> None:
    bench = Bench()
    outcome = picture(saved=False)
    answer = bench.publisher.image(outcome)
    bench.drop_image(TooLarge("16 bytes; the broker takes 10"))
    outcome.path = PATH
    requests = [bench.request("a", response_topic="replies/a"), bench.request("b")]
    answer.results(Job(Options(), requests, due=1000.0, due_at=ASKED))
    sent = bench.sent()
    assert topics(sent) == ["result", "replies/a", "result"]
    assert all(each["error"] == "too_large" for each in map(document, sent))
    assert all(each["path"] == PATH for each in map(document, sent))
    assert bench.done == ["a", "b"]


def test_an_image_dropped_after_its_results_changes_those_that_still_wait() -> None:
    bench = Bench()
    bench.capture(bench.request("a"), bench.request("b"))
    before = bench.outbox.bytes
    bench.drop_image(TooLarge("16 bytes; the broker takes 10"))
    sent = bench.sent()
    assert [(each["id"], each["error"], each["path"]) for each in results(sent)] == [
        ("a", "too_large", PATH),
        ("b", "too_large", PATH),
    ]
    assert bench.outbox.bytes == sum(len(each.payload) for each in sent) != before


def test_an_image_at_which_the_broker_breaks_off_makes_its_result_an_error() -> None:
    bench = Bench()
    bench.capture(bench.request())
    for _ in range(MAX_CUTS):
        assert topics(bench.sent()) == ["image", "result"]
        bench.outbox.lost(cut=True)
    sent = bench.sent()
    assert topics(sent) == ["result"]
    assert document(sent[0])["error"] == "too_large"
    assert bench.done == ["a1"]


@pytest.mark.parametrize("saved", [True, False])
def test_an_image_that_made_room_is_lost_only_if_it_is_not_saved(saved: bool) -> None:
    bench = Bench(max_bytes=1000)
    bench.capture(bench.request("a"), outcome=picture(saved=saved, image=bytes(200)))
    bench.publisher.image(picture(image=bytes(1000 - bench.outbox.bytes + 1)))
    sent = bench.sent()
    (result,) = results(sent)
    assert topics(sent) == ["result", "image"]
    assert (result["status"], result["error"]) == (("ok", None) if saved else ("error", "expired"))
    assert "make room" in result["message"]
    assert ("saved" in result["message"]) == saved


def test_an_image_that_made_room_while_it_was_being_saved_is_not_lost() -> None:
    bench = Bench()
    outcome = picture(saved=False)
    answer = bench.publisher.image(outcome)
    bench.drop_image(Expired("it had to make room"))
    outcome.path = PATH
    answer.results(Job(Options(), [bench.request()], due=1000.0, due_at=ASKED))
    (result,) = results(bench.sent())
    assert (result["status"], result["path"]) == ("ok", PATH)


def test_a_response_that_is_the_result_changes_with_it() -> None:
    bench = Bench()
    bench.capture(bench.request(reply="result", response_topic="replies/1"))
    bench.drop_image(TooLarge("16 bytes; the broker takes 10"))
    result, response = bench.sent()
    assert document(response) == document(result)


def test_a_response_too_large_to_send_is_answered_with_an_error() -> None:
    bench = Bench(image=False)
    bench.capture(bench.request(response_topic="replies/1", correlation_data=b"7"))
    result = bench.outbox.next()
    assert result is not None
    bench.outbox.sent(1, result)
    bench.drop_image(TooLarge("16 bytes; the broker takes 10"))
    assert bench.done == []
    (response,) = bench.sent()
    assert (response.topic, response.correlation_data) == ("replies/1", b"7")
    assert document(response) == document(result) | {
        "status": "error",
        "error": "too_large",
        "message": "16 bytes; the broker takes 10",
    }
    assert document(response)["path"] == PATH
    assert bench.done == ["a1"]


def test_results_of_its_own_accord_need_room() -> None:
    bench = Bench(max_bytes=300)
    assert bench.publisher.has_room
    bench.capture(bench.request(), outcome=Outcome(1015.0, CaptureTimeout("nothing")))
    assert not bench.publisher.has_room


def test_settings_and_availability_are_retained_and_the_newest_counts() -> None:
    bench = Bench()
    for online in (True, False):
        bench.publisher.availability(online)
        bench.publisher.settings({"interval": 0, "save": online})
    availability, settings = bench.sent()
    assert (availability.topic, availability.payload) == (TOPICS.availability, b"offline")
    assert availability.content_type == "text/plain"
    assert (settings.topic, document(settings)) == (
        TOPICS.settings,
        {"interval": 0, "save": False},
    )
    assert availability.retain
    assert settings.retain
    bench.publisher.availability(True)
    assert [each.payload for each in bench.sent()] == [b"online"]


@pytest.fixture
def let_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """``let_pass(seconds)`` lets the loop's time go by."""
    ahead = 0.0
    real = asyncio.BaseEventLoop.time

    def pass_by(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda loop: real(loop) + ahead)
    return pass_by


async def turn() -> None:
    """Let the loop run what is due."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_state_is_published_let_pass_and_then_at_most_once_a_second(
    let_pass: Callable[[float], None],
) -> None:
    async def check() -> None:
        bench, known = Bench(), CameraState()

        def published() -> list[int]:
            return [document(each)["failures"] for each in bench.sent()]

        bench.publisher.state(known)
        assert published() == [0]
        for _ in range(5):
            known.failed(CaptureTimeout("late"), ASKED)
            bench.publisher.state(known)
        await turn()
        assert published() == []
        let_pass(1.0)
        await turn()
        assert published() == [5]  # the newest, not those between
        known.failed(CaptureTimeout("late"), ASKED)
        bench.publisher.state(known)
        await turn()
        assert published() == []
        let_pass(1.0)
        await turn()
        assert published() == [6]
        let_pass(1.0)
        await turn()
        assert published() == []  # nothing new
        bench.publisher.state(known)
        assert published() == [6]
        bench.publisher.flush_state()

    asyncio.run(check())


def test_the_last_state_does_not_wait_for_its_second(let_pass: Callable[[float], None]) -> None:
    async def check() -> None:
        bench, known = Bench(), CameraState()
        bench.publisher.state(known)
        bench.publisher.state(known)
        bench.publisher.flush_state()
        bench.publisher.flush_state()
        (state,) = bench.sent()  # they waited together, so the newest is enough
        assert (state.topic, state.retain) == (TOPICS.state, True)
        let_pass(1.0)
        await turn()
        assert bench.sent() == []

    asyncio.run(check())


@pytest.mark.parametrize("response_topic", [None, "replies/1"])
def test_an_image_is_let_go_of_when_the_broker_has_it(response_topic: str | None) -> None:
    """Without waiting for the garbage collector: at 100 pictures a second that is 400 MB."""

    class Image(bytearray):
        """One that can be watched."""

    bench = Bench()
    image = Image(b"picture")
    gone = weakref.ref(image)
    gc.disable()
    try:
        bench.capture(bench.request(response_topic=response_topic), outcome=picture(image=image))
        del image
        mid = 0
        while (publication := bench.outbox.next()) is not None:
            mid += 1
            bench.outbox.sent(mid, publication)
            bench.outbox.acknowledged(mid)
            del publication
        assert gone() is None
    finally:
        gc.enable()
