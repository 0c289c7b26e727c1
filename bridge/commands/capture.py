"""``esp32cam2mqtt capture``: one picture, without a broker."""

import argparse
import asyncio
import hashlib
import json
import os
import sys
import time
from pathlib import Path

from bridge import command, config, logs
from bridge.app import new_id
from bridge.attempt import take
from bridge.build import make_camera
from bridge.capture import DEFAULT_OPTIONS, Options, Outcome, Request, result, to_json
from bridge.commands import say
from bridge.config import CameraConfig
from bridge.errors import BadRequest, BridgeError, ConfigError, StorageFailed, UnknownCamera
from bridge.threads import Pool


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
        say(f"{request.camera}: {outcome.error.code}: {outcome.error}")
    else:
        where = outcome.path or "standard output"
        size = f"{document['bytes']} bytes, {outcome.width}x{outcome.height}"
        say(f"{where}: {size}, {document['duration']:.2f} s")
    if outcome.error is None and str(options.output) == "-" and outcome.image is not None:
        sys.stdout.buffer.write(outcome.image)


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
