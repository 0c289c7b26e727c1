"""The demo with the firmware as its board, and without it."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge import jpeg
from bridge.demo.simulator import SimulatedBoard, find
from bridge.errors import ConfigError
from tests.fakes.simulator import program
from tests.fakes.wire import stamp, talking

ROOT = Path(__file__).parents[1]


@pytest.fixture(params=["firmware", "virtual"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which board the demo has."""
    monkeypatch.setenv("ESP32CAM_SIM", str(program()) if request.param == "firmware" else "")
    return str(request.param)


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demo, and no other at the same time: two that begin at once both want port 1883."""
    with (Path(tempfile.gettempdir()) / "esp32cam2mqtt-demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(
            [sys.executable, "-m", "bridge", "demo", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def heard(process: subprocess.Popen[str], until: str) -> str:
    """What it says up to the line with these words."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if until in line:
            return said
    raise AssertionError(f"no {until!r} in {said}")


def simulators(pid: int) -> list[int]:
    """Which of a process's children are the firmware."""
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [child for child in children if _name(child) == "esp32cam-sim"]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def ended(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_demo_says_which_board_it_has_and_ends_after_its_first_picture(
    kind: str, tmp_path: Path
) -> None:
    with demo(tmp_path, "--once", "--json") as process:
        out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    result = json.loads(out)
    picture = Path(result["path"]).read_bytes()
    assert tmp_path in Path(result["path"]).parents
    assert (jpeg.parse(picture).width, len(picture)) == (1600, result["bytes"])
    assert ("the firmware itself, as a program" in said) == (kind == "firmware")
    assert (", virtual;" in said) == (kind == "virtual")
    assert stamp(picture).flash is False


def test_the_demo_prints_what_to_try_and_runs_until_it_is_stopped(
    kind: str, tmp_path: Path
) -> None:
    with demo(tmp_path) as process:
        said = heard(process, "Ctrl-C")
        programs = simulators(process.pid)
        assert len(programs) == (kind == "firmware")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said += process.stderr.read()
        assert process.wait(10) == 0
    assert "mosquitto_pub -h 127.0.0.1" in said
    assert "Traceback" not in said
    assert all(map(ended, programs))


def test_the_firmware_ends_with_the_demo_even_if_that_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ESP32CAM_SIM", str(program()))
    with demo(tmp_path) as process:
        heard(process, "Ctrl-C")
        [simulator] = simulators(process.pid)
        process.kill()
        process.wait(10)
        deadline = time.monotonic() + 10
        while not ended(simulator):
            assert time.monotonic() < deadline


def test_it_can_be_told_where_the_program_is_and_to_do_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ESP32CAM_SIM", str(tmp_path / "sim"))
    assert find() == tmp_path / "sim"
    monkeypatch.setenv("ESP32CAM_SIM", "")
    assert find() is None


@pytest.mark.parametrize("script", ["exit 3", "echo hello", "echo '{}'", None])
def test_a_program_that_is_none_is_a_named_fault(script: str | None, tmp_path: Path) -> None:
    fake = tmp_path / "sim"
    if script is not None:
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)

    async def start() -> None:
        with pytest.raises(ConfigError, match=f"{fake}"):
            await SimulatedBoard(fake).start()

    asyncio.run(start())


def test_the_program_is_a_board_until_it_is_stopped() -> None:
    async def play() -> None:
        board = SimulatedBoard(program())
        await board.start()
        try:
            await asyncio.to_thread(ask, board.url)
        finally:
            await board.stop()
        with pytest.raises(OSError, match="refused"):
            await asyncio.to_thread(ask, board.url)

    def ask(url: str) -> None:
        with talking(url) as v1:
            v1.capture(framesize="QVGA")

    asyncio.run(play())
