"""`esp32cam2mqtt find` against real responders: the firmware's, and zeroconf's in another process.

Each test has a network of its own, of which nothing leads to any other.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bridge import config
from tests.fakes.process import Process
from tests.fakes.simulator import program

ROOT = Path(__file__).parents[1]
SETUP = "ip link set lo up multicast on && ip route add 224.0.0.0/4 dev lo && "
Find = Callable[..., subprocess.CompletedProcess[str]]


class Inside(Process):
    """A program in the network of another."""

    def start(self, command: list[str], cwd: Path) -> None:
        self._launch(command, cwd=cwd, env={"PYTHONPATH": str(ROOT)})


class Network:
    """A network that has only a loopback, which carries multicast."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self.folder = folder
        self._holder = Inside("network")
        self._holder.start(
            ["unshare", "-n", "sh", "-c", SETUP + "echo ready; exec sleep 600"], folder
        )
        try:
            self._holder.wait_for_log("^ready$", timeout=5)
        except AssertionError as exc:
            if self._holder.alive:
                self._holder.kill()
            pytest.skip(f"no network of one's own is to be had: {exc}")
        stack.callback(self._holder.stop)

    def inside(self, *command: str) -> list[str]:
        return ["nsenter", "-n", "-t", str(self._holder.pid), *command]

    def start(self, ready: str, *command: str) -> None:
        process = Inside(command[0])
        process.start(self.inside(*command), self.folder)
        self._stack.callback(process.stop)
        process.wait_for_log(ready)

    def simulate(self, port: int, mac: str, *options: str) -> None:
        ports = ["--ws-port", str(port), "--http-port", "0"]
        self.start(r'^\{"ws"', str(program()), "--mdns", *ports, "--mac", mac, *options)

    def announce(self, *boards: dict[str, Any]) -> None:
        words = [sys.executable, "-m", "tests.fakes.announcer", json.dumps(boards)]
        self.start("^announced$", *words)

    def find(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.inside(sys.executable, "-m", "bridge", "find", "--timeout", "4", *options),
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with ExitStack() as stack:
        yield Network(stack, tmp_path)


def txt(**values: str | bytes) -> str:
    """A TXT record."""
    record = b""
    for key, value in values.items():
        entry = f"{key}=".encode() + (value if isinstance(value, bytes) else value.encode())
        record += bytes([len(entry)]) + entry
    return record.hex()


def boards(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.stdout)["boards"]
    return found


def test_the_firmware_is_found_and_its_yaml_is_right(network: Network) -> None:
    network.simulate(8181, "24:0a:c4:1a:2b:3c")
    network.simulate(8182, "24:0a:c4:1a:2b:3d", "--key", "a-long-enough-key")
    [open_, locked] = boards(network.find("--json"))
    assert open_ == {
        "name": "esp32cam-1a2b3c",
        "host": "esp32cam-1a2b3c.local",
        "address": "127.0.0.1",
        "port": 8181,
        "board": "ai-thinker",
        "firmware": open_["firmware"],
        "mac": "24:0A:C4:1A:2B:3C",
        "auth": "none",
        "url": "ws://127.0.0.1:8181",
        "camera": None,
    }
    assert (locked["name"], locked["auth"]) == ("esp32cam-1a2b3d", "hmac")

    done = network.find()
    assert done.returncode == 0
    assert "# key: !secret esp32cam-1a2b3d_key" in done.stdout
    path = network.folder / "config.yaml"
    path.write_text(done.stdout)
    cameras = config.load(path).cameras
    assert {name: camera.url for name, camera in cameras.items()} == {
        "esp32cam-1a2b3c": "ws://127.0.0.1:8181",
        "esp32cam-1a2b3d": "ws://127.0.0.1:8182",
    }
    again = network.find()
    assert again.stdout == ""
    assert "config.yaml has them all" in again.stderr


def test_new_boards_are_written_and_those_that_are_configured_are_not(network: Network) -> None:
    path = network.folder / "config.yaml"
    text = "# mine\ncameras:\n  door: ws://localhost:8181  # by name\n"
    path.write_text(text)
    network.simulate(8181, "24:0a:c4:1a:2b:3c")
    network.simulate(8182, "24:0a:c4:1a:2b:3d")
    done = network.find("--write", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["added"] == ["esp32cam-1a2b3d"]
    assert [board["camera"] for board in boards(done)] == ["door", "esp32cam-1a2b3d"]
    assert path.read_text().startswith(text)
    assert list(config.load(path).cameras) == ["door", "esp32cam-1a2b3d"]


def test_what_strangers_say_is_cut_short_and_quoted(network: Network) -> None:
    evil = 'x": {}\nmqtt: {host: 192.0.2.66} #'
    network.announce(
        {"name": "no", "address": "127.0.0.1", "port": 81},  # without TXT
        {"name": "Front door", "address": "127.0.0.1", "port": 82, "txt": txt(board="a\x1b[2Jb")},
        {"name": "front-door!", "address": "127.0.0.1", "port": 83, "txt": txt(board=b"\xff\xfe")},
        {"name": "Front_Door", "address": "127.0.0.1", "port": 84, "txt": txt(board=evil)},
        {"name": 'a": !file /etc/passwd #', "address": "127.0.0.1", "port": 85},
        {"name": "big", "address": "127.0.0.1", "port": 86, "txt": txt(firmware="9" * 240)},
        {"name": "nowhere", "address": "224.0.0.1", "port": 87},
    )
    done = network.find("--write", "--json")
    assert done.returncode == 0, done.stderr
    found = {board["port"]: board for board in boards(done)}
    assert sorted(found) == [81, 82, 83, 84, 85, 86]
    assert found[81]["board"] is None
    assert len(found[86]["firmware"]) == 63
    assert all(c.isprintable() for c in done.stdout.rstrip("\n"))
    path = network.folder / "config.yaml"
    loaded = config.load(path)
    assert loaded.mqtt.host == "localhost"
    assert {camera.url: name for name, camera in loaded.cameras.items()} == {
        "ws://127.0.0.1:81": "camera_no",
        "ws://127.0.0.1:82": "front_door",
        "ws://127.0.0.1:83": "front-door",
        "ws://127.0.0.1:84": "front_door_2",
        "ws://127.0.0.1:85": "a_file_etc_passwd",
        "ws://127.0.0.1:86": "big",
    }
    assert loaded.cameras["a_file_etc_passwd"].name == 'a": !file /etc/passwd #'


def test_two_boards_of_one_name_are_two(network: Network) -> None:
    network.announce({"name": "door", "address": "127.0.0.1", "port": 81})
    network.announce({"name": "door", "address": "127.0.0.2", "port": 81})
    done = network.find("--write", "--json")
    assert {board["address"] for board in boards(done)} == {"127.0.0.1", "127.0.0.2"}
    assert json.loads(done.stdout)["added"] == ["door", "door_2"]


def test_nothing_found_says_what_to_check(network: Network) -> None:
    done = network.find()
    assert done.returncode == 1
    assert done.stdout == ""
    for word in ("VLAN", "isolation", "5353", "original sketch"):
        assert word in done.stderr
    assert json.loads(network.find("--json").stdout) == {"boards": [], "added": []}


def test_a_file_with_faults_is_not_written_to(network: Network) -> None:
    network.announce({"name": "door", "address": "127.0.0.1"})
    path = network.folder / "config.yaml"
    path.write_text("cameras:\n  door: http://127.0.0.1\n")
    assert network.find().returncode == 0  # to look is no reason to refuse
    done = network.find("--write")
    assert done.returncode == 2
    assert "config.yaml:2: cameras.door" in done.stderr
    assert path.read_text() == "cameras:\n  door: http://127.0.0.1\n"


def test_without_the_extra_it_says_what_to_install(network: Network) -> None:
    (network.folder / "zeroconf.py").write_text("raise ImportError\n")
    done = network.find()
    assert done.returncode == 2
    assert "esp32cam2mqtt[find]" in done.stderr


@pytest.mark.parametrize("timeout", ["0", "61", "x", "nan"])
def test_a_timeout_out_of_range_is_wrong_usage(network: Network, timeout: str) -> None:
    done = network.find("--timeout", timeout)
    assert done.returncode == 2
    assert "0.1 to 60" in done.stderr
