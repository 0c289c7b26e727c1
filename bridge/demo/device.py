"""The virtual board's hardware: a sensor and its settings, a clock since the start, health."""

import asyncio
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from bridge.demo import scene

_SENSOR_SECONDS = 0.06  # an OV2640 gives some 15 pictures a second at UXGA
_WAITING = 4  # captures that the sensor takes on at once, the running one counted
_PSRAM = 4 * 1024 * 1024

Settings = dict[str, Any]


class Fault(Exception):
    """What a command is answered with instead of what it asked for."""

    def __init__(self, error: str, detail: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(detail)
        self.error = error
        self.retry_after_ms = retry_after_ms


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG, and what the board knows of it."""

    data: bytes
    width: int
    height: int
    exposed_ms: int
    flash: bool


class Device:
    """One board; ``fail()`` lets a test break its camera."""

    def __init__(self, *, name: str, framesize: str) -> None:
        self.name = name
        self._stored: Settings = {key: default for key, (default, _) in _SETTINGS.items()}
        self._stored["framesize"] = framesize
        self._sensor = asyncio.Lock()
        self._waiting = 0
        self._failing: list[str] = []
        self.boot("power_on")

    def boot(self, reason: str) -> None:
        """Start anew: the clock, the counters, and all settings that were not stored."""
        self.settings = dict(self._stored)
        self._reset_reason = reason
        self._booted = time.monotonic()
        self._captures = self._failures = 0
        self._min_heap = _heap()

    @property
    def uptime_ms(self) -> int:
        """Milliseconds since the start."""
        return int((time.monotonic() - self._booted) * 1000)

    @property
    def is_crowded(self) -> bool:
        """Whether as many captures wait for the sensor as it takes on."""
        return self._waiting >= _WAITING

    def fail(self, error: str = "camera_failed", *, times: int = 1) -> None:
        """Let the next captures fail."""
        self._failing += [error] * times

    def change(self, settings: Settings, *, persist: bool) -> None:
        """Take over settings, all of them or, if there is a fault in one, none."""
        wanted = check(settings, {key: check for key, (_, check) in _SETTINGS.items()})
        self.settings |= wanted
        if persist:
            self._stored |= wanted

    async def capture(self, options: Settings) -> Picture:
        """Expose a picture now and draw it; no option outlives it."""
        wanted = self.settings | check(options, _OPTIONS)
        self._waiting += 1
        try:
            async with self._sensor:
                if wanted["flash"]:
                    await asyncio.sleep(wanted.get("settle_ms", 0) / 1000)
                exposed_ms, now = self.uptime_ms, datetime.now().astimezone()
                await asyncio.sleep(_SENSOR_SECONDS)
                if self._failing:
                    self._failures += 1
                    raise Fault(self._failing.pop(0), "it was told to fail", retry_after_ms=100)
                self._captures += 1
                counter = self._captures
        finally:
            self._waiting -= 1
        width, height = scene.FRAMESIZES[wanted["framesize"]]
        data = await asyncio.to_thread(
            scene.draw,
            width=width,
            height=height,
            name=self.name,
            counter=counter,
            now=now,
            flash=wanted["flash"],
            quality=wanted["quality"],
            vflip=wanted["vflip"],
            hmirror=wanted["hmirror"],
            brightness=wanted["brightness"],
            exposed_ms=exposed_ms,
        )
        return Picture(data, width, height, exposed_ms, wanted["flash"])

    def status(self) -> dict[str, Any]:
        """The board's health."""
        heap = _heap()
        self._min_heap = min(self._min_heap, heap)
        width, height = scene.FRAMESIZES[self._stored["framesize"]]
        wave = 4 * math.sin(self.uptime_ms / 97_000)
        return {
            "uptime_ms": self.uptime_ms,
            "rssi": round(-58 + wave + random.uniform(-1.5, 1.5)),
            "heap": heap,
            "min_heap": self._min_heap,
            "largest_block": heap * 5 // 8,
            "psram_free": _PSRAM - 2 * (width * height // 5),  # two frame buffers
            "reset_reason": self._reset_reason,
            "captures": self._captures,
            "failures": self._failures,
            "camera_reinits": 0,
            "wifi_reconnects": 0,
        }


def _heap() -> int:
    return 118_000 - random.randrange(6_000)


_Check = Callable[[object], Any]


def check(values: Settings, checks: dict[str, _Check]) -> Settings:
    """The values that are known here, each checked; a ``Fault`` names the one that is wrong."""
    known = {}
    for key, value in values.items():
        if key not in checks:
            continue  # of a newer protocol than ours
        try:
            known[key] = checks[key](value)
        except (TypeError, ValueError) as exc:
            raise Fault("bad_request", f"{key}: expected {exc}, got {value!r:.60}") from None
    return known


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


def _whole(low: int, high: int, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"a whole number from {low} to {high}")
    return value


def _framesize(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a name such as 'SVGA'")
    if value not in scene.FRAMESIZES:
        raise Fault("bad_framesize", f"{value!r:.20} is none of {', '.join(scene.FRAMESIZES)}")
    return value


_quality = partial(_whole, 4, 63)


_SETTINGS: dict[str, tuple[Any, _Check]] = {
    "framesize": ("UXGA", _framesize),
    "quality": (12, _quality),
    "flash": (False, _flag),  # with every capture that doesn't say otherwise
    "flash_level": (50, partial(_whole, 1, 80)),  # changes nothing here
    "vflip": (False, _flag),
    "hmirror": (False, _flag),
    "brightness": (0, partial(_whole, -2, 2)),
    "xclk_mhz": (10, partial(_whole, 5, 20)),  # changes nothing here
}

_OPTIONS: dict[str, _Check] = {
    "flash": _flag,
    "framesize": _framesize,
    "quality": _quality,
    "settle_ms": partial(_whole, 0, 2_000),
    "max_age_ms": partial(_whole, 0, 60_000),  # every picture is fresh: any age is kept to
}
