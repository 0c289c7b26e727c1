"""Bridge and floor in turn, on the same broker and boards, and what a capture costs each.

    python -m tests.bench [--quick] [--cells 1x20,esp32] [--check]

The numbers depend on the machine and on what else it does; the ratios much less, so they are what
is held against the targets. Everything runs here: Mosquitto as it comes, fake boards, the load,
and both sides, of which one works while the other waits.
"""

import argparse
import contextlib
import json
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tests.bench.driver import BenchError, Driver, Sample, cpu_seconds, memory, quantile

MAX_CPU_RATIO = 1.5  # in every cell
MAX_P50_RATIO = 1.3  # of one unloaded camera
MAX_IMPORT = 0.35  # seconds
MAX_IMPORT_MEMORY = 40.0  # MB
MAX_IDLE_MEMORY = 100.0  # MB, a thousand cameras
MAX_IDLE_CPU = 1.0  # % of a core, a thousand cameras
MAX_FIRST_ANSWER = 0.6  # seconds from the start

BRIDGE = "python -m bridge run -c FILE"
FLOOR = "python -m tests.bench.floor -c FILE"
_ROOT = Path(__file__).parents[2]
_IMPORT = """
import pathlib, re, time
before = time.perf_counter()
import bridge.app
took = time.perf_counter() - before
print(took, re.search(r"VmRSS:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""


@dataclass(frozen=True)
class Cell:
    """One row of the table: how many cameras, how large an image, and how it comes."""

    name: str
    title: str
    cameras: int
    kilobytes: int
    paced: bool = False
    boards: tuple[str, ...] = ()


CELLS = [
    *(
        Cell(f"{cameras}x{size}", f"{cameras} x {size} KB", cameras, size)
        for cameras in (1, 10, 100)
        for size in (20, 100, 400)
    ),
    Cell(
        "esp32",
        "ESP32-like 10 x 100 KB",
        10,
        100,
        boards=("--delay", "0.06", "--segment", "1436", "--gap", "0.0005"),
    ),
    Cell("unloaded", "unloaded 1 x 100 KB", 1, 100, paced=True),
]


@dataclass(frozen=True)
class Side:
    """One of the two that are compared, as it runs for one cell."""

    name: str
    process: subprocess.Popen[bytes]
    driver: Driver

    def wait_online(self) -> None:
        """Return once it says that it is online."""
        self.driver.wait_online(lambda: self.process.poll() is None)

    def round(self, cell: Cell, seconds: float) -> Sample:
        """Load it for a while."""
        run = self.driver.paced if cell.paced else self.driver.closed_loop
        return run(seconds, self.process.pid)


class Bench:
    """The broker, and what is started beside it; leaving the context ends all of it."""

    def __init__(self, folder: Path, subject: str) -> None:
        self._folder = folder
        self._subject = subject
        self._running: list[subprocess.Popen[bytes]] = []
        self._numbers = count(1)
        self._port = 0

    def __enter__(self) -> "Bench":
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        config = self._folder / "mosquitto.conf"
        config.write_text(f"listener {self._port} 127.0.0.1\nallow_anonymous true\n")
        broker = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._start([broker, "-c", str(config)])
        deadline = time.perf_counter() + 5
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
            except ConnectionRefusedError:
                if time.perf_counter() > deadline:
                    self.end(self._running)
                    raise BenchError("mosquitto did not start") from None
                time.sleep(0.01)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self.end(self._running)

    def _start(
        self, command: Sequence[str], stdout: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=stdout, stderr=log
            )
        self._running.append(process)
        return process

    def end(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        """End some of what was started, and wait for it."""
        for process in processes:
            process.terminate()
        for process in list(processes):
            self._running.remove(process)
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    def log(self) -> str:
        """The end of what everything here said on standard error."""
        file = self._folder / "log"
        return "\n".join(
            file.read_text(errors="replace").splitlines()[-15:] if file.exists() else ()
        )

    def boards(self, size: int, *options: str) -> tuple[subprocess.Popen[bytes], int]:
        """Start a process of boards; give back its port too."""
        module = [sys.executable, "-m", "tests.bench.boards", "--bytes", str(size), *options]
        process = self._start(module, subprocess.PIPE)
        assert process.stdout is not None
        port = process.stdout.readline()
        if not port:
            raise BenchError("the boards did not start")
        return process, int(port)

    def side(
        self, name: str, *, cameras: int, size: int, boards: int, storage: Path | None = None
    ) -> Side:
        """Start a bridge or the floor, with a driver that waits for it."""
        base = f"bench{next(self._numbers)}"
        names = [f"cam{number}" for number in range(cameras)]
        config = self._folder / f"{base}.yaml"
        # JSON is YAML
        document = {
            "mqtt": {
                "host": "127.0.0.1",
                "port": self._port,
                "base_topic": base,
                "client_id": base,
            },
            "storage": {"path": None if storage is None else str(storage)},
            "cameras": {
                camera: {"url": f"ws://127.0.0.1:{boards}/{camera}", "protocol": "legacy"}
                for camera in names
            },
        }
        config.write_text(json.dumps(document))
        driver = Driver(self._port, base, names, size)
        driver.start()
        command = [
            {"python": sys.executable, "FILE": str(config)}.get(word, word)
            for word in shlex.split(FLOOR if name == "floor" else self._subject)
        ]
        return Side(name, self._start(command), driver)

    @contextlib.contextmanager
    def sides(
        self,
        *names: str,
        cameras: int,
        size: int,
        options: Sequence[str] = (),
        storage: Path | None = None,
    ) -> Iterator[list[Side]]:
        """Boards, and some sides that are online with them."""
        boards, port = self.boards(size, *options)
        sides = [
            self.side(name, cameras=cameras, size=size, boards=port, storage=storage)
            for name in names
        ]
        try:
            for side in sides:
                side.wait_online()
                side.driver.each_once()
            yield sides
        finally:
            for side in sides:
                side.driver.stop()
            self.end([*(side.process for side in sides), boards])


def measure(bench: Bench, cell: Cell, *, rounds: int, seconds: float) -> dict[str, Any]:
    """One cell: a warm-up, then pairs of rounds, each begun by the other side."""
    samples: dict[str, list[Sample]] = {"bridge": [], "floor": []}
    with bench.sides(
        *samples, cameras=cell.cameras, size=cell.kilobytes * 1000, options=cell.boards
    ) as sides:
        for side in sides:
            side.round(cell, min(seconds / 2, 0.5))
        for _ in range(rounds):
            for side in sides:
                samples[side.name].append(side.round(cell, seconds))
            sides.reverse()
        found = {side.name: memory(side.process.pid) for side in sides}

    def both(value: Callable[[Sample], float], factor: float = 1.0) -> dict[str, float]:
        bridge, floor = ([value(sample) for sample in samples[name]] for name in samples)
        return {
            "bridge": statistics.median(bridge) * factor,
            "floor": statistics.median(floor) * factor,
            "ratio": statistics.median(
                one / other for one, other in zip(bridge, floor, strict=True)
            ),
        }

    return {
        "cell": cell.name,
        "captures_per_second": both(lambda sample: sample.rate),
        "cpu_ms": both(lambda sample: sample.cpu_each, 1000),
        "result_p50_ms": both(lambda sample: quantile(sample.to_result, 0.5), 1000),
        "result_p99_ms": both(lambda sample: quantile(sample.to_result, 0.99), 1000),
        "image_p50_ms": both(lambda sample: quantile(sample.to_image, 0.5), 1000),
        "image_p99_ms": both(lambda sample: quantile(sample.to_image, 0.99), 1000),
        "memory_mb": {name: found[name][0] for name in found},
        "peak_memory_mb": {name: found[name][1] for name in found},
        "captures": sum(sample.captures for both in samples.values() for sample in both),
    }


def measure_storage(bench: Bench, *, rounds: int, seconds: float) -> dict[str, Any]:
    """What a camera that doesn't save notices of nine that do, against nine that don't."""
    found: dict[bool, list[Sample]] = {False: [], True: []}
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as disk,  # /tmp may be memory
        bench.sides("bridge", cameras=10, size=100_000, storage=Path(disk)) as (side,),
    ):
        order = [False, True]
        for _ in range(rounds):
            for save in order:
                found[save].append(side.driver.saving(seconds, side.process.pid, save=save))
            order.reverse()

    def both(value: Callable[[Sample], float], factor: float = 1.0) -> dict[str, float]:
        return {
            "others_save": statistics.median(map(value, found[True])) * factor,
            "others_do_not": statistics.median(map(value, found[False])) * factor,
        }

    return {
        "captures_per_second": both(lambda sample: sample.rate),
        "cpu_ms": both(lambda sample: sample.cpu_each, 1000),
        "result_p50_ms": both(lambda sample: quantile(sample.to_result, 0.5), 1000),
        "result_p99_ms": both(lambda sample: quantile(sample.to_result, 0.99), 1000),
    }


def measure_import() -> dict[str, float] | None:
    """Seconds and MB of importing the core, the best of three; nothing if there is none."""
    found = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT],
            cwd=_ROOT,
            capture_output=True,
            timeout=30,
            check=False,
        )
        if done.returncode:
            return None
        seconds, kilobytes = done.stdout.split()
        found.append((float(seconds), int(kilobytes) / 1024))
    return dict(zip(("seconds", "memory_mb"), min(found), strict=True))


def measure_idle(bench: Bench, *, seconds: float, cameras: int = 1000) -> dict[str, float]:
    """A thousand cameras that have each given one image, and then nothing to do."""
    with bench.sides("bridge", cameras=cameras, size=20_000) as (side,):
        time.sleep(1)
        before = cpu_seconds(side.process.pid)
        time.sleep(seconds)
        used = cpu_seconds(side.process.pid) - before
        now, peak = memory(side.process.pid)
    return {"memory_mb": now, "peak_memory_mb": peak, "cpu_percent": 100 * used / seconds}


def measure_start(bench: Bench, *, times: int) -> dict[str, float]:
    """Seconds from starting the bridge to its being online, and to the first result."""
    found = []
    boards, port = bench.boards(20_000)
    for _ in range(times):
        started = time.perf_counter()
        side = bench.side("bridge", cameras=1, size=20_000, boards=port)
        try:
            side.wait_online()
            online = time.perf_counter() - started
            side.driver.each_once()
            found.append((time.perf_counter() - started, online))
        finally:
            side.driver.stop()
            bench.end([side.process])
    bench.end([boards])
    answered, online = min(found)
    return {"online_seconds": online, "first_answer_seconds": answered}


_COLUMNS = (
    ("captures_per_second", "captures/s", 0, True),
    ("cpu_ms", "CPU ms each", 3, True),
    ("result_p50_ms", "result p50 ms", 2, True),
    ("result_p99_ms", "result p99 ms", 2, False),
    ("image_p50_ms", "image p50 ms", 2, False),
    ("memory_mb", "memory MB", 0, False),
)


def head() -> str:
    """The table's two lines of headings: for each measure the bridge's, the floor's, the ratio."""
    first, second = f"{'':<23}", f"{'bridge, floor, ratio':<23}"
    for _, title, _, ratio in _COLUMNS:
        first += f" {title:^{20 if ratio else 14}}"
        second += f" {'b':>6} {'f':>6}{'ratio':>6} " if ratio else f" {'b':>6} {'f':>6} "
    return f"{first.rstrip()}\n{second.rstrip()}"


