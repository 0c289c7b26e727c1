"""The systemd unit under a systemd that runs: in a Debian of its own, on this computer's network.

It is installed by the lines that stand at the top of the unit, and then lives through what a
service lives through.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.board import FakeBoard
from tests.fakes.broker import Broker
from tests.fakes.client import Client
from tests.fakes.process import Process
from tests.integration.kept import kept

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "examples/systemd/esp32cam2mqtt.service"
NAME = "esp32cam2mqtt"
PICTURES = "/var/lib/esp32cam2mqtt"
WELL = "1 of 1 camera online, connected to the broker"
# So that a hung bridge is found out, and started again, while we wait.
IMPATIENT = "[Service]\nWatchdogSec=5\nRestartSec=0\n"


class Machine(Process):
    """A Debian whose process 1 is systemd."""

    def __init__(self, tar: Path, folder: Path) -> None:
        super().__init__("machine")
        self.root = folder / "root"
        self.root.mkdir()
        subprocess.run(["tar", "-xf", tar, "-C", self.root], check=True, timeout=120)

    def start(self) -> None:
        """Start it, and wait until all is started in it."""
        # --register and --keep-unit: there may be no systemd here to tell of it.
        command = ["systemd-nspawn", f"--directory={self.root}", "--boot"]
        command += ["--register=no", "--keep-unit"]
        self._launch(command, cwd=self.root)
        self.wait_for_log("Reached target .*multi-user.target", timeout=60)

    def run(self, script: str) -> str:
        """Run a script in it as root, and give back what it said."""
        done = self._try(script)
        if done.returncode:
            story = self._try("journalctl --no-pager --lines=30").stdout
            raise AssertionError(f"{script}\n{done.stdout}{done.stderr}\n{story}")
        return done.stdout

    def _try(self, script: str) -> subprocess.CompletedProcess[str]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return subprocess.run(
            ["nsenter", f"--target={children[0]}", "--all", "env", "-i",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-euc", script],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def write(self, path: str, text: str) -> None:
        """Write one of its files."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


