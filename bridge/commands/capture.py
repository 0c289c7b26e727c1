"""``esp32cam2mqtt capture``: pictures from one board into files, without a broker."""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bridge import command, config, logs
from bridge.attempt import take
from bridge.build import make_camera
from bridge.camera import Camera
from bridge.capture import DEFAULT_OPTIONS, Options, Outcome, Request, new_id, result, to_json
from bridge.commands import say
from bridge.commands.hints import hint
from bridge.config import CameraConfig
from bridge.errors import BadRequest, BridgeError, ConfigError, StorageFailed, UnknownCamera
from bridge.threads import Pool

_GIVEN = ("flash", "framesize", "quality", "timeout", "count", "every")
_LOOK = 0.2  # seconds between two looks at how far it is; a board that is faster shows none


def capture(options: argparse.Namespace) -> int:
    """Take pictures and write each to a file; 1 if one of them failed."""
    logs.set_up("debug" if options.verbose else "error", "json" if options.json else "text")
    if str(options.output) == "-":
        if options.json:
            raise ConfigError(["--json and -o - both want standard output"])
        if options.count is not None:
            raise ConfigError(["--count and -o -: standard output takes one picture"])
    name = "picture" if "://" in options.camera else options.camera
    request = Request(new_id(), name, time.monotonic(), time.time(), trigger="cli")
    try:
        camera = _camera(options)
        request.options = _wanted(options)
    except BridgeError as exc:
        _report(options, request, Outcome(time.monotonic(), error=exc), 1, request.received)
        return 2 if isinstance(exc, UnknownCamera) else 1  # 2: wrong usage
    return asyncio.run(_take_all(options, request, camera))


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
    given = {key: value for key in _GIVEN if (value := getattr(options, key)) is not None}
    if not given:
        return DEFAULT_OPTIONS
    try:
        return command.parse_capture(json.dumps(given).encode()).options
    except BadRequest as exc:
        raise ConfigError([f"--{exc}"]) from exc


async def _take_all(options: argparse.Namespace, request: Request, where: CameraConfig) -> int:
    camera = make_camera(where, Pool(1, name="connect"), lost=lambda _: None, met=lambda: None)
    failed = False
    due = request.received
    try:
        for index in range(1, request.options.count + 1):
            await asyncio.sleep(due - time.monotonic())
            outcome = Outcome(finished=0.0)
            try:
                with _progress(options, request, camera):
                    await _take(camera, where, request.options, outcome)
                if str(options.output) != "-":
                    _write(_file(options, request, index), outcome)
            except BridgeError as exc:
                outcome.error = exc
                failed = True
            outcome.finished = outcome.finished or time.monotonic()
            _report(options, request, outcome, index, due)
            if not where.keep_open:
                camera.close()
            due = max(due + request.options.every, time.monotonic())
    finally:
        camera.close()
    return 1 if failed else 0


async def _take(camera: Camera, where: CameraConfig, options: Options, outcome: Outcome) -> None:
    image = await take(camera, options, outcome, timeout=where.timeout, retries=where.retries)
    if where.rotate:
        from bridge.rotate import rotate

        image = rotate(image, where.rotate)
    outcome.finished, outcome.captured_at = time.monotonic(), time.time()
    outcome.image, outcome.width, outcome.height = image.data, image.width, image.height


def _file(options: argparse.Namespace, request: Request, index: int) -> Path:
    """``door.jpg``; of several ``door-01.jpg``, with as many digits as put them in order."""
    path: Path = options.output or Path(f"{request.camera}.jpg")
    if options.count is None:
        return path
    digits = len(str(request.options.count))
    return path.with_name(f"{path.stem}-{index:0{digits}}{path.suffix}")


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


# --- what is seen of it ----------------------------------------------------------------------


@contextlib.contextmanager
def _progress(options: argparse.Namespace, request: Request, camera: Camera) -> Iterator[None]:
    """A line that says how far it is, for who sits at a terminal and waits."""
    if options.json or not sys.stderr.isatty():
        yield
        return
    began = time.monotonic()

    async def watch() -> None:
        while True:
            await asyncio.sleep(_LOOK)
            received = camera.look()
            if not camera.connected:
                stage = "connecting"
            elif received is None:
                stage = "connected"
            else:
                stage = f"{received} bytes" if received else "asked, no answer yet"
            show(f"{request.camera}: {stage}, {time.monotonic() - began:.0f} s")

    def show(line: str) -> None:
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    watching = asyncio.get_running_loop().create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        show("")


def _report(
    options: argparse.Namespace, request: Request, outcome: Outcome, index: int, due: float
) -> None:
    requested_at = request.requested_at + due - request.received
    document = result(request, outcome, requested_at=requested_at, received=due, index=index)
    if options.json:
        print(to_json(document).decode(), flush=True)
    elif outcome.error is not None:
        say(f"{request.camera}: {outcome.error.code}: {outcome.error}")
        say(f"  {hint(outcome.error.code)}")
    else:
        where = outcome.path or "standard output"
        size = f"{document['bytes']} bytes, {outcome.width}x{outcome.height}"
        say(f"{where}: {size}, {document['duration']:.2f} s")
    if outcome.error is None and str(options.output) == "-" and outcome.image is not None:
        sys.stdout.buffer.write(outcome.image)
        sys.stdout.buffer.flush()
