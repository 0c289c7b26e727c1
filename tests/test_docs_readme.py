"""The README, followed to the letter: its commands run, and it shows what they print."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge import jpeg
from tests.fakes.board import FakeBoard
from tests.fakes.broker import Broker, Client
from tests.fakes.process import Process
from tests.markdown import ROOT, Block, blocks
from tests.test_demo_simulator import demo, heard

HOME = "/home/you/esp32cam2mqtt"
BOARD = "192.0.2.10:81"
_PROGRAM = re.compile(r"^\.venv/bin/esp32cam2mqtt")

DEMO = [block for block in blocks("README.md") if block.heading == "From nothing to a picture"]
OWN = [block for block in blocks("README.md") if block.heading == "With a board of your own"]


def alike(text: str, folder: Path | str) -> str:
    """The text with a mark for each folder and number: what differs from one run to the next."""
    text = text.replace(str(folder), "~").strip()
    return re.sub(r"\d[\d:.T+Z-]*", "N", text)


def shown(lines: list[Block], language: str, word: str = "") -> str:
    """The one block in this language with this word."""
    (block,) = [b for b in lines if b.language == language and word in b.text]
    return block.text


def test_the_demo_prints_what_the_readme_shows_and_answers_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESP32CAM_SIM", "")
    with demo(tmp_path) as process:
        said = heard(process, "Ctrl-C")
        there = re.search(r"on 127\.0\.0\.1:(\d+)", said)
        assert there is not None
        said = said.replace(f" -p {there[1]}", "")
        assert alike(said, tmp_path) == alike(shown(DEMO, "text"), HOME)
        (ask,) = [b.text for b in DEMO if "mosquitto_rr" in b.text]
        line = ask.replace("mosquitto_rr", f"mosquitto_rr -p {there[1]} -W 20")
        subprocess.run(line, shell=True, cwd=tmp_path, check=True, timeout=30)
    assert jpeg.parse((tmp_path / "picture.jpg").read_bytes()).width == 1600


def test_every_step_with_a_board_of_ones_own_does_what_the_readme_shows(house: "House") -> None:
    commands = [command for block in OWN for command in block.commands if block.language == "sh"]
    capture, check, run, ask, listen, tell = commands
    config = shown(OWN, "yaml").replace("host: localhost", f"host: localhost\n  port: {house.port}")
    (house.folder / "config.yaml").write_text(config.replace(BOARD, house.board))
    assert house.run(capture) == alike(shown(OWN, "text", "door.jpg"), HOME)
    assert house.run(check) == alike(shown(OWN, "text", "config.yaml: ok"), HOME)
    house.bridge(run)
    log = alike("\n".join(house.lines), house.folder)
    expected = shown(OWN, "text", "INFO")
    told = expected.replace("localhost:1883", f"localhost:{house.port}")
    assert sorted(log.splitlines()) == sorted(alike(told, HOME).splitlines())
    answer, example = json.loads(house.output(ask)), json.loads(shown(OWN, "json"))
    assert list(answer) == list(example)
    same = ("id", "camera", "status", "trigger", "bytes", "width", "height", "saved", "attempts")
    assert [answer[key] for key in same] == [example[key] for key in same]
    assert alike(answer["path"], house.folder) == alike(example["path"], HOME)
    with Client(house.port, subscribe=[shlex.split(listen)[-1]]) as client:
        house.output(tell)
        client.wait("esp32cam/front_door/result")


class House(Process):
    """A folder, a broker, and a board of the size that the README's has."""

    def __init__(self, folder: Path, broker: Broker, board: FakeBoard) -> None:
        super().__init__("bridge")
        self.folder = folder
        self.port = broker.port
        self.board = board.url.removeprefix("ws://")
        clients = folder / "clients"  # in which Mosquitto's look for options
        clients.mkdir()
        for name in ("pub", "rr", "sub"):
            (clients / f"mosquitto_{name}").write_text(f"-p {broker.port}\n")
        self._environment = {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(clients)}

    def _arguments(self, command: str) -> list[str]:
        line = _PROGRAM.sub(f"{sys.executable} -m bridge", command)
        return shlex.split(line.replace(BOARD, self.board))

    def output(self, command: str) -> str:
        """Run a command as it stands in the README; what it prints."""
        done = subprocess.run(
            self._arguments(command),
            cwd=self.folder,
            env={**os.environ, **self._environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def run(self, command: str) -> str:
        """The same, without what differs from run to run."""
        return alike(self.output(command), self.folder)

    def bridge(self, command: str) -> None:
        """Start what goes on running, and wait until the camera is connected."""
        self._launch(self._arguments(command), cwd=self.folder, env=self._environment)
        self.wait_for_log("mqtt: connected")
        self.wait_for_log("front_door: connected")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with Broker() as broker, FakeBoard(framesize="UXGA", size=84123) as board:
        made = House(tmp_path, broker, board)
        yield made
        if made.alive:
            assert made.stop() == 0
