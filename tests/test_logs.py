"""The log: a line for each record, which no peer can forge."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge import logs

FORGED = "\n2026-01-01T00:00:00.000+00:00 ERROR   the bridge was hacked"
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"

Written = Callable[..., list[str]]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    """``written(style, message, *args)``: the lines that a warning of it makes."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def write(style: str, message: str, *args: object, exc_info: bool = False) -> list[str]:
        logs.set_up("info", style)
        logging.getLogger("bridge.test").warning(message, *args, exc_info=exc_info)
        lines = capsys.readouterr().err.split("\n")
        assert lines.pop() == ""
        return lines

    yield write
    root.handlers[:], root.level = handlers, level


def test_a_line_has_moment_level_and_message(written: Written) -> None:
    (line,) = written("text", "camera %s: %d bytes", "door", 5)
    assert re.fullmatch(rf"{STAMP} WARNING camera door: 5 bytes", line)


def test_a_json_line_has_them_by_name(written: Written) -> None:
    (line,) = written("json", 'Tür "%s"', "door")
    record = json.loads(line)
    assert re.fullmatch(STAMP, record.pop("time"))
    assert record == {"level": "warning", "logger": "bridge.test", "message": 'Tür "door"'}


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("sign", ["\n", "\r", "\r\n", "\v", "\f", "\x85", "\u2028", "\u2029"])
def test_a_peer_can_not_begin_a_line(written: Written, style: str, sign: str) -> None:
    lines = written(style, "the board says %s", sign + FORGED)
    assert len(lines) == 1
    assert len(lines[0].splitlines()) == 1


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("sign", ["\x1b", "\x9b", "\0", "\a", "\b", "\x7f"])
def test_a_peer_can_not_command_the_terminal(written: Written, style: str, sign: str) -> None:
    (line,) = written(style, "the board says %s", f"{sign}[2Jhello")
    assert line.isprintable()
    assert f"{ord(sign):02x}" in line


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text())
def test_whatever_is_said_is_one_line(written: Written, text: str) -> None:
    (line,) = written("text", "%s", text)
    assert len(line.splitlines()) == 1
    (line,) = written("json", "%s", text)
    assert len(line.splitlines()) == 1
    assert isinstance(json.loads(line)["message"], str)


@pytest.mark.parametrize("style", ["text", "json"])
def test_half_a_character_does_not_stop_the_log(
    written: Written, monkeypatch: pytest.MonkeyPatch, style: str
) -> None:
    # As Python sets standard error up; pytest's is stricter.
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    monkeypatch.setattr("sys.stderr", stream)
    logs.set_up("info", style)
    logging.getLogger("bridge.test").warning("%s", "\ud800")
    stream.seek(0)
    (line,) = stream.readlines()
    assert line.rstrip().endswith("\\ud800" if style == "text" else '\\ud800"}')


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_surprise_comes_with_its_traceback(written: Written, style: str) -> None:
    try:
        raise ValueError("what\n2026-11-24 a forged line")
    except ValueError:
        lines = written(style, "a surprise", exc_info=True)
    if style == "json":
        assert len(lines) == 1
        lines = json.loads(lines[0])["message"].split("\n")
    assert lines[0].endswith("a surprise")
    assert "Traceback" in lines[1]
    assert lines[-2:] == ["  | ValueError: what", "  | 2026-11-24 a forged line"]


@pytest.mark.parametrize(("level", "heard"), [("debug", 3), ("info", 2), ("error", 0)])
def test_only_what_is_wanted_is_written(
    written: Written, capsys: pytest.CaptureFixture[str], level: str, heard: int
) -> None:
    logs.set_up(level, "text")
    logger = logging.getLogger("bridge.test")
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    assert len(capsys.readouterr().err.splitlines()) == heard


def test_setting_it_up_again_does_not_double_lines(written: Written) -> None:
    for style in ("text", "json", "text"):
        assert len(written(style, "once")) == 1
