"""docs/mqtt-cli.md and examples/mqtt-cli.sh: each line is run, and what it brings is looked at."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge import jpeg
from tests.conftest import configuration
from tests.fakes import behaviours as b
from tests.fakes.board import FakeBoard
from tests.fakes.bridge import Bridge
from tests.fakes.broker import Broker
from tests.markdown import ROOT, blocks

SCRIPT = ROOT / "examples/mqtt-cli.sh"
BASE = "esp32cam"
CAMERAS = ("front_door", "garden")


class Shell:
    """A folder, and a shell in which Mosquitto's clients know the broker."""

    def __init__(self, folder: Path, broker: Broker, boards: dict[str, FakeBoard]) -> None:
        self.folder = folder
        self.boards = boards
        options = folder / ".config"
        options.mkdir()
        for name in ("pub", "rr", "sub"):
            (options / f"mosquitto_{name}").write_text(f"-p {broker.port}\n")
        self.environment = {**os.environ, "XDG_CONFIG_HOME": str(options)}

    def run(self, text: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run it as a script."""
        text = text.replace("examples/mqtt-cli.sh", str(SCRIPT))
        return subprocess.run(
            ["sh", "-euc", text],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            errors="replace",  # a picture, where a path should be
            timeout=timeout,
            check=False,
        )

    def script(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run mqtt-cli.sh."""
        return subprocess.run(
            [SCRIPT, *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def picture(self, name: str) -> jpeg.Jpeg:
        """A picture in the folder."""
        return jpeg.parse((self.folder / name).read_bytes())

    @property
    def pictures(self) -> list[str]:
        """The names of all of them, and of what else was left there."""
        return sorted(path.name for path in self.folder.iterdir() if path.name != ".config")


@pytest.fixture(scope="module")
def street(broker: Broker) -> Iterator[dict[str, FakeBoard]]:
    """Two cameras behind the bridge, on the usual base topic."""
    with (
        FakeBoard("front_door", wire="v1") as door,
        FakeBoard("garden") as garden,
        broker.client() as client,
    ):
        boards = {"front_door": door, "garden": garden}
        config = configuration(BASE, broker, boards, {"capture": {"timeout": 3, "retries": 0}})
        with Bridge(config, client, base_topic=BASE) as bridge:
            client.subscribe(f"{BASE}/+/availability")
            for name in boards:
                client.wait(f"{BASE}/{name}/availability", lambda m: m.payload == b"online")
            client.request(f"{BASE}/front_door/capture")  # one is there already
            yield boards
            assert bridge.stop() == 0


@pytest.fixture
def shell(street: dict[str, FakeBoard], broker: Broker, tmp_path: Path) -> Iterator[Shell]:
    yield Shell(tmp_path, broker, street)
    for board in street.values():
        board.always(b.normal)


# The document

LINES = [block.text for block in blocks("docs/mqtt-cli.md", "sh")]
Check = Callable[[Shell, str], object]


def is_path(shell: Shell, output: str) -> bool:
    return jpeg.parse(Path(output.strip()).read_bytes()).width > 0


def are_results(shell: Shell, _output: str) -> bool:
    text = (shell.folder / "results.json").read_text()
    return [json.loads(line)["status"] for line in text.splitlines()] == ["ok", "ok"]


def says(*parts: str) -> Check:
    return lambda shell, output: all(part in output for part in parts)


def result(**expected: Any) -> Check:
    return lambda shell, output: expected.items() <= json.loads(output).items()


CHECKS: list[tuple[str, Check, tuple[str, str]]] = [
    ("> picture.jpg", lambda shell, _: shell.picture("picture.jpg"), ("-e ", "-i ")),
    ('"reply": "result"', result(status="ok", camera="front_door"), ("result", "results")),
    ('"reply": "path"', is_path, ('"path"', '"image"')),
    ("> small.jpg", lambda shell, _: shell.picture("small.jpg").width == 800, ("SVGA", "VGA")),
    ("> last.jpg", lambda shell, _: shell.picture("last.jpg"), ("/image", "/picture")),
    (
        "ring-1",
        lambda shell, _: json.loads((shell.folder / "result.json").read_text())["id"] == "ring-1",
        ('{"id": "ring-1"}', '{"id": "ring-2"}'),
    ),
    ("esp32cam/all/capture", are_results, ("/all/", "/al/")),
    ("timeout 3", says("esp32cam/front_door/result {"), ("+/result", "+/results")),
    (
        "bridge/health",
        says("esp32cam/front_door/availability online", '"commands_dropped":0'),
        ("/availability", "/available"),
    ),
    (
        "examples/mqtt-cli.sh picture",
        lambda shell, _: shell.pictures == ["1.jpg", "2.jpg", "3.jpg", *pictures_of_all()],
        ("burst front_door", "burst frontdoor"),
    ),
]


def pictures_of_all() -> list[str]:
    return ["door.jpg", *(f"{name}.jpg" for name in CAMERAS)]


def play(shell: Shell, mark: str, change: tuple[str, str] = ("", "")) -> bool:
    """Run the block with this mark, and say whether it did what it is for."""
    (text,) = [line for line in LINES if mark in line]
    text = text.replace("-W 90", "-W 4").replace("-W 10", "-W 3").replace("timeout 3", "timeout 2")
    if mark == "esp32cam/all/capture":
        text = text.replace("-C 1", "-C 2")
    if mark == "timeout 3":  # somebody takes a picture meanwhile
        text = f"(sleep 1; mosquitto_pub -t {BASE}/front_door/capture -m capture) &\n{text}"
    assert change[0] in text
    check = next(check for name, check, _ in CHECKS if name == mark)
    done = shell.run(text.replace(*change))
    try:
        return done.returncode == 0 and bool(check(shell, done.stdout))
    except (ValueError, OSError, KeyError):
        return False
    except Exception as exc:
        assert type(exc).__name__ == "BadImage"  # noqa: PT017
        return False


@pytest.mark.parametrize("mark", [mark for mark, _, _ in CHECKS])
def test_the_lines_of_the_document_do_what_it_says(shell: Shell, mark: str) -> None:
    assert play(shell, mark)


@pytest.mark.parametrize(("mark", "change"), [(mark, change) for mark, _, change in CHECKS])
def test_a_broken_line_is_found_out(
    shell: Shell, mark: str, change: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.environment["ESP32CAM_TIMEOUT"] = "2"
    assert not play(shell, mark, change)


def test_every_line_of_the_document_is_looked_at() -> None:
    for text in LINES:
        assert [mark for mark, _, _ in CHECKS if mark in text], text


# The script


def test_a_picture_is_of_now_and_of_nobody_else(shell: Shell) -> None:
    began = shell.boards["front_door"].clock()
    done = shell.script("picture", "front_door")
    assert done.returncode == 0, done.stderr
    picture = (shell.folder / "front_door.jpg").read_bytes()
    assert shell.boards["front_door"].exposed(picture) >= began
    assert shell.pictures == ["front_door.jpg"]


def test_an_error_is_shown_and_leaves_what_was_there(shell: Shell) -> None:
    (shell.folder / "front_door.jpg").write_bytes(b"of yesterday")
    shell.boards["front_door"].always(b.error("low_memory"))
    done = shell.script("picture", "front_door")
    assert done.returncode == 1
    assert '"error":"camera_failed"' in done.stderr
    assert (shell.folder / "front_door.jpg").read_bytes() == b"of yesterday"
    assert shell.pictures == ["front_door.jpg"]


def test_silence_is_an_error_too(shell: Shell) -> None:
    done = shell.script("picture", "shed", ESP32CAM_TIMEOUT="1")
    assert done.returncode == 1
    assert "shed: no answer in 1 s: is there such a camera, and does the bridge run?" in done.stderr
    assert shell.pictures == []


def test_a_burst_keeps_each_picture_and_shows_each_error(shell: Shell) -> None:
    shell.boards["front_door"].script(b.normal, b.error("low_memory"), b.normal)
    done = shell.script("burst", "front_door", "3", "0.2")
    assert done.returncode == 1
    assert done.stderr.count('"error":"camera_failed"') == 1
    assert shell.pictures == ["1.jpg", "3.jpg"]
    assert shell.boards["front_door"].exposed((shell.folder / "3.jpg").read_bytes()) > shell.boards[
        "front_door"
    ].exposed((shell.folder / "1.jpg").read_bytes())


def test_a_burst_that_is_refused_ends_at_once(shell: Shell) -> None:
    done = shell.script("burst", "front_door", "51", "0")
    assert done.returncode == 1
    assert '"error":"bad_request"' in done.stderr
    assert shell.pictures == []


def test_all_cameras_are_asked_and_one_that_fails_is_told(shell: Shell) -> None:
    shell.boards["garden"].always(b.not_a_jpeg)
    done = shell.script("all")
    assert done.returncode == 1
    assert "garden: {" in done.stderr
    assert shell.pictures == ["front_door.jpg"]


@pytest.mark.parametrize("command", ["watch", "loop"])
def test_watch_and_loop_go_on(shell: Shell, command: str) -> None:
    arguments = ["front_door"] if command == "watch" else ["front_door", "0.1"]
    with subprocess.Popen(
        [SCRIPT, command, *arguments],
        cwd=shell.folder,
        env=shell.environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        try:
            while command == "watch" and len(shell.pictures) < 3:  # it may not listen yet
                shell.script("picture", "front_door", "other.jpg")
            lines = [process.stderr.readline() for _ in range(2)]
            assert all(line.startswith("front_door: ./front_door-") for line in lines), lines
            assert shell.picture(lines[-1].split()[-1]).width > 0
        finally:
            os.killpg(process.pid, 15)


@pytest.mark.parametrize(
    "arguments", [(), ("picture",), ("burst", "front_door"), ("paint", "front_door"), ("loop", "x")]
)
def test_wrong_usage_is_exit_code_2_and_how_it_is_used(
    shell: Shell, arguments: tuple[str, ...]
) -> None:
    done = shell.script(*arguments)
    assert done.returncode == 2
    assert "mqtt-cli.sh picture CAMERA [FILE]" in done.stderr
