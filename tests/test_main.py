"""The command line, as somebody types it."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge import __version__, jpeg
from bridge.commands.hints import BROKER, hint
from bridge.errors import BadRequest, BridgeError, Expired, ShuttingDown, TooLarge
from tests.fakes import behaviours
from tests.fakes.board import Behaviour, FakeBoard
from tests.fakes.bridge import ROOT
from tests.fakes.bridge import run as run_bridge
from tests.fakes.broker import Broker

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command line in a folder of its own."""

    return partial(run_bridge, tmp_path)


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
        assert report["broker"] == "ok"
        assert report["connected"]["door"] == "ok"
        assert report["connected"]["garden"].startswith("unreachable: ")
        assert door.texts == []


def test_check_connect_says_who_is_not_there_and_what_to_try(
    run: Run, write: Callable[..., Path]
) -> None:
    cameras = {"door": "ws://127.0.0.1:2", "garden": "ws://127.0.0.1:3"}
    write(mqtt={"host": "127.0.0.1", "port": 1}, cameras=cameras)
    done = run("check", "--connect")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "config.yaml: ok, 2 cameras",
        "  broker: 127.0.0.1:1: Connection refused",
        "  door: unreachable: 127.0.0.1:2: the connection was refused",
        "  garden: unreachable: 127.0.0.1:3: the connection was refused",
        BROKER,
        hint("unreachable"),
    ]


def test_check_connect_to_a_broker_that_wants_a_password_names_the_options(
    run: Run, write: Callable[..., Path], own_broker: Callable[..., Broker]
) -> None:
    port = own_broker(users={"house": "sesame"}).port
    with FakeBoard() as board:
        write(mqtt={"host": "127.0.0.1", "port": port}, cameras={"door": board.url})
        done = run("check", "--connect")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[1:] == [
        f"  broker: 127.0.0.1:{port}: the broker refuses us: Not authorized: "
        "check mqtt.username and mqtt.password",
        "  door: ok",
    ]


def test_a_camera_called_broker_does_not_pass_for_the_broker(
    run: Run, write: Callable[..., Path]
) -> None:
    with FakeBoard() as board:
        write(mqtt={"host": "127.0.0.1", "port": 1}, cameras={"broker": board.url})
        done = run("check", "--connect", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["connected"]) == (1, {"broker": "ok"})
    assert report["broker"] == "127.0.0.1:1: Connection refused"


def test_check_and_health_do_not_throw_out_a_bridge_whatever_its_client_id(
    run: Run, write: Callable[..., Path], broker: Broker
) -> None:
    id_ = "x" * 60
    mqtt = {"host": "127.0.0.1", "port": broker.port, "client_id": id_, "base_topic": "nobody"}
    with FakeBoard() as board, broker.client(client_id=id_) as bridge:
        write(mqtt=mqtt, cameras={"door": board.url})
        assert run("check", "--connect").returncode == 0
        assert b"has nothing on" in run("health").stderr
        assert bridge.connections == 1


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


@pytest.mark.parametrize("arguments", [("-o", "-"), ("--json",)])
def test_a_reader_that_has_gone_is_a_failure_without_a_traceback(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    nobody, end = os.pipe()
    os.close(nobody)
    with FakeBoard() as board, os.fdopen(end, "wb") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "bridge", "capture", board.url, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=gone,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"ignored" not in done.stderr


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


def test_several_pictures_are_numbered_so_that_they_sort(run: Run, tmp_path: Path) -> None:
    with FakeBoard() as board:
        done = run("capture", board.url, "-o", "door.jpg", "--count", "10", "--json")
        assert done.returncode == 0, done.stderr
        results = [json.loads(line) for line in done.stdout.splitlines()]
        assert [result["index"] for result in results] == [*range(1, 11)]
        paths = [str(tmp_path / f"door-{index:02}.jpg") for index in range(1, 11)]
        assert [result["path"] for result in results] == paths
        assert len({Path(path).read_bytes() for path in paths}) == 10
        assert board.connections == 1


def test_pictures_come_no_sooner_than_was_said(run: Run) -> None:
    with FakeBoard() as board:
        done = run("capture", board.url, "--count", "3", "--every", "0.5", "--json")
        first, *_, last = (json.loads(line) for line in done.stdout.splitlines())
        asked = [datetime.fromisoformat(result["requested_at"]) for result in (first, last)]
        assert (asked[1] - asked[0]).total_seconds() >= 0.999  # they are told in milliseconds


def test_one_failure_of_several_does_not_end_the_others(run: Run, tmp_path: Path) -> None:
    with FakeBoard() as board:
        board.script(behaviours.normal, behaviours.not_a_jpeg, behaviours.not_a_jpeg)
        done = run("capture", board.url, "-o", "door.jpg", "--count", "3")
        assert done.returncode == 1
        assert {path.name for path in tmp_path.iterdir()} == {"door-1.jpg", "door-3.jpg"}


def test_standard_output_takes_one_picture(run: Run) -> None:
    done = run("capture", "ws://192.0.2.1", "-o", "-", "--count", "2")
    assert done.returncode == 2
    assert b"--count and -o -: standard output takes one picture" in done.stderr


@pytest.mark.parametrize(
    ("behaviour", "code", "what_to_try"),
    [
        (behaviours.not_a_jpeg, "bad_image", "nearer to the access point"),
        (behaviours.silent, "timeout", "--timeout 30"),
        (behaviours.close(1011), "camera_failed", "5 V and 2 A"),
        (behaviours.slots_full, "unreachable", "esp32cam2mqtt find"),
        (behaviours.http("401 Unauthorized"), "unauthorized", "key in config.yaml"),
    ],
)
def test_an_error_says_what_to_try_next(
    run: Run, behaviour: Behaviour, code: str, what_to_try: str
) -> None:
    with FakeBoard() as board:
        board.always(behaviour)
        failed, hint = run("capture", board.url, "--timeout", "3").stderr.decode().splitlines()
    assert f"picture: {code}: " in failed
    assert hint.startswith("  try")
    assert what_to_try in hint


def test_every_error_of_a_board_has_a_hint() -> None:
    elsewhere = (Expired, TooLarge, ShuttingDown, BadRequest)  # of queues, brokers, bridges
    for kind in BridgeError.__subclasses__():
        assert kind in elsewhere or hint(kind.code)


def test_at_a_terminal_a_slow_picture_shows_how_far_it_is(tmp_path: Path) -> None:
    go = threading.Event()
    terminal, other_end = os.openpty()
    with FakeBoard() as board, os.fdopen(terminal, "rb", buffering=0) as screen:
        board.script(behaviours.late(go))
        with subprocess.Popen(
            [sys.executable, "-m", "bridge", "capture", board.url, "-o", "door.jpg"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=other_end,
        ) as process:
            os.close(other_end)
            shown = b""
            while b"picture: asked, no answer yet, " not in shown:
                shown += screen.read(1000)
            go.set()
            with contextlib.suppress(OSError):  # Linux' way to say that the other end is closed
                while more := screen.read(1000):
                    shown += more
        assert process.returncode == 0
    last = shown.rpartition(b"\x1b[K")[2].decode()
    assert last.startswith(f"{tmp_path}/door.jpg: ")
