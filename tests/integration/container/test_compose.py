"""docker/compose.yaml: its services, run by podman with the options that stand there.

What a Docker engine would add is played by hand: the order of the start, the names of services
(all are in one network namespace), and images from a registry (Mosquitto is Debian's).
"""

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge import jpeg
from tests.fakes.process import Process
from tests.integration.container.test_image import LIMITS

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
IMAGES = {
    "eclipse-mosquitto:2.0": "localhost/mosquitto",
    "esp32cam2mqtt": "localhost/esp32cam2mqtt",
}
MOSQUITTO = """\
FROM localhost/base
RUN apt-get update && apt-get install --yes --no-install-recommends mosquitto mosquitto-clients
"""


class House(Process):
    """A network of its own with a board in it, a copy of docker/, and containers."""

    def __init__(self, podman: list[str], folder: Path) -> None:
        super().__init__("board")
        self.podman = podman
        self._mark = f"house-{secrets.token_hex(4)}"
        self.docker = folder / "docker"
        subprocess.run(["cp", "-r", ROOT / "docker", folder], check=True)
        config = self.docker / "config/config.yaml"
        config.write_text(config.read_text().replace("192.0.2.10:81", "127.0.0.1:81"))
        self._ip("netns", "add", self._mark)
        self._ip("-n", self._mark, "link", "set", "lo", "up")
        board = [sys.executable, "-m", "bridge", "demo", "--board-only", "--port", "81"]
        self._launch([*self.inside, *board], cwd=ROOT, env={"PYTHONUNBUFFERED": "1"})
        self.wait_for_log("ws://")

    @property
    def inside(self) -> list[str]:
        """What puts a program into the network."""
        return ["ip", "netns", "exec", self._mark]

    def container(self, name: str) -> str:
        """What the service's container is called."""
        return f"{self._mark}-{name}"

    def run(self, name: str, *, wait: bool) -> None:
        """Start a service; if it is to be waited for, until it has ended well."""
        detach = [] if wait else ["--detach"]
        done = self.tell("run", *detach, f"--name={self.container(name)}", *self._options(name))
        assert done.returncode == 0, done.stderr + self.tell("logs", self.container(name)).stderr

    def tell(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What podman says."""
        return subprocess.run(
            [*self.podman, *arguments], capture_output=True, text=True, timeout=60, check=False
        )

    def close(self) -> None:
        """Leave nothing behind."""
        for name in COMPOSE["services"]:
            self.tell("rm", "--force", "--time=5", self.container(name))
        for volume in COMPOSE["volumes"]:
            self.tell("volume", "rm", "--force", f"{self._mark}-{volume}")
        self.stop()
        self._ip("netns", "del", self._mark)

    def ask(self, user: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """A request by one of Mosquitto's clients: a picture comes back."""
        password = (self.docker / f"passwords/{user}/password").read_text()
        return subprocess.run(
            [*self.inside, "mosquitto_rr", "-V", "5", "-u", user, "-P", password, "-W", "15",
             "-e", f"esp32cam-reply/{user}/x", *arguments],
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip

    def _options(self, name: str) -> list[str]:
        service: dict[str, Any] = COMPOSE["services"][name]
        known = {
            "image", "build", "entrypoint", "command", "user", "network_mode", "read_only",
            "cap_drop", "cap_add", "security_opt", "volumes", "restart", "depends_on", "ports",
            "healthcheck", "stop_grace_period", "tmpfs",
        }  # fmt: skip
        assert service.keys() <= known, "an option that this test does not know"
        options = [*LIMITS]
        if service.get("network_mode") == "none":
            options += ["--network=none"]
        else:
            options += [f"--network=ns:/run/netns/{self._mark}", "--add-host=mosquitto:127.0.0.1"]
        if service.get("read_only"):
            options += ["--read-only", "--read-only-tmpfs=false"]
        options += [f"--user={service['user']}"] if "user" in service else []
        options += [f"--cap-drop={name}" for name in service.get("cap_drop", ())]
        options += [f"--cap-add={name}" for name in service.get("cap_add", ())]
        options += [
            f"--security-opt={what}".replace(":true", "") for what in service["security_opt"]
        ]
        options += [f"--tmpfs={place}" for place in service.get("tmpfs", ())]
        for volume in service["volumes"]:
            source, _, rest = volume.partition(":")
            if source.startswith("./"):
                source = str(self.docker / source)
                os.makedirs(source, exist_ok=True)  # as Docker does
            else:
                source = f"{self._mark}-{source}"
            options.append(f"--volume={source}:{rest}")
        entrypoint, *arguments = [*service.get("entrypoint", ()), *service.get("command", ())] or [
            ""
        ]
        options += [f"--entrypoint={entrypoint}"] if entrypoint else []
        return [*options, IMAGES[service["image"]], *arguments]

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)


@pytest.fixture(scope="module")
def mosquitto(podman: list[str]) -> None:
    """An image like the one that compose.yaml names."""
    subprocess.run(
        [*podman[:-1], "build", "--quiet", "--isolation=chroot", "--network=host", "--pull=never",
         "--tag=localhost/mosquitto", "-"],
        input=MOSQUITTO, text=True, check=True, capture_output=True, timeout=300,
    )  # fmt: skip


@pytest.fixture
def house(podman: list[str], mosquitto: None, tmp_path: Path) -> Iterator[House]:
    """A house that is gone at the end."""
    house = House(podman, tmp_path)
    yield house
    house.close()


def test_the_first_start_makes_passwords_and_the_house_takes_a_picture(house: House) -> None:
    for _ in range(2):  # the second time nothing is made anew
        house.run("passwords", wait=True)
        made = house.tell("logs", house.container("passwords")).stdout
        house.tell("rm", house.container("passwords"))
    assert "a new password" not in made
    users = re.findall("^user (.+)$", (ROOT / "docker/mosquitto/acl").read_text(), re.M)
    for user in users:
        file = house.docker / f"passwords/{user}/password"
        assert len(file.read_text()) == 24
        assert file.stat().st_mode & 0o077 == 0
    house.run("mosquitto", wait=False)
    check = COMPOSE["services"]["mosquitto"]["healthcheck"]["test"][1].replace("$$", "$")
    while house.tell("exec", house.container("mosquitto"), "sh", "-c", check).returncode != 0:
        alive = house.tell("inspect", "--format={{.State.Running}}", house.container("mosquitto"))
        assert alive.stdout.strip() == "true", house.tell("logs", house.container("mosquitto"))
    hashes = house.tell("exec", house.container("mosquitto"), "cat", "/mosquitto/config/passwords")
    assert [line.partition(":$7$")[0] for line in hashes.stdout.splitlines()] == users
    house.run("bridge", wait=False)
    while (done := house.ask("nodered", "-t", "esp32cam/front_door/capture", "-n")).returncode != 0:
        alive = house.tell("inspect", "--format={{.State.Running}}", house.container("bridge"))
        assert alive.stdout.strip() == "true", house.tell("logs", house.container("bridge")).stderr
    assert jpeg.parse(done.stdout.removesuffix(b"\n")).width > 0
    told = house.ask("nodered", "-t", "esp32cam/front_door/capture", "-m", '{"reply": "result"}')
    assert json.loads(told.stdout)["saved"]
    line = next(
        line for line in (ROOT / "docker/compose.yaml").read_text().splitlines() if " exec " in line
    )
    command = line.partition("bridge ")[2].partition(" >")[0].split()
    taken = subprocess.run(
        [*house.podman, "exec", house.container("bridge"), *command],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert jpeg.parse(taken.stdout).width > 0
    assert house.tell("stop", "--time=15", house.container("bridge")).returncode == 0
    code = house.tell("inspect", "--format={{.State.ExitCode}}", house.container("bridge"))
    assert code.stdout.strip() == "0"