def row(title: str, found: dict[str, Any]) -> str:
    """One line of the table."""
    line = f"{title:<23}"
    for key, _, digits, ratio in _COLUMNS:
        value = found[key]
        line += f" {value['bridge']:>6.{digits}f} {value['floor']:>6.{digits}f}"
        line += f"{value['ratio']:>6.2f} " if ratio else " "
    return line.rstrip()


def missed(found: dict[str, Any]) -> list[str]:
    """The targets that the numbers miss, a line each."""
    limits = [
        (f"{cell['cell']}: CPU ratio", cell["cpu_ms"]["ratio"], MAX_CPU_RATIO)
        for cell in found["cells"]
    ]
    limits += [
        (f"{cell['cell']}: p50 ratio", cell["result_p50_ms"]["ratio"], MAX_P50_RATIO)
        for cell in found["cells"]
        if cell["cell"] == "unloaded"
    ]
    for part, key, what, limit in (
        ("import", "seconds", "import, s", MAX_IMPORT),
        ("import", "memory_mb", "import, MB", MAX_IMPORT_MEMORY),
        ("idle", "memory_mb", "1,000 idle cameras, MB", MAX_IDLE_MEMORY),
        ("idle", "cpu_percent", "1,000 idle cameras, % of a core", MAX_IDLE_CPU),
        ("start", "first_answer_seconds", "first answer, s", MAX_FIRST_ANSWER),
    ):
        if found.get(part):
            limits.append((what, found[part][key], limit))
    return [f"{what}: {value:.2f}, not {limit:g}" for what, value, limit in limits if value > limit]


