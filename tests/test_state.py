"""What is known of a camera: one document, every key always there."""

import json

from bridge.capture import Outcome, Request, to_json
from bridge.errors import CaptureTimeout, TooLarge
from bridge.protocol import Hello, Status
from bridge.state import CameraState

KEYS = [
    *("captured_at", "id", "trigger", "duration", "bytes", "width", "height", "path"),
    *("error", "message", "failed_at", "captures", "failures"),
    *("protocol", "board", "sensor", "firmware"),
    *("uptime", "rssi", "heap", "min_heap", "largest_block", "psram_free"),
    *("reset_reason", "camera_reinits", "wifi_reconnects"),
]
ASKED = 1_795_345_200.12  # 2026-11-22T11:00:00.120Z
REQUEST = Request("a1", "door", received=1000.0, requested_at=ASKED, trigger="interval")
PICTURE = Outcome(
    finished=1000.36,
    captured_at=ASKED + 0.36,
    image=b"\xff\xd8\xff\xd9",
    width=1600,
    height=1200,
    path="/srv/a1.jpg",
)


def state() -> CameraState:
    """Of a camera that has seen it all."""
    made = CameraState()
    made.hello = Hello(type="hello", protocol=1, board="ai-thinker", sensor="OV2640", firmware="1")
    made.status = Status(
        type="status",
        rssi=-61,
        uptime_ms=61_999,
        heap=9,
        min_heap=8,
        largest_block=7,
        psram_free=6,
        reset_reason="brownout",
        camera_reinits=2,
        wifi_reconnects=3,
    )
    made.captured(REQUEST, PICTURE, since=REQUEST.received)
    return made


def test_at_first_nothing_is_known_and_every_key_is_there() -> None:
    document = CameraState().document()
    assert list(document) == KEYS
    assert {key: value for key, value in document.items() if value is not None} == {
        "captures": 0,
        "failures": 0,
    }


def test_a_capture_and_the_boards_health() -> None:
    assert state().document() == {
        "captured_at": "2026-11-22T11:00:00.480Z",
        "id": "a1",
        "trigger": "interval",
        "duration": 0.36,
        "bytes": 4,
        "width": 1600,
        "height": 1200,
        "path": "/srv/a1.jpg",
        "error": None,
        "message": None,
        "failed_at": None,
        "captures": 1,
        "failures": 0,
        "protocol": 1,
        "board": "ai-thinker",
        "sensor": "OV2640",
        "firmware": "1",
        "uptime": 61,
        "rssi": -61,
        "heap": 9,
        "min_heap": 8,
        "largest_block": 7,
        "psram_free": 6,
        "reset_reason": "brownout",
        "camera_reinits": 2,
        "wifi_reconnects": 3,
    }


def test_a_failure_is_told_beside_the_last_picture() -> None:
    failing = state()
    failing.failed(CaptureTimeout("nothing for 15 s"), ASKED)
    document = failing.document()
    assert list(document) == KEYS
    assert (document["error"], document["message"], document["failed_at"]) == (
        "timeout",
        "nothing for 15 s",
        "2026-11-22T11:00:00.120Z",
    )
    assert (document["id"], document["captures"], document["failures"]) == ("a1", 1, 1)


def test_the_next_picture_ends_a_failure_but_it_stays_counted() -> None:
    recovered = state()
    recovered.failed(TooLarge("too large"), ASKED)
    recovered.captured(REQUEST, PICTURE, since=REQUEST.received)
    document = recovered.document()
    assert (document["error"], document["message"], document["failed_at"]) == (None, None, None)
    assert (document["captures"], document["failures"]) == (2, 1)


def test_a_board_that_tells_little_leaves_nulls() -> None:
    quiet = CameraState()
    quiet.hello = Hello(type="hello", protocol=1)
    quiet.status = Status(type="status")
    document = quiet.document()
    assert list(document) == KEYS
    assert (document["protocol"], document["board"], document["uptime"]) == (1, None, None)


def test_each_document_is_its_own_and_json() -> None:
    known = state()
    before = known.document()
    known.failed(CaptureTimeout("late"), ASKED)
    assert before["error"] is None
    assert json.loads(to_json(known.document())) == known.document()
