"""The virtual board: what is particular to it. What every board does is tested by the conformance.

`tests/test_board_conformance.py` drives it as it drives the firmware.
"""

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import websocket

from bridge.demo.board import VirtualBoard
from bridge.errors import ConfigError
from tests.fakes.boards import played
from tests.fakes.wire import TIMEOUT, connected, picture, talking

ROOT = Path(__file__).parents[1]


def test_it_can_be_a_board_with_the_original_sketch() -> None:
    with played(legacy_only=True) as old, connected(old.url, "/v1") as client:
        client.send('{"cmd":"status"}')
        client.send("capture")
        picture(client)


@pytest.mark.parametrize("error", ["camera_failed", "no_fresh_frame", "busy", "low_memory"])
def test_it_fails_as_it_was_told(error: str) -> None:
    with played() as board, talking(board.url) as v1:
        board.device.fail(error)
        answer = v1.ask("capture", id="c1")
        assert (answer["type"], answer["id"], answer["error"]) == ("error", "c1", error)
        assert answer["retry_after_ms"] > 0
        v1.capture(id="c2")
        assert v1.ask("status")["failures"] == 1


def test_it_is_named_as_it_was_told() -> None:
    with played(name="  back\nyard ") as board, talking(board.url) as v1:
        assert v1.hello["name"] == "back yard"


def test_a_port_that_is_taken_is_named() -> None:
    with played() as there:
        port = int(there.url.rsplit(":", 1)[1])
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1"), played(port=port):
            pass


@pytest.mark.parametrize(
    ("options", "named"), [({"framesize": "HUGE"}, "framesize"), ({"key": "k"}, "key")]
)
def test_wrong_options_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        VirtualBoard(legacy_only=True, **options)


def test_alone_it_says_how_to_ask_it_and_ends_when_told() -> None:
    command = [sys.executable, "-m", "bridge.demo.board", "--port", "0", "--framesize", "QVGA"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(3)]
        url = re.findall(r"ws://[\d.:]+", said[0])[0].rstrip(":")
        assert f"esp32cam2mqtt capture {url} -o picture.jpg" in said[1]
        client = websocket.create_connection(url, timeout=TIMEOUT)
        client.send("capture")
        picture(client)
        client.shutdown()  # type: ignore[no-untyped-call]
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize("missing", ["websockets", "PIL"])
def test_a_missing_extra_says_what_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; import bridge.demo.board"
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode != 0
    assert "pip install 'esp32cam2mqtt[demo]'" in said.stderr
    assert missing in said.stderr.splitlines()[-1]
