"""The command line, as somebody types it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge import __version__, jpeg
from tests.fakes import behaviours
from tests.fakes.board import FakeBoard
from tests.fakes.broker import Broker

ROOT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command line in a folder of its own."""

    def run(*arguments: str, timeout: float = 30) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "bridge", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a config.yaml."""

    def write(text: str | None = None, **document: Any) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text if text is not None else yaml.safe_dump(document))
        return path

    return write


def test_the_version_and_the_help_go_to_standard_output(run: Run) -> None:
    version = run("--version")
    assert (version.returncode, version.stdout.decode()) == (0, f"esp32cam2mqtt {__version__}\n")
    text = run("--help")
    assert text.returncode == 0
    assert b"examples:" in text.stdout
    for command in (b"run", b"check", b"capture", b"demo"):
        assert command in text.stdout


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("capture",), ("run", "--nonsense"), ("capture", "http://192.0.2.1")],
)
def test_wrong_usage_is_exit_code_2_and_a_sentence(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr != b""
    assert b"Traceback" not in done.stderr


def test_without_a_configuration_run_says_what_to_do(run: Run) -> None:
    done = run()
    assert done.returncode == 2
    assert b"config.yaml" in done.stderr
    assert b"Traceback" not in done.stderr


def test_check_tells_every_fault_at_once(run: Run, write: Callable[..., Path]) -> None:
    write("mqtt:\n  prot: 1883\ncameras:\n  door:\n    url: http://192.0.2.1\n")
    done = run("check")
    assert done.returncode == 2
    text = done.stderr.decode()
    assert "config.yaml:2: " in text
    assert "config.yaml:5: " in text
    as_json = run("--json", "check")
    assert json.loads(as_json.stdout)["problems"] == text.splitlines()


def test_check_says_that_all_is_right_to_people(run: Run, write: Callable[..., Path]) -> None:
    write(cameras={"door": "ws://192.0.2.1:81"})
    done = run("check")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr == b"config.yaml: ok, 1 camera\n"


def test_check_prints_the_schema(run: Run) -> None:
    assert json.loads(run("check", "--schema").stdout)["type"] == "object"


def test_check_connect_tries_the_broker_and_every_board(
    run: Run, write: Callable[..., Path], broker: Broker
) -> None:
    with FakeBoard() as door, FakeBoard() as garden:
        gone = garden.url
        garden.pause()
        write(
            mqtt={"host": "127.0.0.1", "port": broker.port},
            cameras={"door": {"url": door.url}, "garden": {"url": gone}},
        )
        done = run("check", "--connect", "--json")
        report = json.loads(done.stdout)
        assert done.returncode == 1
        assert report["connected"]["broker"] == "ok"
        assert report["connected"]["door"] == "ok"
        assert report["connected"]["garden"].startswith("unreachable: ")
        assert door.texts == []


def test_capture_writes_one_picture_without_a_broker(run: Run, tmp_path: Path) -> None:
    with FakeBoard() as board:
        done = run("capture", board.url, "-o", "door.jpg")
        assert done.returncode == 0, done.stderr
        assert done.stdout == b""
        picture = (tmp_path / "door.jpg").read_bytes()
        assert jpeg.parse(picture).data == picture
        assert f"{len(picture)} bytes".encode() in done.stderr
        assert board.texts == ["capture"]
        assert [path.name for path in tmp_path.iterdir()] == ["door.jpg"]


def test_capture_by_name_takes_the_configuration(
    run: Run, write: Callable[..., Path], tmp_path: Path
) -> None:
    with FakeBoard(wire="v1", key="secret") as board:
        write(cameras={"door": {"url": board.url, "key": "secret"}})
        done = run("capture", "door", "--json", "--framesize", "SVGA")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["path"] == str(tmp_path / "door.jpg")
        assert (result["trigger"], result["status"], result["saved"]) == ("cli", "ok", True)


def test_capture_writes_to_standard_output(run: Run) -> None:
    with FakeBoard() as board:
        done = run("capture", board.url, "-o", "-")
        assert jpeg.parse(done.stdout).width > 0


def test_result_and_picture_do_not_both_go_to_standard_output(run: Run) -> None:
    done = run("capture", "ws://192.0.2.1", "--json", "-o", "-")
    assert done.returncode == 2
    assert json.loads(done.stdout)["problems"] == ["--json and -o - both want standard output"]


def test_a_failed_capture_is_exit_code_1_and_the_same_result(run: Run, tmp_path: Path) -> None:
    with FakeBoard() as board:
        board.always(behaviours.not_a_jpeg)
        done = run("--json", "capture", board.url, "-o", "door.jpg")
        assert done.returncode == 1
        result = json.loads(done.stdout)
        assert (result["status"], result["error"], result["attempts"]) == ("error", "bad_image", 2)
        assert list(tmp_path.iterdir()) == []
        plain = run("capture", board.url)
        assert plain.returncode == 1
        assert b"bad_image" in plain.stderr
        assert b"Traceback" not in plain.stderr


def test_a_camera_that_is_not_configured_is_wrong_usage(
    run: Run, write: Callable[..., Path]
) -> None:
    write(cameras={"door": "ws://192.0.2.1:81"})
    done = run("capture", "dor")
    assert done.returncode == 2
    assert b"dor: unknown_camera: " in done.stderr
    assert b"door" in done.stderr
    as_json = run("capture", "dor", "--json")
    assert as_json.returncode == 2
    assert json.loads(as_json.stdout)["error"] == "unknown_camera"


@pytest.mark.parametrize("option", [("--quality", "3"), ("--timeout", "0"), ("--framesize", "x")])
def test_a_capture_option_out_of_range_is_wrong_usage(run: Run, option: tuple[str, str]) -> None:
    done = run("capture", "ws://192.0.2.1", *option)
    assert done.returncode == 2
    assert option[0].encode() in done.stderr


def test_a_place_that_cannot_be_written_to_is_a_named_failure(run: Run) -> None:
    with FakeBoard() as board:
        done = run("capture", board.url, "-o", "missing/door.jpg", "--json")
        assert done.returncode == 1
        assert json.loads(done.stdout)["error"] == "storage_failed"
