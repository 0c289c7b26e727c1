"""docker/compose.yaml: its services, run by podman with the options that stand there.

What a Docker engine would add is played by hand: the order of the start, the names of services
(all are in one network namespace), and images from a registry (Mosquitto is Debian's).
"""

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, AnyStr

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
        return self._client("rr", user, "-V", "5", "-e", f"esp32cam-reply/{user}/x", *arguments)

    def see(self, user: str, topic: str) -> subprocess.CompletedProcess[bytes]:
        """What is retained on the topic."""
        return self._client("sub", user, "-t", topic, "-C", "1", "-N")

    def until(
        self, name: str, question: Callable[[], subprocess.CompletedProcess[AnyStr]]
    ) -> subprocess.CompletedProcess[AnyStr]:
        """Ask until it goes well, for a minute, as long as the service lives."""
        deadline = time.monotonic() + 60
        while (done := question()).returncode != 0:
            alive = self.tell("inspect", "--format={{.State.Running}}", self.container(name))
            story = (done.stderr, self.tell("logs", self.container(name)).stderr)
            assert alive.stdout.strip() == "true", story
            assert time.monotonic() < deadline, story
        return done

    def _client(self, kind: str, user: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        password = (self.docker / f"passwords/{user}/password").read_text()
        return subprocess.run(
            [*self.inside, f"mosquitto_{kind}", "-u", user, "-P", password, "-W", "15", *arguments],
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip

    def volumes(self, service: dict[str, Any]) -> list[str]:
        """Its volumes, as options of podman's."""
        options = []
        for volume in service["volumes"]:
            source, _, rest = volume.partition(":")
            if source.startswith("./"):
                source = str(self.docker / source)
                os.makedirs(source, exist_ok=True)  # as Docker does
            else:
                source = f"{self._mark}-{source}"
            options.append(f"--volume={source}:{rest}")
        return options

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
        options += self.volumes(service)
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
    mosquitto, bridge = house.container("mosquitto"), house.container("bridge")
    users = re.findall("^user (.+)$", (ROOT / "docker/mosquitto/acl").read_text(), re.M)
    for user in users:
        file = house.docker / f"passwords/{user}/password"
        assert len(file.read_text()) == 24
        assert file.stat().st_mode & 0o077 == 0
    house.run("mosquitto", wait=False)
    check = COMPOSE["services"]["mosquitto"]["healthcheck"]["test"][1].replace("$$", "$")
    house.until("mosquitto", lambda: house.tell("exec", mosquitto, "sh", "-c", check))
    hashed = house.tell("exec", mosquitto, "cat", "/mosquitto/config/passwords").stdout
    assert re.findall(r"(?m)^(\w+):\$[67]\$", hashed) == users
    house.run("bridge", wait=False)
    capture = ("-t", "esp32cam/front_door/capture")
    picture = house.until("bridge", lambda: house.ask("nodered", *capture, "-n")).stdout
    assert jpeg.parse(picture.removesuffix(b"\n")).width > 0
    path = house.ask("nodered", *capture, "-m", '{"reply": "path"}').stdout.decode().strip()
    node_red = COMPOSE["services"]["node-red"]
    saved = subprocess.check_output(
        [*house.podman, "run", "--rm", "--network=none", *LIMITS, "--user=1000:1000",
         *(f"--group-add={group}" for group in node_red["group_add"]), *house.volumes(node_red),
         "--entrypoint=cat", "localhost/esp32cam2mqtt", path]
    )  # fmt: skip
    assert jpeg.parse(saved).width > 0
    line = next(
        line for line in (ROOT / "docker/compose.yaml").read_text().splitlines() if " exec " in line
    )
    command = line.partition("bridge ")[2].partition(" >")[0].split()
    taken = subprocess.run(
        [*house.podman, "exec", bridge, *command], capture_output=True, timeout=60, check=True
    )
    assert jpeg.parse(taken.stdout).width > 0
    for container in (bridge, mosquitto):
        assert house.tell("stop", "--time=15", container).returncode == 0
        code = house.tell("inspect", "--format={{.State.ExitCode}}", container)
        assert code.stdout.strip() == "0"
    assert house.tell("start", mosquitto).returncode == 0
    kept = house.until("mosquitto", lambda: house.see("viewer", "esp32cam/front_door/image"))
    assert kept.stdout == saved
