"""docker/Dockerfile, built and run by a real container runtime: podman and runc."""

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from bridge import __version__, jpeg
from tests.conftest import configuration
from tests.fakes.board import FakeBoard
from tests.fakes.broker import Broker
from tests.fakes.process import Process

CAPTURES = "/media/esp32cam"
# Limits as low as they are here anyhow: podman would raise them, which not every machine allows.
LIMITS = ("--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096")


class Container(Process):
    """The image as it is, read-only and without a single capability."""

    def __init__(self, podman: list[str], folder: Path) -> None:
        super().__init__("container")
        self.container = f"esp32cam-{secrets.token_hex(4)}"
        self.podman = podman
        self.folder = folder / "config"
        self.folder.mkdir(mode=0o755)
        self.captures = folder / "captures"
        self.captures.mkdir()
        os.chown(self.captures, 10001, 10001)

    def start(self) -> None:
        """Start it, on this computer's network."""
        hardened = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=all")
        volumes = (f"-v={self.folder}:/config:ro", f"-v={self.captures}:{CAPTURES}")
        self._launch(
            [*self.podman, "run", "--rm", f"--name={self.container}", "--network=host", *hardened,
             "--security-opt=no-new-privileges", *LIMITS, *volumes, "localhost/esp32cam2mqtt"],
            cwd=self.folder,
        )  # fmt: skip

    def tell(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What podman says."""
        return subprocess.run(
            [*self.podman, *arguments], capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def container(podman: list[str], tmp_path: Path) -> Iterator[Container]:
    """A container that is gone at the end."""
    container = Container(podman, tmp_path)
    yield container
    if container.alive:
        container.tell("kill", container.container)
        container.wait()


def test_a_container_takes_a_picture_is_healthy_and_ends_in_time(
    container: Container,
    own_broker: Callable[..., Broker],
    base_topic: str,
) -> None:
    broker = own_broker(users={"bridge": "secret"})
    with FakeBoard(wire="v1") as board, broker.client(subscribe=["#"]) as client:
        storage = {"path": CAPTURES, "keep": {"free": None}}
        cameras = {"door": {"url": board.url, "rotate": 90}}
        config = configuration(base_topic, broker, cameras, {"storage": storage})
        (container.folder / "config.yaml").write_text(yaml.safe_dump(config))
        container.start()
        client.wait(f"{base_topic}/bridge/state", lambda m: m.payload == b"online", timeout=30)
        client.publish(f"{base_topic}/door/capture", {"id": "one"})
        result = client.wait(f"{base_topic}/door/result")[0].json
        assert (result["status"], result["id"]) == ("ok", "one")
        picture = container.captures / Path(result["path"]).relative_to(CAPTURES)
        assert (picture.stat().st_uid, picture.stat().st_gid) == (10001, 10001)
        assert jpeg.parse(picture.read_bytes()).width == result["width"]

        healthy = container.tell("healthcheck", "run", container.container)
        assert healthy.returncode == 0, healthy.stdout + healthy.stderr
        inside = ("exec", container.container, "sh", "-c")
        assert container.tell(*inside, "id -u; cat /proc/1/comm").stdout.split() == [
            "10001",
            "esp32cam2mqtt",
        ]
        for place in ("/", "/tmp", "/config", "/opt/esp32cam2mqtt", "/run"):
            assert "Read-only" in container.tell(*inside, f"touch {place}/x").stderr
        broker.freeze()
        ill = container.tell("healthcheck", "run", container.container)
        broker.thaw()
        assert ill.returncode == 1, ill.stdout + ill.stderr

        assert container.tell("stop", "--time=5", container.container).returncode == 0
        assert container.wait() == 0, "not within 5 s of SIGTERM"
        client.wait(f"{base_topic}/bridge/state", lambda m: m.payload == b"offline")
        assert "Traceback" not in container.log


def test_the_image_has_the_package_and_nothing_to_install_with(podman: list[str]) -> None:
    run = [*podman, "run", "--rm", "--network=none", *LIMITS]
    version = subprocess.check_output([*run, "localhost/esp32cam2mqtt", "--version"], text=True)
    assert version == f"esp32cam2mqtt {__version__}\n"
    listing = [*run, "--entrypoint=ls", "localhost/esp32cam2mqtt"]
    site = "/opt/esp32cam2mqtt/lib/python3.11/site-packages"
    there = subprocess.check_output([*listing, site], text=True).split()
    assert "bridge" in there
    assert not {"pip", "setuptools", "tests"} & set(there)
    assert "libturbojpeg.so.0" in subprocess.check_output(
        [*run, "--entrypoint=ldconfig", "localhost/esp32cam2mqtt", "-p"], text=True
    )
    owner = [*run, "--entrypoint=stat", "localhost/esp32cam2mqtt", "--format=%u:%g %a", CAPTURES]
    assert subprocess.check_output(owner, text=True) == "10001:10001 750\n"


def test_the_image_says_how_it_wants_to_be_run(podman: list[str]) -> None:
    told = json.loads(subprocess.check_output([*podman, "inspect", "localhost/esp32cam2mqtt"]))[0]
    assert told["Config"]["User"] == "10001:10001"
    assert told["Config"]["Entrypoint"] == ["esp32cam2mqtt"]
    assert told["Config"]["Cmd"] == ["run"]
    assert told["Healthcheck"]["Test"] == ["CMD", "esp32cam2mqtt", "health"]
