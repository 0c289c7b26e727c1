"""Puts the bridge together, and routes commands to the workers of the cameras they name."""

import asyncio
import logging
import os
import resource
import secrets
import signal
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from bridge import __version__, command, config, topics
from bridge.announcer import Announcer
from bridge.build import broker, described, make_camera, make_storage, place
from bridge.capture import Options, Request, Trigger, to_json
from bridge.config import CameraConfig, Config, StorageConfig
from bridge.errors import BadRequest, ConfigError, StorageFailed
from bridge.jpeg import Jpeg
from bridge.mqtt import Message, Mqtt
from bridge.outbox import Outbox, Publication
from bridge.publisher import CameraPublisher
from bridge.storage import Storage
from bridge.systemd import Systemd
from bridge.threads import Pool
from bridge.topics import BridgeTopics, CameraTopics
from bridge.watchdog import LIMIT, Watchdog
from bridge.worker import Worker

_LOGGER = logging.getLogger(__name__)

_GRACE = 2.0  # seconds for captures to end when the bridge stops; with what follows, under 5
_FAREWELL = 1.5  # seconds for what is still to be published then
_HEALTH_EVERY = 60.0
_CONNECTING = 64  # boards connected to at once; a board that hangs holds one for 5 s


def new_id() -> str:
    """An id for a request that has none: 8 hexadecimal digits."""
    return secrets.token_hex(4)


