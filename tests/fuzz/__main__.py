"""Try one target with atheris: ``python -m tests.fuzz frames 60``, or ``all``, each for so long."""

import argparse
import importlib
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
    arguments = [
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


if __name__ == "__main__":
    sys.exit(main())