class Service:
    """The bridge in a machine, a board, and a client that sees what it publishes."""

    def __init__(self, machine: Machine, board: FakeBoard, broker: Broker, client: Client) -> None:
        self.machine = machine
        self.client = client
        self.config: dict[str, Any] = {
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            "storage": {"path": PICTURES, "keep": {"free": None}},
            "cameras": {"door": {"url": board.url}},
        }

    def configure(self) -> None:
        """Write config.yaml where the unit has it."""
        self.machine.write(f"/etc/{NAME}/config.yaml", yaml.safe_dump(self.config))

    def tell(self, command: str) -> None:
        """Have systemctl do something with it."""
        self.machine.run(f"systemctl {command} {NAME}")

    def show(self, name: str) -> str:
        """One of its properties."""
        return self.machine.run(f"systemctl show --value --property={name} {NAME}").strip()

    def wait_for(self, state: str) -> None:
        """Wait until the bridge has said so, or the broker in its place, since `Client.clear`."""
        self.client.wait("esp32cam/bridge/state", lambda m: m.text == state, timeout=30)

    def wait_shown(self, name: str, value: str) -> None:
        """Wait until one of its properties is this."""
        deadline = time.monotonic() + 60
        while (seen := self.show(name)) != value:
            assert time.monotonic() < deadline, seen


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that has the wheel, and ends with the tests."""
    folder = tmp_path_factory.mktemp("machine")
    with kept("service", Path(__file__).with_name("debian.sh")) as (cache, _):
        machine = Machine(cache / "bookworm.tar", folder)
        shutil.copytree(cache / "wheels", machine.root / "wheels")
        subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--outdir", machine.root / "wheels", ROOT],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        machine.write("/etc/pip.conf", "[global]\nno-index = true\nfind-links = /wheels\n")
        try:
            machine.start()
            yield machine
        finally:
            machine.stop(30)
            shutil.rmtree(machine.root)


@pytest.fixture(scope="module")
def installed(machine: Machine) -> Iterator[Service]:
    """The service, installed and started by the lines at the top of the unit."""
    lines = re.findall(r"(?m)^#   (\S.*)$", UNIT.read_text())
    assert len(lines) == 5
    wheel = next(path.name for path in (machine.root / "wheels").glob(f"{NAME}-*"))
    script = "\n".join(["cd /new", *lines]).replace("/path/to/the/wheel", f"/wheels/{wheel}")
    with (
        FakeBoard(wire="v1") as board,
        Broker() as broker,
        broker.client(subscribe=["esp32cam/#"]) as client,
    ):
        service = Service(machine, board, broker, client)
        machine.write("/new/config.yaml", yaml.safe_dump(service.config))
        machine.write(f"/new/{UNIT.name}", UNIT.read_text())
        machine.run(script)
        yield service
        service.tell("stop")


@pytest.fixture
def service(installed: Service) -> Service:
    """The same, as it should be, and online."""
    installed.machine.run(f"rm -f /etc/systemd/system/{UNIT.name}.d/*; systemctl daemon-reload")
    installed.configure()
    installed.tell("stop")
    installed.tell("reset-failed")
    installed.client.clear()
    installed.tell("start")
    installed.wait_for("online")
    return installed


def test_the_lines_at_its_top_install_it_and_it_takes_pictures(service: Service) -> None:
    assert service.show("ActiveState") == "active"
    assert service.show("UnitFileState") == "enabled"
    service.client.publish("esp32cam/door/capture", {"id": "one"})
    result = service.client.wait("esp32cam/door/result")[0].json
    assert (result["status"], result["id"]) == ("ok", "one")
    owner, mode = service.machine.run(f"stat --format='%u %a' {result['path']}").split()
    assert int(owner) > 0
    assert mode == "640"
    folders = service.machine.run(f"stat --dereference --format=%a /var/lib/private {PICTURES}")
    assert folders.split() == ["700", "750"]
    service.wait_shown("StatusText", WELL)
    status = service.machine.run(f"cat /proc/{service.show('MainPID')}/status")
    assert re.search(r"CapEff:\s+0+\n", status)
    assert re.search(r"NoNewPrivs:\s+1\n", status)
    assert re.search(r"Seccomp:\s+2\n", status)


def test_a_reload_takes_the_new_configuration_and_keeps_the_process(service: Service) -> None:
    before = service.show("MainPID")
    door = service.config["cameras"]["door"]
    service.machine.write(
        f"/etc/{NAME}/config.yaml",
        yaml.safe_dump({**service.config, "cameras": {"yard": door}}),
    )
    service.tell("reload")
    service.client.wait("esp32cam/yard/availability", lambda m: m.text == "online")
    assert service.show("MainPID") == before


def test_a_password_that_only_root_can_read_reaches_the_broker(
    service: Service, own_broker: Callable[..., Broker]
) -> None:
    found = re.search(r"(?m)^# (password: .+)\n#(LoadCredential=\w+:(.+))$", UNIT.read_text())
    assert found is not None
    password, line, path = found.groups()
    service.machine.write(path, "sesame\n")
    service.machine.run(f"chmod 600 {path}")
    service.machine.write(f"/etc/systemd/system/{UNIT.name}.d/it.conf", f"[Service]\n{line}\n")
    service.machine.run("systemctl daemon-reload")
    broker = own_broker(users={"bridge": "sesame"})
    mqtt = f"mqtt: {{host: 127.0.0.1, port: {broker.port}, username: bridge, {password}}}\n"
    rest = {name: part for name, part in service.config.items() if name != "mqtt"}
    service.machine.write(f"/etc/{NAME}/config.yaml", mqtt + yaml.safe_dump(rest))
    service.tell("restart")
    with broker.client(subscribe=["esp32cam/bridge/state"]) as client:
        client.wait("esp32cam/bridge/state", lambda m: m.text == "online", timeout=30)


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_a_bridge_that_dies_or_hangs_is_started_again(service: Service, signal: str) -> None:
    service.machine.write(f"/etc/systemd/system/{UNIT.name}.d/impatient.conf", IMPATIENT)
    service.machine.run("systemctl daemon-reload")
    service.tell("restart")
    service.wait_shown("StatusText", WELL)
    service.tell(f"kill --signal={signal}")
    service.wait_shown("NRestarts", "1")
    service.wait_shown("StatusText", WELL)
    assert service.show("NRestarts") == "1"


def test_an_end_is_in_order(service: Service) -> None:
    service.client.clear()
    service.tell("stop")
    service.wait_for("offline")
    assert service.show("Result") == "success"
    assert service.show("ExecMainStatus") == "0"


def test_a_wrong_configuration_is_said_once_and_not_tried_again(service: Service) -> None:
    service.tell("stop")
    service.machine.write(f"/etc/{NAME}/config.yaml", "cameras: 5\n")
    service.machine.run(f"systemctl start {NAME} || true")
    assert service.show("ActiveState") == "failed"
    assert service.show("ExecMainStatus") == "2"
    assert service.show("NRestarts") == "0"
    said = json.loads(
        service.machine.run(f"journalctl --unit={NAME} --output=json | grep cameras: | tail -n 1")
    )
    assert said["MESSAGE"].startswith(f"/etc/{NAME}/config.yaml:1: cameras: expected")
