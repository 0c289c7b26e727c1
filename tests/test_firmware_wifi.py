"""The firmware's way to its owner: Wi-Fi that goes and comes, and how it gets to know it."""

import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
import websocket

from tests.conftest import Simulators
from tests.fakes.simulator import Simulator, program
from tests.fakes.wire import page, talking, wait_until_up

WIFI = "home:sesame-sesame"
PASSWORD = "correct horse"


def wait_for_state(board: Simulator, **wanted: object) -> None:
    """Let the board's clock run, faster than ours, until the board is so."""
    deadline = time.monotonic() + 20
    while not wanted.items() <= board.state().items():
        assert time.monotonic() < deadline, (wanted, board.state())
        board.tell("advance 0.2")


def test_wifi_that_is_lost_and_returns_brings_the_board_back(simulator: Simulators) -> None:
    board = simulator(framesize="QVGA")
    with talking(board.url) as v1:
        v1.capture()
        board.tell("wifi down")
        with pytest.raises((ConnectionError, websocket.WebSocketException)):
            v1.client.recv()
    board.tell("advance 20")
    board.tell("wifi up")
    wait_for_state(board, wifi=True)
    wait_until_up(board.url)
    with talking(board.url) as v1:
        status = v1.ask("status")
        assert status["wifi_reconnects"] == 1
        assert status["reset_reason"] == "power_on"
        v1.capture()


def test_a_board_without_its_wifi_opens_its_own_network_and_is_back_when_that_returns(
    simulator: Simulators,
) -> None:
    board = simulator(framesize="QVGA")
    board.tell("wifi down")
    wait_for_state(board, ap=True)
    assert page(board.http_url, "GET", "/status").json["wifi"] == "connecting"
    board.tell("wifi up")
    wait_for_state(board, wifi=True, ap=False)
    assert page(board.http_url, "GET", "/status").json["wifi"] == "online"
    assert board.starts() == 1


def test_a_board_that_is_not_set_up_opens_its_own_network(simulator: Simulators) -> None:
    board = simulator(unconfigured=True, wifi=WIFI, password=PASSWORD)
    wait_for_state(board, ap=True)
    assert page(board.http_url, "GET", "/").status == 200
    status = page(board.http_url, "GET", "/status").json
    assert (status["wifi"], status["name"]) == ("unconfigured", board.state()["ssid"])
    body = {"ssid": "home", "password": "sesame-sesame"}
    assert page(board.http_url, "POST", "/wifi", body).status == 401
    answer = page(board.http_url, "POST", "/wifi", body, password=PASSWORD)
    assert answer.status == 202
    assert b"sesame" not in answer.body
    wait_for_state(board, wifi=True, ap=False)
    status = page(board.http_url, "GET", "/status").json
    assert (status["wifi"], status["wifi_trial"], status["ssid"]) == ("online", "worked", "home")
    board.tell("restart power_on")
    board.wait_for_start(2)
    wait_for_state(board, wifi=True, ap=False)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ssid": ""},
        {"ssid": "x" * 33},
        {"ssid": "home", "password": "short"},
        {"ssid": "home", "password": "x" * 65},
        {"ssid": 7},
    ],
)
def test_a_network_that_can_not_be_is_refused(
    simulator: Simulators, body: dict[str, object]
) -> None:
    board = simulator(password=PASSWORD)
    answer = page(board.http_url, "POST", "/wifi", body, password=PASSWORD)
    assert (answer.status, answer.json["error"]) == (400, "bad_request")


def test_a_wrong_password_for_the_wifi_does_not_lose_the_board(simulator: Simulators) -> None:
    board = simulator(wifi=WIFI, password=PASSWORD)
    body = {"ssid": "home", "password": "not the one"}
    assert page(board.http_url, "POST", "/wifi", body, password=PASSWORD).status == 202
    wait_for_state(board, wifi=False)
    wait_for_state(board, wifi=True)
    wait_until_up(board.url)
    status = page(board.http_url, "GET", "/status").json
    assert (status["wifi"], status["wifi_trial"]) == ("online", "failed")
    assert board.starts() == 1


def test_it_announces_itself_on_the_network(simulator: Simulators) -> None:
    board = simulator(key="sesame")
    [service] = [s for s in board.state()["mdns"] if s["service"] == "_esp32cam._tcp"]
    assert service["port"] == 81
    assert {"proto", "board", "mac", "firmware", "auth"} <= service["txt"].keys()
    assert (service["txt"]["proto"], service["txt"]["auth"]) == ("1", "hmac")


# Improv over the serial line (improv-wifi.com/serial)

STATE, ERROR, RPC, RESULT = 1, 2, 3, 4
READY, PROVISIONING, PROVISIONED = 2, 3, 4
SEND_WIFI, GET_STATE, GET_INFO, SCAN = 1, 2, 3, 4


def packet(kind: int, data: bytes) -> bytes:
    head = b"IMPROV\x01" + bytes((kind, len(data))) + data
    return head + bytes((sum(head) & 0xFF,)) + b"\n"


