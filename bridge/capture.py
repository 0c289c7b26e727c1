"""Requests, what they ask for, and the results that answer them. Pure: no sockets, no clock.

The keys of a result are spelled here and nowhere else.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from bridge.errors import BridgeError, Expired

Trigger = Literal["mqtt", "interval", "web", "cli", "set", "restart"]
Reply = Literal["image", "path", "result"]


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of a camera. Requests whose options are equal can share one capture.

    ``None`` leaves it to the camera's settings or to the board. ``every`` and ``timeout`` are
    seconds, ``quality`` is the sensor's scale, 4 (best) to 63.
    """

    save: bool | None = None
    flash: bool | None = None
    framesize: str | None = None
    quality: int | None = None
    count: int = 1
    every: float = 0.0
    timeout: float | None = None


DEFAULT_OPTIONS = Options()


def new_id() -> str:
    """An id for a request that has none: 8 hexadecimal digits."""
    return secrets.token_hex(4)


@dataclass(slots=True, eq=False)
class Request:
    """One requester, who waits for ``options.count`` results from one camera.

    ``received`` is monotonic and ``requested_at`` wall-clock time, both in seconds. ``done`` is
    called once, when the last result has been handed to the broker's connection.
    """

    id: str
    camera: str
    received: float
    requested_at: float
    trigger: Trigger = "mqtt"
    reply: Reply = "image"
    options: Options = DEFAULT_OPTIONS
    response_topic: str | None = None
    correlation_data: bytes | None = None
    done: Callable[[], None] | None = None


@dataclass(slots=True, eq=False)
class Outcome:
    """What came of one capture: the same for every request that it answers.

    ``finished`` is monotonic, ``captured_at`` wall-clock time in seconds. A picture that was
    taken may not have been saved (``storage_error``), which matters to who wants the path, or not
    have been published (``unsent``).
    """

    finished: float
    error: BridgeError | None = None
    storage_error: BridgeError | None = None
    unsent: BridgeError | None = None
    attempts: int = 0
    captured_at: float | None = None
    image: bytes | bytearray | None = None
    width: int | None = None
    height: int | None = None
    sha256: str | None = None
    path: str | None = None


def result(
    request: Request,
    outcome: Outcome,
    *,
    requested_at: float,
    received: float,
    index: int | None = 1,
    joined: bool = False,
    wants_path: bool = False,
) -> dict[str, Any]:
    """The result of picture ``index`` of a request, with every key of the contract.

    ``requested_at`` and ``received`` are when this picture was due, which for a burst's later
    ones is not when the request came.
    """
    error = outcome.error or (outcome.storage_error if wants_path else None)
    note = outcome.storage_error and str(outcome.storage_error)
    if error is None and outcome.unsent is not None:
        if isinstance(outcome.unsent, Expired) and outcome.path is not None:
            note = f"{outcome.unsent}; it is saved"
        else:
            error = outcome.unsent
    return {
        "id": request.id,
        "camera": request.camera,
        "status": "ok" if error is None else "error",
        "error": None if error is None else error.code,
        "message": note if error is None else str(error),
        "trigger": request.trigger,
        "requested_at": timestamp(requested_at),
        "captured_at": None if outcome.captured_at is None else timestamp(outcome.captured_at),
        "duration": round(max(outcome.finished - received, 0.0), 4),
        "attempts": outcome.attempts,
        "bytes": None if outcome.image is None else len(outcome.image),
        "width": outcome.width,
        "height": outcome.height,
        "sha256": outcome.sha256,
        "path": outcome.path,
        "url": None,
        "saved": outcome.path is not None,
        "joined": joined,
        "index": index,
        "count": request.options.count,
    }


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def to_json(value: dict[str, Any]) -> bytes:
    """Compact UTF-8 JSON, the form of everything the bridge publishes that is no picture."""
    return _encode(value).encode()


def timestamp(seconds: float) -> str:
    """Wall-clock seconds as ISO 8601 in UTC, to the millisecond: ``2026-11-22T11:00:00.120Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
