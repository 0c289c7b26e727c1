"""What systemd is told, by the real program, over a real socket."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.systemd import Systemd
from tests.conftest import StartBridge
from tests.fakes.board import FakeBoard
from tests.test_bridge import old

Boards = Callable[..., FakeBoard]


class Manager:
    """systemd's side of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.told: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(10)
        self._socket.bind(address.replace("@", "\0"))

    def __enter__(self) -> "Manager":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def hear(self, key: str, text: str = "") -> dict[str, str]:
        """Wait for a message that says ``key``, with ``text`` in its value."""
        while True:
            message = self._socket.recv(4096).decode()
            self.told.append(dict(line.split("=", 1) for line in message.split("\n")))
            if text in self.told[-1].get(key, "\n"):
                return self.told[-1]

    def wait_for_silence(self, seconds: float) -> None:
        """Listen until nothing has come for so long."""
        self._socket.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            for _ in range(50):
                self._socket.recv(4096)
            raise AssertionError("it does not fall silent")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(str(tmp_path / "notify")) as manager:
        yield manager


def test_systemd_hears_of_start_reload_and_end(
    bridge: StartBridge, board: Boards, manager: Manager
) -> None:
    process = bridge(
        {"door": old(board()), "away": {"url": "ws://127.0.0.1:1"}},
        environment={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"},
    )
    manager.hear("READY")
    manager.hear("STATUS", "1 of 2 cameras online, connected to the broker")
    assert manager.hear("WATCHDOG")["WATCHDOG"] == "1"
    for text in ("cameras: {", process.config):  # it is ready again with a broken file, too
        before = time.monotonic_ns()
        process.reload(text)
        reloading = manager.hear("RELOADING")
        assert before < int(reloading["MONOTONIC_USEC"]) * 1000 < time.monotonic_ns()
        manager.hear("READY")
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    manager.hear("STOPPING")
    assert not [told for told in manager.told if "READY" in told][3:]


def test_a_stuck_loop_gives_no_sign_of_life(
    bridge: StartBridge, board: Boards, manager: Manager
) -> None:
    process = bridge(
        {"door": old(board())},
        clean=False,
        strain=("then=block:600",),
        environment={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000"},
    )
    process.signal(signal.SIGUSR1)
    manager.wait_for_silence(1.0)
    process.signal(signal.SIGABRT)  # as systemd does then
    assert process.wait() == -signal.SIGABRT


def test_a_bridge_without_a_broker_is_ready_and_says_what_it_lacks(
    bridge: StartBridge, board: Boards, manager: Manager
) -> None:
    process = bridge(
        {"door": old(board())},
        start=False,
        mqtt={"port": 1},
        environment={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"},
    )
    process.start(wait=False)
    manager.hear("READY")
    manager.hear("STATUS", "no broker: Connection refused")


def test_signs_of_life_come_twice_in_the_time_of_the_unit_and_are_for_its_process_only() -> None:
    def every(**environment: str) -> float:
        return Systemd(environment).every

    assert every(WATCHDOG_USEC="1000000") == 0.5
    assert every(WATCHDOG_USEC="1000000", WATCHDOG_PID=str(os.getpid())) == 0.5
    for for_nobody in ({}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}):
        assert every(**for_nobody) == every(WATCHDOG_USEC="?") == 2


def test_an_abstract_socket_is_one_too() -> None:
    with Manager(f"@esp32cam2mqtt-{os.urandom(8).hex()}") as manager:
        with contextlib.closing(Systemd({"NOTIFY_SOCKET": manager.address})) as systemd:
            assert systemd.listens
            systemd.alive("two\nlines")
        assert manager.hear("STATUS") == {"WATCHDOG": "1", "STATUS": "two lines"}


def test_a_service_manager_that_is_gone_or_does_not_read_holds_nothing_up(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with contextlib.closing(Systemd({"NOTIFY_SOCKET": address})) as systemd:
        systemd.ready()
        with Manager(address):
            for _ in range(10_000):
                systemd.alive("nobody reads this")
    systemd.alive("closed")
    assert not systemd.listens
