"""What is known of one camera: its last capture, its last failure, its board's health. Pure.

The keys of ``<base>/<camera>/state`` are spelled here and nowhere else.
"""

from typing import Any

from bridge.capture import Outcome, Request, timestamp
from bridge.errors import BridgeError
from bridge.protocol import Hello, Status

_HELLO = ("protocol", "board", "sensor", "firmware")
_STATUS = (
    *("rssi", "heap", "min_heap", "largest_block", "psram_free"),
    *("reset_reason", "camera_reinits", "wifi_reconnects"),
)


class CameraState:
    """Takes note of what happens and says it as one document, every key always there."""

    def __init__(self) -> None:
        self.captures = 0
        self.failures = 0
        self.hello: Hello | None = None
        self.status: Status | None = None
        self._last: dict[str, Any] = dict.fromkeys(
            ("captured_at", "id", "trigger", "duration", "bytes", "width", "height", "path")
        )
        self._error: dict[str, Any] = dict.fromkeys(("error", "message", "failed_at"))

    def captured(self, request: Request, outcome: Outcome, *, since: float) -> None:
        """A picture was taken that was due ``since``, monotonic: what failed before is over."""
        assert outcome.image is not None
        self.captures += 1
        self._last = {
            "captured_at": outcome.captured_at,
            "id": request.id,
            "trigger": request.trigger,
            "duration": round(max(outcome.finished - since, 0.0), 4),
            "bytes": len(outcome.image),
            "width": outcome.width,
            "height": outcome.height,
            "path": outcome.path,
        }
        self._error = dict.fromkeys(self._error)

    def failed(self, error: BridgeError, now: float) -> None:
        """A request failed at ``now``, wall-clock seconds."""
        self.failures += 1
        self._error = {"error": error.code, "message": str(error), "failed_at": timestamp(now)}

    def document(self) -> dict[str, Any]:
        """All of it. What only a v1 board tells is ``null`` for others."""
        hello, status = self.hello, self.status
        captured_at = self._last["captured_at"]
        uptime_ms = getattr(status, "uptime_ms", None)
        return {
            **self._last,
            "captured_at": None if captured_at is None else timestamp(captured_at),
            **self._error,
            "captures": self.captures,
            "failures": self.failures,
            **{key: getattr(hello, key, None) for key in _HELLO},
            "uptime": uptime_ms if uptime_ms is None else uptime_ms // 1000,
            **{key: getattr(status, key, None) for key in _STATUS},
        }
