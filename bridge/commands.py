"""The commands that do one thing and end: ``check`` and ``capture``."""

import argparse
import asyncio
import hashlib
import json
import os
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge import command, config, logs
from bridge.app import count, new_id
from bridge.attempt import take
from bridge.build import broker, check_extras, make_camera
from bridge.capture import DEFAULT_OPTIONS, Options, Outcome, Request, result, to_json
from bridge.config import CameraConfig, Config
from bridge.errors import BadRequest, BridgeError, ConfigError, StorageFailed, UnknownCamera
from bridge.mqtt import Mqtt
from bridge.outbox import Outbox
from bridge.threads import Pool

_CONNECT = 5.0


def capture(options: argparse.Namespace) -> int:
    """Take one picture and write it to a file."""
    logs.set_up("debug" if options.verbose else "error", "json" if options.json else "text")
    if options.json and str(options.output) == "-":
        raise ConfigError(["--json and -o - both want standard output"])
    name = "picture" if "://" in options.camera else options.camera
    request = Request(new_id(), name, time.monotonic(), time.time(), trigger="cli")
    outcome = Outcome(finished=0.0)
    try:
        camera = _camera(options)
        request.options = _wanted(options)
        asyncio.run(_capture(camera, request.options, outcome))
        if str(options.output) != "-":
            _write(options.output or Path(f"{name}.jpg"), outcome)
    except BridgeError as exc:
        outcome.error = exc
    outcome.finished = outcome.finished or time.monotonic()
    _report(options, request, outcome)
    if isinstance(outcome.error, UnknownCamera):
        return 2  # wrong usage
    return 0 if outcome.error is None else 1


def _report(options: argparse.Namespace, request: Request, outcome: Outcome) -> None:
    document = result(
        request, outcome, requested_at=request.requested_at, received=request.received
    )
    if options.json:
        print(to_json(document).decode())
    elif outcome.error is not None:
        _say(f"{request.camera}: {outcome.error.code}: {outcome.error}")
    else:
        where = outcome.path or "standard output"
        size = f"{document['bytes']} bytes, {outcome.width}x{outcome.height}"
        _say(f"{where}: {size}, {document['duration']:.2f} s")
    if outcome.error is None and str(options.output) == "-" and outcome.image is not None:
        sys.stdout.buffer.write(outcome.image)


def _say(text: str) -> None:
    """What is for people goes to standard error; a board's words may be in it."""
    print(logs.one_line(text), file=sys.stderr)


def _camera(options: argparse.Namespace) -> CameraConfig:
    if "://" in options.camera:
        return config.camera_from_url(options.camera)
    cameras = config.load(options.config).cameras
    if options.camera not in cameras:
        raise UnknownCamera(
            f"no camera {command.quote(options.camera)}; there are: {', '.join(cameras)}"
        )
    return cameras[options.camera]


def _wanted(options: argparse.Namespace) -> Options:
    """The options, held to the same rules as a command over MQTT."""
    given = {
        key: value
        for key in ("flash", "framesize", "quality", "timeout")
        if (value := getattr(options, key)) is not None
    }
    if not given:
        return DEFAULT_OPTIONS
    try:
        return command.parse_capture(json.dumps(given).encode()).options
    except BadRequest as exc:
        raise ConfigError([f"--{exc}"]) from exc


async def _capture(config: CameraConfig, options: Options, outcome: Outcome) -> None:
    camera = make_camera(config, Pool(1, name="connect"), lost=_ignore, met=lambda: None)
    try:
        image = await take(camera, options, outcome, timeout=config.timeout, retries=config.retries)
        if config.rotate:
            from bridge.rotate import rotate

            image = rotate(image, config.rotate)
    finally:
        camera.close()
    outcome.finished, outcome.captured_at = time.monotonic(), time.time()
    outcome.image, outcome.width, outcome.height = image.data, image.width, image.height


def _ignore(_: BridgeError) -> None:
    pass


def _write(path: Path, outcome: Outcome) -> None:
    """Write whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(outcome.image or b"")
        partial.replace(path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise StorageFailed(f"{path}: {exc.strerror}") from exc
    outcome.path = str(path.absolute())
    outcome.sha256 = hashlib.sha256(outcome.image or b"").hexdigest()


def check(options: argparse.Namespace) -> int:
    """Say whether the configuration is right, and with ``--connect`` whether all are there."""
    if options.schema:
        print(json.dumps(config.schema(), indent=2))
        return 0
    configuration = config.load(options.config)
    check_extras(configuration)
    logs.set_up("debug" if options.verbose else "critical", "text")
    report: dict[str, Any] = {"config": str(options.config), "status": "ok"}
    hints = config.hints(configuration) + config.exposed(options.config, configuration)
    if hints:
        report["hints"] = hints
    failures = {}
    if options.connect:
        failures = asyncio.run(_connect_all(configuration))
        report["connected"] = {name: reason or "ok" for name, reason in failures.items()}
        if any(failures.values()):
            report["status"] = "error"
    if options.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        _say(f"{options.config}: ok, {count(configuration.cameras, 'camera')}")
        for hint in hints:
            _say(f"  hint: {hint}")
        for name, reason in failures.items():
            _say(f"  {name}: {reason or 'ok'}")
    return 0 if report["status"] == "ok" else 1


async def _connect_all(configuration: Config) -> dict[str, str | None]:
    pool = Pool(32, name="connect")
    names = list(configuration.cameras)
    reasons = await asyncio.gather(
        _try_broker(configuration, pool),
        *(_try_board(configuration.cameras[name], pool) for name in names),
    )
    return dict(zip(["broker", *names], reasons, strict=True))


async def _try_board(config: CameraConfig, pool: Pool) -> str | None:
    camera = make_camera(config, pool, lost=_ignore, met=lambda: None)
    try:
        await camera.connect(deadline=time.monotonic() + _CONNECT)
    except BridgeError as exc:
        return f"{exc.code}: {exc}"
    finally:
        camera.close()
    return None


async def _try_broker(configuration: Config, pool: Pool) -> str | None:
    """Connect as another client, so as not to put a running bridge out."""
    there = broker(configuration.mqtt)
    there = replace(there, client_id=f"{there.client_id}-check-{socket.gethostname()}"[:60])
    connected = asyncio.Event()
    mqtt = Mqtt(
        there,
        will_topic=None,
        outbox=Outbox(),
        message=lambda _: None,
        connected=connected.set,
        pool=pool,
    )
    task = asyncio.create_task(mqtt.run())
    try:
        async with asyncio.timeout(_CONNECT):
            await connected.wait()
    except TimeoutError:
        return mqtt.trouble or "no answer"
    finally:
        await mqtt.stop(timeout=1)
        task.cancel()
    return None