class App:
    """The bridge.

    Args:
        path: its configuration file, read again on SIGHUP.
        configuration: what is in it now.
        stuck_after: seconds for which the loop may stand still before the process is ended.
    """

    def __init__(
        self, path: Path | None, configuration: Config, *, stuck_after: float = LIMIT
    ) -> None:
        self._path = path
        self._config = configuration
        self._base = configuration.mqtt.base_topic
        self._topics = BridgeTopics.of(self._base)
        self._outbox = Outbox()
        self._pool = Pool(_CONNECTING, name="connect")
        self._mqtt = Mqtt(
            broker(configuration.mqtt),
            will_topic=self._topics.state,
            outbox=self._outbox,
            message=self._received,
            connected=self._announce,
            pool=self._pool,
        )
        self._announcer = Announcer(
            self._base,
            place(configuration.homeassistant),
            mqtt=self._mqtt,
            outbox=self._outbox,
            reborn=self._show_again,
        )
        self._storage: Storage | None = None
        self._workers: dict[str, Worker] = {}
        self._services: dict[str, asyncio.Task[None]] = {}
        self._cameras: dict[str, asyncio.Task[None]] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}  # cameras that finish their last picture
        self._routes: dict[str, Callable[[Message], None]] = {}
        self._ours: frozenset[str] = frozenset()  # topics that we use
        self._started = time.monotonic()
        self._systemd = Systemd(os.environ)
        self._watchdog = Watchdog(stuck_after)
        self._over: asyncio.Future[int]

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit code."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        loop.set_exception_handler(self._crashed)
        loop.add_signal_handler(signal.SIGTERM, self._signalled)
        loop.add_signal_handler(signal.SIGINT, self._signalled)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        self._watchdog.start()
        _LOGGER.info("esp32cam2mqtt %s: %s", __version__, count(self._config.cameras, "camera"))
        self._open_storage(self._config.storage)
        for name, camera in self._config.cameras.items():
            self._add(name, camera)
        self._route()
        self._serve("mqtt", self._mqtt.run())
        self._serve("home assistant", self._announcer.run())
        self._serve("health", self._report_health())
        # Ready without a broker: to wait for one is the bridge's work, and systemd ends a unit
        # that is not ready within 90 s.
        self._systemd.ready()
        self._serve("signs of life", self._show_life())
        try:
            return await self._over
        finally:
            await self._stop()
            self._watchdog.stop()

    def stop(self, code: int = 0) -> None:
        """Let ``run`` return."""
        if not self._over.done():
            self._over.set_result(code)

    @property
    def workers(self) -> dict[str, Worker]:
        """The cameras that are served, by name."""
        return self._workers

    # Commands.

    def _received(self, message: Message) -> None:
        """Hand a command to who serves its topic; called by the broker's connection."""
        route = self._routes.get(message.topic)
        if route is None and self._announcer.heard(message):
            return
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
        wall = _wall(message.received)
        for worker in workers:
            request = Request(
                id=id_,
                camera=worker.name,
                received=message.received,
                requested_at=wall,
                reply=wanted.reply,
                options=wanted.options,
                response_topic=message.response_topic,
                correlation_data=message.correlation_data,
                done=done,
            )
            if self._may_be_answered(worker, request):
                worker.submit(request)

    def _set(self, worker: Worker, message: Message) -> None:
        try:
            change = command.parse_set(message.payload)
        except BadRequest as exc:
            self._refuse(worker, message, exc, message.done, "set")
            return
        request = self._request(worker, message, change.id, "set", message.done)
        if self._may_be_answered(worker, request):
            worker.change(request, change)

    def _restart(self, worker: Worker, message: Message) -> None:
        try:
            id_ = command.parse_restart(message.payload)
        except BadRequest as exc:
            self._refuse(worker, message, exc, message.done, "restart")
            return
        request = self._request(worker, message, id_, "restart", message.done)
        if self._may_be_answered(worker, request):
            worker.restart(request)

    def _refuse(
        self,
        worker: Worker,
        message: Message,
        error: BadRequest,
        done: Callable[[], None] | None,
        trigger: Trigger = "mqtt",
    ) -> None:
        request = self._request(worker, message, error.id, trigger, done)
        request.options = Options(count=error.count)
        if self._may_be_answered(worker, request):
            worker.refuse(request, error)

    @staticmethod
    def _request(
        worker: Worker,
        message: Message,
        id_: str | None,
        trigger: Trigger,
        done: Callable[[], None] | None,
    ) -> Request:
        return Request(
            id=id_ or new_id(),
            camera=worker.name,
            received=message.received,
            requested_at=_wall(message.received),
            trigger=trigger,
            response_topic=message.response_topic,
            correlation_data=message.correlation_data,
            done=done,
        )

    def _may_be_answered(self, worker: Worker, request: Request) -> bool:
        """Refuse what wants its answer where none may go; that is told on ``result`` alone."""
        topic = request.response_topic
        if topic is None:
            request.correlation_data = None  # it would only be kept
            return True
        told = self._config.homeassistant
        fault = topics.response_topic_fault(
            topic,
            request.correlation_data,
            self._ours,
            discovery_prefix=told.discovery_prefix if told.enabled else None,
        )
        if fault is None:
            return True
        request.response_topic = request.correlation_data = None
        worker.refuse(request, BadRequest(f"response topic {command.quote(topic)}: {fault}"))
        return False

    # Cameras.

    def _add(self, name: str, camera: CameraConfig) -> None:
        worker = Worker(
            name,
            camera,
            camera=lambda lost, met: make_camera(camera, self._pool, lost=lost, met=met),
            publisher=CameraPublisher(
                CameraTopics.of(self._base, name),
                self._outbox,
                image="image" in camera.publish,
                path="path" in camera.publish,
                retain_image=camera.retain_image,
            ),
            storage=self._storage,
            rotate=partial(self._rotate, camera.rotate) if camera.rotate else None,
            new_id=new_id,
            met=partial(self._announcer.met, name),
        )
        self._workers[name] = worker
        self._cameras[name] = self._start(
            f"camera {name}", self._follow(self._leaving.get(name), worker)
        )

    @staticmethod
    async def _follow(former: asyncio.Task[None] | None, worker: Worker) -> None:
        """Run a camera once nobody else talks to its board, or publishes on its topics."""
        if former is not None:
            await asyncio.wait((former,))
            worker.announce()
        await worker.run()

    async def _rotate(self, degrees: int, image: Jpeg) -> Jpeg:
        from bridge.rotate import rotate

        return await self._pool.run(rotate, image, degrees)

    def _route(self) -> None:
        """Serve the topics of what is configured, and no others.

        What was sent just before a camera left may arrive just after: its old worker refuses it.
        """
        routes: dict[str, Callable[[Message], None]] = {}
        ours = set(self._topics)
        for name, worker in self._workers.items():
            of = CameraTopics.of(self._base, name)
            ours.update(of)
            routes[of.capture] = partial(self._capture, (worker,))
            routes[of.set] = partial(self._set, worker)
            routes[of.restart] = partial(self._restart, worker)
        groups = {**self._config.groups, topics.ALL: list(self._workers)}
        for group, names in groups.items():
            if names:
                topic = topics.group_capture(self._base, group)
                workers = tuple(self._workers[name] for name in names)
                routes[topic] = partial(self._capture, workers)
        self._routes.update(routes)
        self._ours = frozenset(ours.union(routes))
        self._mqtt.subscribe(routes.keys() | self._announcer.birth)
        cameras = self._config.cameras
        self._announcer.serve(
            {name: described(it, self._config.storage) for name, it in cameras.items()},
            legacy=[name for name, it in cameras.items() if it.protocol == "legacy"],
        )

    def _open_storage(self, storage: StorageConfig) -> None:
        if storage.path is not None:
            self._storage = make_storage(storage)
            self._serve("storage", self._try_storage(self._storage))

    @staticmethod
    async def _try_storage(storage: Storage) -> None:
        try:
            await storage.start()
        except StorageFailed as exc:
            _LOGGER.error("storage: %s; pictures are published and not saved until it works", exc)

    # What the bridge says of itself.

    def _announce(self) -> None:
        """Publish all that is retained, after every connect: a broker may have forgotten it."""
        self._announcer.connected()
        self._show_again()

    def _show_again(self) -> None:
        self._put(self._topics.info, to_json(self._info()))
        for worker in self._workers.values():
            worker.announce()
        self._put(self._topics.state, topics.ONLINE, "text/plain")

    def _info(self) -> dict[str, Any]:
        storage = self._config.storage
        return {
            "version": __version__,
            "cameras": {
                name: {"name": camera.name, "area": camera.area}
                for name, camera in self._config.cameras.items()
            },
            "groups": self._config.groups,
            "storage": None if storage.path is None else str(storage.path),
        }

    async def _report_health(self) -> None:
        while True:
            self._put(self._topics.health, to_json(await self._health()))
            await asyncio.sleep(_HEALTH_EVERY)

    async def _health(self) -> dict[str, Any]:
        workers = self._workers.values()
        return {
            "uptime": round(time.monotonic() - self._started),
            "cameras": len(workers),
            "online": sum(worker.online for worker in workers),
            "captures": sum(worker.state.captures for worker in workers),
            "failures": sum(worker.state.failures for worker in workers),
            "waiting": sum(len(worker.queue) for worker in workers),
            "outbox": len(self._outbox),
            "outbox_bytes": self._outbox.bytes,
            "images_dropped": self._outbox.dropped,
            "commands_dropped": self._mqtt.dropped,
            "memory": _memory(),
            "storage": None if self._storage is None else await self._storage.health(),
        }

    async def _show_life(self) -> None:
        while self._systemd.listens:
            self._systemd.alive(self._status())
            await asyncio.sleep(self._systemd.every)

    def _status(self) -> str:
        online = sum(worker.online for worker in self._workers.values())
        cameras = f"{online} of {count(self._workers, 'camera')} online"
        if self._mqtt.online:
            return f"{cameras}, connected to the broker"
        return f"{cameras}, no broker: {self._mqtt.trouble or 'connecting'}"

    def _put(self, topic: str, payload: bytes, content_type: str = "application/json") -> None:
        self._outbox.put(
            Publication(topic, payload, "state", retain=True, content_type=content_type)
        )

    # Coming and going.

    def _serve(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        self._services[name] = self._start(name, coroutine)

    def _start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=name)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOGGER.critical("%s ended unexpectedly", task.get_name(), exc_info=error)
            self.stop(1)

    def _crashed(self, _loop: object, context: dict[str, Any]) -> None:
        _LOGGER.critical("%s", context["message"], exc_info=context.get("exception"))
        self.stop(1)

    def _signalled(self) -> None:
        if self._over.done():
            self._leave()
        _LOGGER.info("stopping")
        self.stop()

    def _leave(self) -> NoReturn:
        """At the second signal somebody means it; the broker says ``offline`` in our place."""
        cameras = [*self._cameras.values(), *self._leaving.values()]
        busy = [task for task in cameras if not task.done()]
        _LOGGER.warning(
            "ended by a second signal; left undone: %s, %s",
            count(busy, "camera"),
            count(range(len(self._outbox)), "message"),
        )
        os._exit(1)

    def _hang_up(self) -> None:
        if self._path is None or self._over.done():
            return
        self._systemd.reloading()
        self._reload(self._path)
        self._systemd.ready()

    def _reload(self, path: Path) -> None:
        """Take over cameras and groups of the file as it is now; a broken one changes nothing."""
        try:
            new = config.load(path)
        except ConfigError as exc:
            for problem in exc.problems:
                _LOGGER.error("%s", problem)
            _LOGGER.error("the configuration is not reloaded; the old one stays in force")
            return
        old, self._config = self._config, new
        for section in ("mqtt", "homeassistant", "storage", "log"):
            if getattr(old, section) != getattr(new, section):
                _LOGGER.warning("%s: changed; that takes effect at the next start", section)
        kept = {name: getattr(old, name) for name in ("mqtt", "homeassistant", "storage")}
        self._config = new.model_copy(update=kept)
        for name, camera in old.cameras.items():
            if new.cameras.get(name) != camera:
                self._remove(name, for_good=name not in new.cameras)
        for name, camera in new.cameras.items():
            if name not in self._workers:
                self._add(name, camera)
        self._route()
        if self._mqtt.online:
            self._show_again()
        _LOGGER.info("configuration reloaded: %s", count(new.cameras, "camera"))

    def _remove(self, name: str, *, for_good: bool) -> None:
        self._workers.pop(name).stop()
        task = self._leaving[name] = self._cameras.pop(name)
        task.add_done_callback(partial(self._left, name, for_good))
        asyncio.get_running_loop().call_later(_GRACE, task.cancel)

    def _left(self, name: str, for_good: bool, task: asyncio.Task[None]) -> None:
        if self._leaving.get(name) is task:
            del self._leaving[name]
        if for_good:  # and its last word is said
            self._announcer.left(name)

    async def _stop(self) -> None:
        self._systemd.stopping()
        for worker in self._workers.values():
            worker.stop()
        if cameras := [*self._cameras.values(), *self._leaving.values()]:
            _, late = await asyncio.wait(cameras, timeout=_GRACE)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)
        self._put(self._topics.state, topics.OFFLINE, "text/plain")
        await self._mqtt.stop(timeout=_FAREWELL)
        for task in self._services.values():
            task.cancel()
        await asyncio.wait(self._services.values(), timeout=1)
        if self._storage is not None:
            await self._storage.stop()
        self._systemd.close()
        _LOGGER.info("stopped")


def _wall(moment: float) -> float:
    """A monotonic moment as wall-clock time."""
    return time.time() - (time.monotonic() - moment)


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


def _memory() -> int | None:
    """Bytes of memory that this process has."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):  # no Linux: the most it ever had
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def count(things: Iterable[object], name: str) -> str:
    """How many there are, in words."""
    number = len(list(things))
    return f"{number} {name}{'' if number == 1 else 's'}"