def rpc(command: int, data: bytes = b"") -> bytes:
    return packet(RPC, bytes((command, len(data))) + data)


def strings(*texts: str) -> bytes:
    return b"".join(bytes((len(text.encode()),)) + text.encode() for text in texts)


class SerialLine:
    """A board of which we have the serial line, as a browser has it, log lines and all."""

    def __init__(self, *options: str) -> None:
        ports = ("--ws-port", "0", "--http-port", "0")
        self._command: list[str | Path] = [program(), *ports, "--serial", *options]
        self._received = b""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        assert self._process.wait(10) == 0
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def packet(self) -> tuple[int, bytes]:
        """The next packet, whatever is written around it."""
        while True:
            _, header, rest = self._received.partition(b"IMPROV\x01")
            if header and len(rest) >= 2 and len(rest) >= 2 + rest[1] + 1:
                end = 2 + rest[1]
                assert rest[end] == sum(header + rest[:end]) & 0xFF
                self._received = rest[end + 1 :]
                return rest[0], rest[2:end]
            self._read()

    def wait_for(self, kind: int) -> bytes:
        """The next packet of that kind."""
        while True:
            found, data = self.packet()
            if found == kind:
                return data

    def wait_for_state(self, state: int) -> None:
        while self.wait_for(STATE) != bytes((state,)):
            pass

    def wait_for_text(self, text: bytes) -> bytes:
        """A line of its log with these words."""
        while True:
            for line in self._received.split(b"\n")[:-1]:
                if text in line:
                    return line
            self._read()

    def _read(self) -> None:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        assert select.select([fd], [], [], 20)[0], f"nothing more comes after {self._received!r}"
        data = os.read(fd, 65_536)
        assert data, f"the board has ended after {self._received!r}"
        self._received += data


@contextmanager
def new_board(tmp_path: Path, *options: str) -> Iterator[SerialLine]:
    nvs = ("--nvs", str(tmp_path / "nvs"))
    with SerialLine("--unconfigured", "--wifi", WIFI, *nvs, *options) as line:
        yield line


def results(data: bytes) -> tuple[int, list[str]]:
    """A result's command and strings."""
    command, length = data[0], data[1]
    assert length == len(data) - 2
    texts, at = [], 2
    while at < len(data):
        texts.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    return command, texts


def test_a_new_board_is_put_on_the_wifi_by_improv_and_stays_there(tmp_path: Path) -> None:
    with new_board(tmp_path) as line:
        line.send(rpc(GET_STATE))
        line.wait_for_state(READY)
        line.send(rpc(GET_INFO))
        command, [firmware, version, chip, name] = results(line.wait_for(RESULT))
        assert command == GET_INFO
        assert "esp32cam" in firmware.lower()
        assert version
        assert chip.startswith("ESP32")
        assert name.startswith("esp32cam-")
        line.send(rpc(SEND_WIFI, strings("home", "sesame-sesame")))
        line.wait_for_state(PROVISIONING)
        line.wait_for_state(PROVISIONED)
        command, [url] = results(line.wait_for(RESULT))
        assert command == SEND_WIFI
        assert url.startswith("http://")
    nvs = ("--nvs", str(tmp_path / "nvs"), "--wifi", WIFI)
    with SerialLine(*nvs) as line:
        line.send(rpc(GET_STATE))
        state = line.wait_for(STATE)
        while state != bytes((PROVISIONED,)):
            line.send(rpc(GET_STATE))
            state = line.wait_for(STATE)


def test_improv_finds_the_networks_there_are(tmp_path: Path) -> None:
    with new_board(tmp_path) as line:
        line.send(rpc(SCAN))
        found = []
        while texts := results(line.wait_for(RESULT))[1]:
            found.append(texts)
        assert any(ssid == "home" and int(rssi) < 0 and lock == "YES" for ssid, rssi, lock in found)


def test_improv_says_what_is_wrong(tmp_path: Path) -> None:
    with new_board(tmp_path) as line:
        line.send(rpc(99))
        assert line.wait_for(ERROR) == b"\x02"
        line.send(rpc(GET_STATE))
        assert line.wait_for(ERROR) == b"\x00"  # whoever shows the last error takes it down
        broken = bytearray(rpc(GET_STATE))
        broken[-2] ^= 0xFF
        line.send(bytes(broken))
        assert line.wait_for(ERROR) == b"\x01"
        line.send(rpc(SEND_WIFI, strings("home", "short")))
        assert line.wait_for(ERROR) != b"\x00"
        line.send(b"IMPROV\x01\x03\xff" + b"garbage \x00\xff" * 40 + b"\n" + rpc(GET_STATE))
        line.wait_for_state(READY)


def test_a_new_board_shows_its_password_on_the_serial_line_alone(tmp_path: Path) -> None:
    with new_board(tmp_path, "--password", "page-sesame") as line:
        assert b"page-sesame" in line.wait_for_text(b"assword")
