"""Makes requests of commands, and hands them to the workers of the cameras that a topic names."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from bridge import command, topics
from bridge.capture import DEFAULT_OPTIONS, Options, Reply, Request, Trigger, new_id
from bridge.errors import BadRequest
from bridge.mqtt import Message
from bridge.topics import BridgeTopics, CameraTopics
from bridge.worker import Worker

_LOGGER = logging.getLogger(__name__)


class Router:
    """Who serves which topic.

    Args:
        base: the base topic.
        discovery_prefix: Home Assistant's, if it is told anything.
    """

    def __init__(self, base: str, discovery_prefix: str | None) -> None:
        self._base = base
        self._discovery_prefix = discovery_prefix
        self._routes: dict[str, Callable[[Message], None]] = {}
        self._ours: frozenset[str] = frozenset()  # topics that we use

    def __contains__(self, topic: str) -> bool:
        return topic in self._routes

    def serve(
        self, workers: Mapping[str, Worker], groups: Mapping[str, Iterable[str]]
    ) -> frozenset[str]:
        """These are the cameras now; their topics for commands.

        What was sent just before a camera left may arrive just after: its old worker refuses it.
        """
        routes: dict[str, Callable[[Message], None]] = {}
        ours = set(BridgeTopics.of(self._base))
        for name, worker in workers.items():
            of = CameraTopics.of(self._base, name)
            ours.update(of)
            routes[of.capture] = partial(self._capture, (worker,))
            routes[of.set] = partial(self._set, worker)
            routes[of.restart] = partial(self._restart, worker)
        for group, names in {**groups, topics.ALL: workers}.items():
            if members := tuple(workers[name] for name in names):
                routes[topics.group_capture(self._base, group)] = partial(self._capture, members)
        self._routes.update(routes)
        self._ours = frozenset(ours.union(routes))
        return frozenset(routes)

    def take(self, message: Message) -> None:
        """Have a command carried out, or refused with a result."""
        route = self._routes.get(message.topic)
        if message.retain:
            _LOGGER.warning(
                "mqtt: ignored a retained command on %s; clear it with: mosquitto_pub -r -n -t %s",
                message.topic,
                message.topic,
            )
        elif route is not None:
            route(message)
            return
        if message.done is not None:
            message.done()

    def _capture(self, workers: tuple[Worker, ...], message: Message) -> None:
        """A capture of one camera, or of all that belong to a group."""
        done = _after(len(workers), message.done)
        try:
            wanted = command.parse_capture(message.payload)
        except BadRequest as exc:
            exc.id = exc.id or new_id()
            for worker in workers:
                self._refuse(worker, message, exc, done)
            return
        id_ = wanted.id or new_id()
        for worker in workers:
            request = self._request(
                worker, message, id_, done, reply=wanted.reply, options=wanted.options
            )
            if request is not None:
                worker.submit(request)

    def _set(self, worker: Worker, message: Message) -> None:
        try:
            change = command.parse_set(message.payload)
        except BadRequest as exc:
            self._refuse(worker, message, exc, message.done, "set")
            return
        request = self._request(worker, message, change.id, message.done, "set")
        if request is not None:
            worker.change(request, change)

    def _restart(self, worker: Worker, message: Message) -> None:
        try:
            id_ = command.parse_restart(message.payload)
        except BadRequest as exc:
            self._refuse(worker, message, exc, message.done, "restart")
            return
        request = self._request(worker, message, id_, message.done, "restart")
        if request is not None:
            worker.restart(request)

    def _refuse(
        self,
        worker: Worker,
        message: Message,
        error: BadRequest,
        done: Callable[[], None] | None,
        trigger: Trigger = "mqtt",
    ) -> None:
        wanted = Options(count=error.count)
        request = self._request(worker, message, error.id, done, trigger, options=wanted)
        if request is not None:
            worker.refuse(request, error)

    def _request(
        self,
        worker: Worker,
        message: Message,
        id_: str | None,
        done: Callable[[], None] | None,
        trigger: Trigger = "mqtt",
        *,
        reply: Reply = "image",
        options: Options = DEFAULT_OPTIONS,
    ) -> Request | None:
        """What a message wants of one camera.

        ``None`` if it wants its answer where none may go; that is told on ``result`` alone.
        """
        request = Request(
            id=id_ or new_id(),
            camera=worker.name,
            received=message.received,
            requested_at=message.received_at,
            trigger=trigger,
            reply=reply,
            options=options,
            done=done,
        )
        topic = message.response_topic
        if topic is None:
            return request  # correlation data would only be kept
        fault = topics.response_topic_fault(
            topic,
            message.correlation_data,
            self._ours,
            discovery_prefix=self._discovery_prefix,
        )
        if fault is not None:
            worker.refuse(request, BadRequest(f"response topic {command.quote(topic)}: {fault}"))
            return None
        request.response_topic = topic
        request.correlation_data = message.correlation_data
        return request


def _after(count: int, done: Callable[[], None] | None) -> Callable[[], None] | None:
    """What to call ``count`` times for ``done`` to be called once."""
    if done is None or count == 1:
        return done
    left = count

    def one_more() -> None:
        nonlocal left
        left -= 1
        if not left:
            done()

    return one_more
