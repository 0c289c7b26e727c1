"""Try one target with atheris: ``python -m tests.fuzz frames 60``, or ``all``, each for so long."""

import argparse
import importlib
import itertools
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz import targets


def main() -> int:
    """Run a target, or every one in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=[*targets.TARGETS, "all"])
    parser.add_argument("seconds", type=int)
    options = parser.parse_args()
    if options.target != "all":
        _fuzz(options.target, options.seconds)
        return 0
    commands = [
        [sys.executable, "-m", "tests.fuzz", name, str(options.seconds)] for name in targets.TARGETS
    ]
    return max(subprocess.run(command, check=False).returncode for command in commands)


def _fuzz(name: str, seconds: int) -> None:
    """Does not return: libFuzzer ends the process, and not with 0 if it has found something."""
    import atheris

    with atheris.instrument_imports(include=["bridge", "websocket"], enable_loader_override=False):
        for module in [m for m in sys.modules if m.split(".")[0] in ("bridge", "websocket")]:
            del sys.modules[module]
        target = importlib.reload(targets).TARGETS[name]
    found = Path(tempfile.gettempdir()) / "esp32cam2mqtt-fuzz" / name
    found.mkdir(parents=True, exist_ok=True)
    words = found.with_suffix(".words")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in _words(name)))
    arguments = [
        f"-dict={words}",
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=5",  # seconds for one input
        "-rss_limit_mb=1024",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        str(found),
        str(targets.SEEDS / name),
    ]
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


def _words(name: str) -> list[bytes]:
    """What its input is made of; JSON is parsed in C, where coverage shows no way."""
    if name == "jpeg":
        return [b"\xff" + bytes([code]) for code in (*range(0xC0, 0xE2), 0xFE, 0xFF, 0)]
    if name == "frames":
        return [bytes(head) for head in itertools.product(range(0x80, 0x8B), (0, 1, 125, 126, 127))]
    if name == "topic":
        return [b"/", b"+", b"#", b"$", b"esp32cam/door/", b"capture", b"set", b"\xc2\x9b"]
    keys = {key for seed in (targets.SEEDS / name).iterdir() for key in _keys(seed.read_bytes())}
    values = [
        b"true",
        b"null",
        b"1e400",
        b"-0",
        b"4",
        b"63",
        b'"\\ud800"',
        b'"\\ufffe"',
        b'""',
        b"[]",
        b"{}",
    ]
    return [*values, b'{"', b'":', b',"', b"}", *sorted(keys)]


def _keys(seed: bytes) -> list[bytes]:
    return re.findall(rb'"\w{1,20}"', seed)


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
