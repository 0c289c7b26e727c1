"""Puts the bridge together, starts, stops and reloads it, and says how it is."""

import asyncio
import logging
import os
import resource
import signal
import time
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from bridge import __version__, config, topics
from bridge.announcer import Announcer
from bridge.build import broker, described, make_camera, make_storage, place
from bridge.capture import to_json
from bridge.config import CameraConfig, Config, StorageConfig
from bridge.errors import ConfigError, StorageFailed
from bridge.jpeg import Jpeg
from bridge.logs import count
from bridge.mqtt import Message, Mqtt
from bridge.outbox import Outbox
from bridge.publisher import CameraPublisher
from bridge.router import Router
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
        told = configuration.homeassistant
        self._router = Router(self._base, told.discovery_prefix if told.enabled else None)
        self._storage: Storage | None = None
        self._workers: dict[str, Worker] = {}
        self._services: dict[str, asyncio.Task[None]] = {}
        self._cameras: dict[str, asyncio.Task[None]] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}  # cameras that finish their last picture
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

    def _received(self, message: Message) -> None:
        """Called by the broker's connection."""
        if message.topic in self._router or not self._announcer.heard(message):
            self._router.take(message)

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
        """Serve the topics of what is configured, and no others."""
        commands = self._router.serve(self._workers, self._config.groups)
        self._mqtt.subscribe(commands | self._announcer.birth)
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
        self._outbox.retain(self._topics.info, to_json(self._info()))
        self._outbox.retain(self._topics.health, to_json(self._health()))
        for worker in self._workers.values():
            worker.announce()
        self._outbox.retain(self._topics.state, topics.ONLINE, content_type="text/plain")

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
            self._outbox.retain(self._topics.health, to_json(self._health()))
            await asyncio.sleep(_HEALTH_EVERY)

    def _health(self) -> dict[str, Any]:
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
            "storage": None if self._storage is None else self._storage.health(),
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
        self._outbox.retain(self._topics.state, topics.OFFLINE, content_type="text/plain")
        await self._mqtt.stop(timeout=_FAREWELL)
        for task in self._services.values():
            task.cancel()
        await asyncio.wait(self._services.values(), timeout=1)
        if self._storage is not None:
            await self._storage.stop()
        self._systemd.close()
        _LOGGER.info("stopped")


def _memory() -> int | None:
    """Bytes of memory that this process has."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):  # no Linux: the most it ever had
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
