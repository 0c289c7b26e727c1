"""What one camera publishes: which topics, in which order, and what when an image can't go out.

For one capture: the image as soon as it is checked; once the file is safe, path and results.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from bridge.capture import Outcome, Request, result, to_json
from bridge.errors import BridgeError
from bridge.outbox import Outbox, Publication
from bridge.queue import Job
from bridge.state import CameraState
from bridge.topics import OFFLINE, ONLINE, CameraTopics

JPEG = "image/jpeg"
TEXT = "text/plain"

_STATE_EVERY = 1.0  # seconds between two states at least, says the contract


class CameraPublisher:
    """Puts one camera's messages into the outbox.

    Args:
        topics: the camera's.
        outbox: where they go.
        image, path: whether ``publish`` names them.
        retain_image: for the image.
    """

    def __init__(
        self,
        topics: CameraTopics,
        outbox: Outbox,
        *,
        image: bool,
        path: bool,
        retain_image: bool,
    ) -> None:
        self._topics = topics
        self._outbox = outbox
        self._image = image
        self._path = path
        self._retain_image = retain_image
        self._state: CameraState | None = None
        self._state_timer: asyncio.TimerHandle | None = None

    @property
    def has_room(self) -> bool:
        """Whether results of captures that nobody asked for can still be taken in."""
        return not self._outbox.full

    def image(self, outcome: Outcome) -> "Answer":
        """Publish the image of a capture; its results go through what is returned."""
        answer = Answer(self._topics, self._outbox, outcome, path=self._path, image=self._image)
        if self._image and outcome.image is not None:
            publication = Publication(
                self._topics.image,
                outcome.image,
                "image",
                retain=self._retain_image,
                content_type=JPEG,
            )
            publication.on_dropped = answer.image_dropped
            self._outbox.put(publication)
        return answer

    def refusal(
        self,
        request: Request,
        error: BridgeError,
        *,
        finished: float,
        index: int | None = 1,
        job: Job | None = None,
    ) -> None:
        """Answer one picture of a request that no capture was made for; ``job`` if it waited."""
        later = job is not None and job.index > 1
        Answer(self._topics, self._outbox, Outcome(finished, error)).result(
            request,
            requested_at=job.due_at if job and later else request.requested_at,
            received=job.due if job and later else request.received,
            index=index,
        )

    def state(self, state: CameraState) -> None:
        """Publish the camera's state, now or as soon as a second has passed since the last."""
        self._state = state
        if self._state_timer is None:
            self._publish_state()
            loop = asyncio.get_running_loop()
            self._state_timer = loop.call_later(_STATE_EVERY, self._state_is_due)

    def _state_is_due(self) -> None:
        self._state_timer = None
        if self._state is not None:
            self.state(self._state)

    def _publish_state(self) -> None:
        if self._state is not None:
            self._outbox.retain(self._topics.state, to_json(self._state.document()))
            self._state = None

    def flush_state(self) -> None:
        """Publish what has not been yet: the camera's last word."""
        if self._state_timer is not None:
            self._state_timer.cancel()
            self._state_timer = None
        self._publish_state()

    def settings(self, settings: dict[str, Any]) -> None:
        """Publish the settings in force."""
        self._outbox.retain(self._topics.settings, to_json(settings))

    def availability(self, online: bool) -> None:
        """Publish whether the board is there."""
        payload = ONLINE if online else OFFLINE
        self._outbox.retain(self._topics.availability, payload, content_type=TEXT)


class Answer:
    """One capture's results, which an image that can't be published still changes."""

    def __init__(
        self,
        topics: CameraTopics,
        outbox: Outbox,
        outcome: Outcome,
        *,
        image: bool = True,
        path: bool = False,
    ) -> None:
        self._topics = topics
        self._outbox = outbox
        self._outcome = outcome
        self._image = image
        self._path = path
        self._results: list[tuple[Publication, Callable[[], dict[str, Any]]]] = []

    def image_dropped(self, reason: BridgeError) -> None:
        """The image will not reach the broker: say so in results that wait behind it."""
        self._outcome.unsent = reason
        for publication, document in self._results:
            self._outbox.replace(publication, to_json(document()))

    def path(self) -> None:
        """Publish where the picture is, if that is wanted."""
        if self._path and self._outcome.path is not None:
            self._outbox.put(
                Publication(
                    self._topics.path, self._outcome.path.encode(), "result", content_type=TEXT
                )
            )

    def results(self, job: Job) -> None:
        """Publish the results of every request that the capture answers, in order of arrival."""
        self.path()
        for number, request in enumerate(job.requests):
            first = job.index == 1
            self.result(
                request,
                requested_at=request.requested_at if first else job.due_at,
                received=request.received if first else job.due,
                index=job.index,
                joined=number > 0,
            )

    def result(
        self,
        request: Request,
        *,
        requested_at: float,
        received: float,
        index: int | None,
        joined: bool = False,
    ) -> None:
        """Publish one request's result, its response, and then let it be acknowledged."""

        # No closure over self: a cycle would keep the image until the collector comes round.
        document = partial(
            result,
            request,
            self._outcome,
            requested_at=requested_at,
            received=received,
            index=index,
            joined=joined,
            wants_path=request.reply == "path" or not (self._image or request.response_topic),
        )
        content = document()
        publication = Publication(self._topics.result, to_json(content), "result")
        last = publication
        if request.response_topic is not None:
            last = self._response(request, request.response_topic, content, document)
        if index is None or index == request.options.count:
            last.on_sent = request.done
        self._results.append((publication, document))
        self._outbox.put(publication)
        if last is not publication:
            self._outbox.put(last)

    def _response(
        self,
        request: Request,
        topic: str,
        content: dict[str, Any],
        document: Callable[[], dict[str, Any]],
    ) -> Publication:
        outcome = self._outcome
        data = request.correlation_data
        ok = content["error"] is None
        if ok and request.reply == "image" and outcome.image is not None:
            scalars = [(k, _scalar(v)) for k, v in content.items() if v is not None]
            response = Publication(
                topic,
                outcome.image,
                "image",
                content_type=JPEG,
                correlation_data=data,
                user_properties=scalars,
            )

            def instead(reason: BridgeError) -> None:
                error = {**content, "status": "error", "error": reason.code, "message": str(reason)}
                other = Publication(topic, to_json(error), "result", correlation_data=data)
                other.on_sent = response.on_sent
                self._outbox.put(other)

            response.on_dropped = instead
            return response
        if ok and request.reply == "path" and outcome.path is not None:
            path = outcome.path.encode()
            return Publication(topic, path, "result", content_type=TEXT, correlation_data=data)
        response = Publication(topic, to_json(content), "result", correlation_data=data)
        self._results.append((response, document))
        return response


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
