"""The firmware's page on port 80: what anybody may see, what the password is for, and updates."""

import json
import random
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import Simulators
from tests.fakes.simulator import Simulator
from tests.fakes.wire import Answer, page, size, stamp, talking, wait_until_up

PASSWORD = "correct horse"
IMAGE = b"\xe9" + random.Random(1).randbytes(200_000)  # begins as an ESP32's image does


@pytest.fixture(scope="module")
def board() -> Iterator[Simulator]:
    """For tests that leave it as they found it."""
    with Simulator(framesize="QVGA", password=PASSWORD) as board:
        yield board


def error_of(answer: Answer) -> str:
    told = answer.json
    assert told["detail"], told
    return str(told["error"])


# What anybody may see


def test_the_page_is_one_file_that_loads_nothing_from_elsewhere(board: Simulator) -> None:
    answer = page(board.http_url, "GET", "/")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert len(answer.body) < 12 * 1024
    assert not re.search(rb"(src|href)=[\"']?(https?:)?//", answer.body)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_the_status_tells_everything_but_secrets(board: Simulator) -> None:
    answer = page(board.http_url, "GET", "/status")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    with talking(board.url) as v1:
        for key in ("name", "firmware", "board", "sensor", "framesizes"):
            assert answer.json[key] == v1.hello[key]
        for key in v1.ask("status").keys() | v1.ask("set").keys():
            assert key in answer.json
    assert PASSWORD not in answer.body.decode()


def test_a_picture_is_of_now_and_not_to_be_kept(board: Simulator) -> None:
    with talking(board.url) as v1:
        for query, wanted, lit in (
            ("", (320, 240), False),
            ("?framesize=VGA&quality=20&flash=1&settle_ms=10", (640, 480), True),
            ("?flash=0", (320, 240), False),
        ):
            asked = v1.ask("status")["uptime_ms"]
            answer = page(board.http_url, "GET", f"/capture{query}")
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "image/jpeg"
            assert answer.headers["Cache-Control"] == "no-store"
            assert int(answer.headers["X-Age-Ms"]) >= 0
            assert size(answer.body) == wanted
            assert stamp(answer.body).exposed_ms >= asked
            assert stamp(answer.body).flash is lit


@pytest.mark.parametrize(
    ("query", "error", "named"),
    [
        ("quality=3", "bad_request", "quality"),
        ("quality=x", "bad_request", "quality"),
        ("flash=2", "bad_request", "flash"),
        ("settle_ms=99999999999999999999", "bad_request", "settle_ms"),
        ("framesize=HUGE", "bad_framesize", "HUGE"),
        ("framesize=%00%zz", "bad_framesize", ""),
    ],
)
def test_an_option_that_is_wrong_is_named(
    board: Simulator, query: str, error: str, named: str
) -> None:
    answer = page(board.http_url, "GET", f"/capture?{query}")
    assert (answer.status, error_of(answer)) == (400, error)
    assert named in answer.json["detail"]


def test_a_camera_that_fails_is_told_over_http_too(simulator: Simulators) -> None:
    board = simulator(no_camera=True)
    answer = page(board.http_url, "GET", "/capture")
    assert answer.status == 502
    assert error_of(answer) == "camera_failed"
    assert page(board.http_url, "GET", "/status").status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1:80", "[::1]:80", "cam", "cam.local"])
def test_it_answers_to_addresses_and_local_names(board: Simulator, host: str) -> None:
    assert page(board.http_url, "GET", "/status", Host=host).status == 200


@pytest.mark.parametrize("host", ["example.org", "example.org:80", "127.0.0.1.example.org", "a.b"])
def test_it_does_not_answer_to_somebody_elses_name(board: Simulator, host: str) -> None:
    for method, path in (("GET", "/"), ("GET", "/capture"), ("POST", "/settings")):
        answer = page(board.http_url, method, path, password=PASSWORD, Host=host)
        assert answer.status == 403


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/../../etc/passwd", 404),
        ("POST", "/", 405),
        ("DELETE", "/settings", 405),
        ("GET", "/restart", 405),
        ("GET", "/update", 405),
        ("OPTIONS", "/settings", 405),
    ],
)
def test_what_is_not_there_is_told(board: Simulator, method: str, path: str, status: int) -> None:
    answer = page(board.http_url, method, path, password=PASSWORD)
    assert (answer.status, bool(error_of(answer))) == (status, True)


# What the password is for

CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("/settings", {"vflip": True}),
    ("/wifi", {"ssid": "elsewhere", "password": "12345678"}),
    ("/access", {"key": "sesame"}),
    ("/restart", {}),
]


@pytest.mark.parametrize(("path", "body"), CHANGES)
@pytest.mark.parametrize("password", [None, "", "wrong", PASSWORD + "x", PASSWORD[:-1]])
def test_nothing_is_changed_without_the_password(
    simulator: Simulators, path: str, body: dict[str, Any], password: str | None
) -> None:
    board = simulator(password=PASSWORD)
    before = page(board.http_url, "GET", "/settings").json
    answer = page(board.http_url, "POST", path, body, password=password)
    assert (answer.status, error_of(answer)) == (401, "unauthorized")
    assert page(board.http_url, "GET", "/settings").json == before
    assert board.starts() == 1


def test_who_tries_passwords_has_to_wait(simulator: Simulators) -> None:
    board = simulator(password=PASSWORD)

    def attempt(password: str) -> Answer:
        return page(board.http_url, "POST", "/settings", {}, password=password)

    statuses = [attempt(f"wrong {number}").status for number in range(6)]
    assert statuses == [401] * 5 + [429]
    answer = attempt(PASSWORD)
    assert answer.status == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert page(board.http_url, "GET", "/capture?framesize=QVGA").status == 200
    board.tell("advance 61")
    assert attempt(PASSWORD).status == 200