def run(options: argparse.Namespace, bench: Bench, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure what was asked for, telling of each part as it is done."""
    found: dict[str, Any] = {"cells": []}
    rounds, seconds = options.rounds, options.seconds
    if options.cells:
        say(head())
    for cell in options.cells:
        found["cells"].append(measure(bench, cell, rounds=rounds, seconds=seconds))
        say(row(cell.title, found["cells"][-1]))
    if options.storage:
        storage = found["storage"] = measure_storage(bench, rounds=rounds, seconds=seconds)
        p50, p99 = storage["result_p50_ms"], storage["result_p99_ms"]
        say(
            "a camera that does not save, of 10 x 100 KB: "
            f"p50 {p50['others_save']:.2f} ms, p99 {p99['others_save']:.2f} ms while 9 save, "
            f"{p50['others_do_not']:.2f} and {p99['others_do_not']:.2f} while they do not; "
            f"{storage['captures_per_second']['others_save']:.0f} captures/s with 9 saving"
        )
    if not options.rest:
        return found
    core = found["import"] = measure_import()
    say(
        f"import of the core: {core['seconds']:.3f} s, {core['memory_mb']:.1f} MB"
        if core
        else "import of the core: bridge.app can't be imported"
    )
    start = found["start"] = measure_start(bench, times=1 if options.quick else 3)
    say(
        f"from the start: online after {start['online_seconds']:.2f} s, "
        f"first answer after {start['first_answer_seconds']:.2f} s"
    )
    idle = found["idle"] = measure_idle(bench, seconds=3 if options.quick else 10)
    say(
        f"1,000 idle cameras: {idle['memory_mb']:.0f} MB, at most "
        f"{idle['peak_memory_mb']:.0f}; {idle['cpu_percent']:.2f} % of a core"
    )
    return found


def main() -> int:
    """Measure and print, as the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="What a capture costs, beside the least it can."
    )
    parser.add_argument("--quick", action="store_true", help="under a minute, rough numbers")
    parser.add_argument(
        "--cells",
        help=f"some of {','.join(cell.name for cell in CELLS)}, or none; then nothing but these",
    )
    parser.add_argument("--rounds", type=int, help="pairs of rounds for each cell (4)")
    parser.add_argument("--seconds", type=float, help="length of a round (2)")
    parser.add_argument("--subject", default=BRIDGE, help=f"what to measure ({BRIDGE})")
    parser.add_argument("--storage", action="store_true", help="also with storage, on disk")
    parser.add_argument("--json", action="store_true", help="print JSON, the table to stderr")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args()
    names = {cell.name: cell for cell in CELLS}
    wanted = [*names] if options.cells is None else options.cells.split(",")
    wanted = [name for name in wanted if name != "none"]
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"no cell {unknown[0]!r}; there are {', '.join(names)}")
    options.rest = options.cells is None
    options.cells = [names[name] for name in wanted]
    options.rounds = options.rounds or (1 if options.quick else 4)
    options.seconds = options.seconds or (0.5 if options.quick else 2.0)

    def say(text: str) -> None:
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.subject)
        try:
            with bench:
                found = run(options, bench, say)
        except (BenchError, OSError, subprocess.SubprocessError) as exc:
            print(f"{exc}\n{bench.log()}", file=sys.stderr)
            return 1
    if options.json:
        print(json.dumps(found, indent=1))
    faults = missed(found)
    for fault in faults:
        say(f"missed: {fault}")
    return 1 if faults and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
