"""Hostile configuration: each file ends in sentences with file and line, in bounded time and size.

`check` runs as a process that the system would end if it took more than 256 MiB of address space,
where a good file takes 60, or more than ten seconds of processor time.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

GOOD = "cameras: {door: 'ws://192.0.2.10'}\n"

_BOUNDED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
from bridge.__main__ import main
main()
"""

Check = Callable[..., list[str]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """``check(content)``: the problems that are told of a config.yaml of that content."""

    def check(content: str | bytes, *, code: int = 2) -> list[str]:
        path = tmp_path / "config.yaml"
        if not path.exists():
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        done = subprocess.run(
            [sys.executable, "-c", _BOUNDED, "check", "-c", str(path)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
        told = done.stderr.decode()  # strictly: what is no text must not get to a terminal
        assert done.returncode == code, told[:2_000]
        assert "Traceback" not in told
        assert not done.stdout
        lines = told.removesuffix("\n").split("\n")
        assert all(line.isprintable() for line in lines)
        assert all(line.startswith(str(tmp_path)) for line in lines)
        assert len(told) < 50_000
        return lines

    return check


def laughs(levels: int, width: int = 10, *, merge: bool = False) -> str:
    """Aliases of aliases: ``width ** levels`` values in as many lines as there are levels."""
    lines = ["a0: &a0 {x: lol}" if merge else "a0: &a0 [lol]"]
    for level in range(levels):
        parts = ", ".join([f"*a{level}"] * width)
        lines.append(
            f"a{level + 1}: &a{level + 1} " + (f"{{<<: [{parts}]}}" if merge else f"[{parts}]")
        )
    return "\n".join([*lines, ""])


NAMED: dict[str, tuple[str | bytes, str]] = {
    "a billion laughs": (laughs(9), r":\d+: .*more than 100000 values"),
    "laughs of merge keys": (laughs(9, merge=True), r":\d+: "),
    "laughs in one camera": (
        GOOD + laughs(9) + "groups: {all_of: *a9}\n",
        r":\d+: .*more than 100000 values",
    ),
    "an alias within itself": ("a: &a [*a]\n", r":1: an alias"),
    "deep lists": ("a: " + "[" * 500_000, r":1: nested more than 20 deep"),
    "deep blocks": ("\n".join(" " * n + "a:" for n in range(1_400)), r":\d+: nested more"),
    "deep dashes": ("- " * 500_000, r":1: nested more than 20 deep"),
    "deep keys": ("? " * 500_000, r":1: "),
    "50 MB": (b"# nothing\n" * 5_000_000, ": larger than 1024 KiB"),
    "a megabyte of colons": (":" * 1_000_000, ":1: |: it has no keys"),
    "a megabyte of anchors": ("&a " * 300_000, r":1: "),
    "a megabyte of tags": ("!a " * 300_000, r":1: "),
    "a megabyte of quotes": ("'" * 1_000_000, r": it has no keys|:1: "),
    "a megabyte of flow": ("a: [" + "{}," * 300_000 + "]", r":\d+: .*more than 100000 values"),
    "a megabyte of empty lines": ("\n" * 1_000_000, ": it is empty"),
    "a megabyte of lists": ("- a\n" * 240_000, r":\d+: .*more than 100000 values"),
    "49,000 unknown keys": (
        GOOD + "".join(f"k{n}: 1\n" for n in range(49_000)),
        r":2: k0: unknown key",
    ),
    "49,000 broken cameras": (
        "cameras:\n" + "".join(f"  c{n}: 1\n" for n in range(49_000)),
        r":2: cameras.c0: ",
    ),
    "binary": (bytes(range(256)) * 100, ": not UTF-8 text|:1: the character"),
    "NUL": (b"cameras: {door: 'ws://h\0'}\n", r":1: the character U\+0000"),
    "escape": (b"cameras: {\x1b[2Jdoor: 1}\n", r":1: the character U\+001B"),
    "a written escape": ('cameras: {"\\e[2J\\u2028": 1}\n', r":1: cameras\.'\\x1b\[2J\\u2028'"),
    "UTF-16": (GOOD.encode("utf-16"), ": not UTF-8 text"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), r":1: the character U\+0000"),
    "UTF-32": (GOOD.encode("utf-32"), ": not UTF-8 text|:1: the character"),
    "half a character": (GOOD.encode() + b"# \xed\xa0\x80\n", ": not UTF-8 text"),
    "a python object": (
        GOOD + "log: !!python/object/apply:os.system ['touch harm']\n",
        r":2: log: ",
    ),
    "a python name": (GOOD + "log: {level: !!python/name:os.system ''}\n", r":2: log\.level: "),
    "a merge key": (
        "capture: &c {timeout: 5}\nlog: {<<: *c}\n" + GOOD,
        r":2: log\.timeout: unknown key",
    ),
    "1e400": ("capture: {timeout: 1e400}\n" + GOOD, r":1: capture\.timeout: "),
    "1e999999": ("capture: {timeout: 1e999999}\n" + GOOD, r":1: capture\.timeout: "),
    "infinity": ("capture: {timeout: .inf}\n" + GOOD, r":1: capture\.timeout: "),
    "not a number": ("capture: {max_age: .nan}\n" + GOOD, r":1: capture\.max_age: "),
    "a long number": ("mqtt: {port: " + "9" * 900_000 + "}\n" + GOOD, r":1: mqtt\.port: "),
    "a long duration": (f"capture: {{timeout: {'9' * 5_000}s}}\n" + GOOD, r":1: capture\.timeout"),
    "a long size": (f"capture: {{max_image: {'9' * 5_000}MB}}\n" + GOOD, r":1: capture\.max_image"),
    "a key of 10,000 characters": (GOOD + f"? {'k' * 10_000}\n: 1\n", r":2: 'kkk.*unknown key"),
    "a camera of 10,000 characters": (
        f"cameras:\n  ? {'k' * 10_000}\n  : ws://h\n",
        r":2: cameras\.'kkk",
    ),
    "a duplicate": (GOOD + GOOD, r":2: cameras: .*"),
    "a secret of itself": (GOOD + "mqtt: {password: !secret a}\n", r"/secrets\.yaml:1: a: a tag"),
    "a folder": (GOOD + "mqtt: {username: !file .}\n", r":2: mqtt\.username: .*folder"),
    "no end": (GOOD + "mqtt: {username: !file /dev/zero}\n", r":2: mqtt\.username: .*regular file"),
    "a pipe": (GOOD + "mqtt: {username: !file pipe}\n", r":2: mqtt\.username: .*regular file"),
    "a terminal": (GOOD + "mqtt: {username: !file /dev/tty}\n", r":2: mqtt\.username: "),
    "a binary file": (GOOD + "mqtt: {username: !file binary}\n", r":2: mqtt\.username: .*"),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_hostile_file_is_refused_with_file_and_line(
    check: Check, tmp_path: Path, name: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\0\x1b[2J\xff")
    (tmp_path / "secrets.yaml").write_text("a: !secret a\n")
    content, told = NAMED[name]
    lines = check(content)
    assert re.match(re.escape(str(tmp_path)) + rf"((/config\.yaml)?({told}))", lines[0]), lines
    assert not (tmp_path / "harm").exists()


def test_a_pipe_is_no_configuration(check: Check, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    (line,) = check("")
    assert line.endswith("a regular file was expected")


def test_secrets_are_as_bounded_as_the_configuration(check: Check, tmp_path: Path) -> None:
    (tmp_path / "secrets.yaml").write_text(laughs(9))
    (line,) = check(GOOD + "mqtt: {username: u, password: !secret a}\n")
    assert "secrets.yaml" in line
    assert "more than 100000 values" in line


def test_a_mark_in_front_is_no_fault(check: Check) -> None:
    (line,) = check(b"\xef\xbb\xbf" + GOOD.encode(), code=0)
    assert line.endswith("ok, 1 camera")