def test_settings_are_changed_for_good(simulator: Simulators) -> None:
    board = simulator(password=PASSWORD, framesize="QVGA")
    answer = page(board.http_url, "POST", "/settings", {"quality": 30}, password=PASSWORD)
    assert (answer.status, answer.json["quality"]) == (200, 30)
    wrong = page(board.http_url, "POST", "/settings", {"quality": 99}, password=PASSWORD)
    assert (wrong.status, error_of(wrong)) == (400, "bad_request")
    assert "quality" in wrong.json["detail"]
    board.tell("restart power_on")
    board.wait_for_start(2)
    assert page(board.http_url, "GET", "/settings").json["quality"] == 30


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 1000])
def test_a_body_that_is_no_object_is_a_named_error(board: Simulator, body: bytes) -> None:
    answer = page(board.http_url, "POST", "/settings", body, password=PASSWORD)
    assert (answer.status, error_of(answer)) == (400, "bad_request")


def test_a_body_that_is_too_long_is_refused(board: Simulator) -> None:
    body = json.dumps({"x": "y" * 2000}).encode()
    assert page(board.http_url, "POST", "/settings", body, password=PASSWORD).status == 413


def test_with_a_key_pictures_and_status_need_the_password_too(simulator: Simulators) -> None:
    board = simulator(password=PASSWORD, key="sesame", framesize="QVGA")
    for path in ("/status", "/capture", "/settings"):
        assert page(board.http_url, "GET", path).status == 401
        assert page(board.http_url, "GET", path, password=PASSWORD).status == 200


def test_the_key_is_set_over_the_page_and_never_told(simulator: Simulators) -> None:
    board = simulator(password=PASSWORD, framesize="QVGA")
    answer = page(board.http_url, "POST", "/access", {"key": "sesame"}, password=PASSWORD)
    assert answer.status == 200
    with talking(board.url, key="sesame") as v1:
        v1.capture()
    told = page(board.http_url, "GET", "/status", password=PASSWORD)
    assert told.status == 200
    assert b"sesame" not in told.body + answer.body
    assert PASSWORD.encode() not in told.body + answer.body


def test_a_restart_comes_after_its_answer(simulator: Simulators) -> None:
    board = simulator(password=PASSWORD)
    assert page(board.http_url, "POST", "/restart", {}, password=PASSWORD).status == 202
    board.wait_for_start(2)
    assert page(board.http_url, "GET", "/status").json["reset_reason"] == "software"


# Updates


def test_an_update_without_the_password_stops_nothing(simulator: Simulators) -> None:
    board = simulator(password=PASSWORD, framesize="QVGA")
    for password in (None, "wrong"):
        answer = page(board.http_url, "POST", "/update", IMAGE, password=password)
        assert (answer.status, error_of(answer)) == (401, "unauthorized")
    assert board.state()["update"] == 0
    with talking(board.url) as v1:
        v1.capture()
    assert board.starts() == 1


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(IMAGE[:1000], id="too short"),
        pytest.param(b"PK\x03\x04" + IMAGE[4:], id="something else"),
        pytest.param(IMAGE + bytes(4_000_000), id="too long"),
    ],
)
def test_what_is_no_firmware_is_refused_and_stops_nothing(
    simulator: Simulators, image: bytes
) -> None:
    board = simulator(password=PASSWORD, framesize="QVGA")
    answer = page(board.http_url, "POST", "/update", image, password=PASSWORD)
    assert 400 <= answer.status < 500
    assert error_of(answer) == "bad_request"
    with talking(board.url) as v1:
        v1.capture()
    assert board.starts() == 1


def test_an_update_is_taken_whole_and_the_board_restarts(simulator: Simulators) -> None:
    board = simulator(password=PASSWORD)
    answer = page(board.http_url, "POST", "/update", IMAGE, password=PASSWORD)
    assert answer.status == 200
    board.wait_for_start(2)
    wait_until_up(board.url)
    assert page(board.http_url, "GET", "/status").json["reset_reason"] == "software"


def test_the_camera_is_stopped_while_an_update_comes_and_back_if_it_breaks_off(
    simulator: Simulators,
) -> None:
    board = simulator(password=PASSWORD, framesize="QVGA")
    address = urlsplit(board.http_url)
    head = (
        f"POST /update HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Password: {PASSWORD}\r\n"
        f"Content-Length: {len(IMAGE)}\r\n\r\n"
    )
    with (
        talking(board.url) as v1,
        socket.create_connection((address.hostname, address.port), timeout=15) as sock,
    ):
        sock.sendall(head.encode() + IMAGE[:100_000])
        while board.state()["update"] == 0:
            pass
        assert v1.ask("capture")["error"] == "busy"
    board.wait_for_start(2)  # a camera that was given up comes back by a restart
    with talking(board.url) as v1:
        v1.capture()


# What is no request


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET /status HTTP/1.1\r\n\r\n",
        b"POST /settings HTTP/1.1\r\nHost: cam\r\nContent-Length: 1000\r\n\r\n{",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_harms_nobody(board: Simulator, data: bytes) -> None:
    starts = board.starts()
    address = urlsplit(board.http_url)
    with socket.create_connection((address.hostname, address.port), timeout=15) as sock:
        with suppress(ConnectionError):  # it may have heard enough
            sock.sendall(data)
        assert page(board.http_url, "GET", "/status").status == 200
        with talking(board.url) as v1:
            v1.capture()
    assert board.starts() == starts
