"""``esp32cam2mqtt check``: is the configuration right, and is everything there?"""

import argparse
import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from bridge import config, logs
from bridge.build import check_extras, make_camera
from bridge.commands import say
from bridge.commands.hints import hint
from bridge.commands.visit import NoBrokerError, visit
from bridge.config import CameraConfig, Config
from bridge.errors import BridgeError
from bridge.logs import count
from bridge.threads import Pool

_CONNECT = 5.0  # seconds for each board


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
    tried: list[tuple[str, _Failure | None]] = []
    if options.connect:
        tried = asyncio.run(_connect_all(configuration))
        (_, report["broker"]), *boards = ((name, _said(bad)) for name, bad in tried)
        report["connected"] = dict(boards)  # where a board may be called broker, too
        if any(bad for _, bad in tried):
            report["status"] = "error"
    if options.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        say(f"{options.config}: ok, {count(configuration.cameras, 'camera')}")
        for line in hints:
            say(f"  hint: {line}")
        for name, bad in tried:
            say(f"  {name}: {_said(bad)}")
        for line in dict.fromkeys(bad.hint for _, bad in tried if bad and bad.hint):
            say(line)
    return 0 if report["status"] == "ok" else 1


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    hint: str | None


def _said(failure: _Failure | None) -> str:
    return failure.reason if failure else "ok"


async def _connect_all(configuration: Config) -> list[tuple[str, _Failure | None]]:
    """What came of the broker, and then of each camera."""
    pool = Pool(32, name="connect")
    names = list(configuration.cameras)
    reasons = await asyncio.gather(
        _try_broker(configuration, pool),
        *(_try_board(configuration.cameras[name], pool) for name in names),
    )
    return list(zip(["broker", *names], reasons, strict=True))


async def _try_board(config: CameraConfig, pool: Pool) -> _Failure | None:
    camera = make_camera(config, pool, lost=lambda _: None, met=lambda: None)
    try:
        await camera.connect(deadline=time.monotonic() + _CONNECT)
    except BridgeError as exc:
        return _Failure(f"{exc.code}: {exc}", hint(exc.code))
    finally:
        camera.close()
    return None


async def _try_broker(configuration: Config, pool: Pool) -> _Failure | None:
    try:
        await visit(configuration.mqtt, role="check", pool=pool)
    except NoBrokerError as exc:
        return _Failure(str(exc), exc.hint)
    return None
