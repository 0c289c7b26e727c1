"""Hours in the life of a house: pictures at random, faults at random, and nothing that grows.

    python -m tests.faults.soak --seconds 600 --plot docs/soak.svg

Twenty cameras are asked for pictures while boards, cables, the broker and its cable fail at random;
the bridge itself is never ended, as it is what is watched. Every second its memory, threads and
files are noted. At the end all faults end, and what the bridge holds must be what it held when it
was warm.
"""

import argparse
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.campaign import House, Mischief
from tests.faults.ledger import Verdict
from tests.faults.plot import Line, plot

CAMERAS = 20
WARM = 0.3  # of the time is for warming up: caches, pools, the largest picture of each camera
MEMORY = 8 * 1024 * 1024
"""Bytes that may come on top: what the allocator doesn't give back. 600 s brought under 3 MiB."""
THREADS = 72
"""At most: 64 that connect, 4 that save, and one each for the loop, the archive, the watchdog and
what is to spare. They are started when so many are needed at once, and stay."""
_MINUTE = 60.0


@dataclass
class Sample:
    """The bridge at one moment."""

    at: float  # seconds since the start
    memory: int
    threads: int
    files: int


@dataclass
class Report:
    """What a soak has shown."""

    seconds: float
    samples: list[Sample]
    faults: list[tuple[float, str]]
    latencies: list[tuple[float, float]]
    verdict: Verdict
    settled: Sample
    online: int
    faulty: list[str] = field(default_factory=list)

    @property
    def warm(self) -> Sample:
        """The highest of each, while it was warming up."""
        warm = [s for s in self.samples if s.at <= WARM * self.seconds] or self.samples[:1]
        return Sample(
            warm[-1].at,
            max(s.memory for s in warm),
            max(s.threads for s in warm),
            max(s.files for s in warm),
        )

    def table(self) -> str:
        """A line for each minute, and what became of the requests."""
        lines = ["    time  memory MiB  threads  files  p50 ms  p95 ms  pictures  faults"]
        step = min(_MINUTE, self.seconds / 6)
        start = 0.0
        while start < self.seconds:
            end = start + step
            part = [s for s in self.samples if start <= s.at < end]
            times = sorted(d for at, d in self.latencies if start <= at < end)
            faults = sum(start <= at < end for at, _ in self.faults)
            if part:
                last = part[-1]
                lines.append(
                    f"{end:7.0f}s {last.memory / 2**20:11.1f} {last.threads:8} {last.files:6} "
                    f"{_ms(times, 0.5)} {_ms(times, 0.95)} {len(times):9} {faults:7}"
                )
            start = end
        last = self.settled
        lines.append(f"  at rest {last.memory / 2**20:10.1f} {last.threads:8} {last.files:6}")
        lines.append(str(self.verdict))
        return "\n".join(lines)

    def judge(self) -> list[str]:
        """What is not as it should be."""
        found = [*self.verdict.wrong, *(f"{id_}: lost" for id_ in self.verdict.lost)]
        for name, limit in (
            ("memory", self.warm.memory + MEMORY),
            ("threads", THREADS),
            ("files", self.warm.files),
        ):
            value = getattr(self.settled, name)
            if value > limit:
                found.append(f"{name}: {value} at rest; {limit} is the limit")
        if self.online != CAMERAS:
            found.append(f"cameras: {self.online} of {CAMERAS} are online again")
        return [*found, *self.faulty]


def soak(seconds: float, seed: int) -> Report:
    """Run it; everything is closed on return."""
    chance = random.Random(seed)
    samples: list[Sample] = []
    with House(CAMERAS) as house:
        began = time.monotonic()
        ended = threading.Event()

        def look() -> Sample:
            bridge = house.bridge
            at = time.monotonic() - began
            return Sample(at, bridge.memory(), bridge.threads(), bridge.fds())

        def watch() -> None:
            while not ended.wait(1.0):
                samples.append(look())

        _wait_for_all_online(house)
        samples.append(look())  # with all connected, as they may never be at once while faults last
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        with Mischief(house, seed, boards=0.1, cables=0.3, houses=8.0, kills=False):
            while time.monotonic() - began < seconds:
                house.ask(chance)
                time.sleep(chance.expovariate(20))
        messages = house.settle()
        verdict = house.ledger.judge(messages)
        online = _wait_for_all_online(house)
        ended.set()
        watcher.join()
        settled = _at_rest(look)
        latencies = [
            (m.at_ns / 1e9 - began, m.json["duration"])
            for m in messages
            if m.topic.endswith("/result") and m.json["status"] == "ok"
        ]
        faults = [(f.at_ns / 1e9 - began, f.what) for f in house.ledger.faults]
        code = house.bridge.stop()
        log = house.bridge.log
    report = Report(seconds, samples, faults, latencies, verdict, settled, online)
    if code != 0 or "Traceback" in log or "ResourceWarning" in log:
        report.faulty.append(f"the bridge ended with {code}:\n{log}")
    return report


def _at_rest(look: Callable[[], Sample]) -> Sample:
    """Of ten looks in two seconds, that with the fewest files: one is open for a moment at times.

    A picture is written, or memory read for ``bridge/health``, which falls due after 60 s too.
    """
    looks = []
    for _ in range(10):
        looks.append(look())
        time.sleep(0.2)
    return min(looks, key=lambda sample: sample.files)


def _wait_for_all_online(house: House) -> int:
    """How many cameras are online, when all are or a minute has passed."""
    deadline = time.monotonic() + 70  # the longest back-off is a minute
    while True:
        last = {m.topic: m.payload for m in house.client.messages("esp32cam/+/availability")}
        online = sum(payload == b"online" for payload in last.values())
        if online == CAMERAS or time.monotonic() > deadline:
            return online
        time.sleep(0.2)


def draw(report: Report, path: Path) -> None:
    """Draw memory, latency and faults over time."""
    memory = [(s.at, s.memory / 2**20) for s in report.samples]
    latency = [(at, duration * 1e3) for at, duration in report.latencies]
    severe = [at for at, what in report.faults if what.startswith("broker")]
    path.write_text(
        plot(
            f"{CAMERAS} cameras, {report.seconds:.0f} s, {len(report.faults)} faults, "
            f"{report.verdict.answered} answers, {len(report.verdict.lost)} lost",
            [
                Line("memory, MiB", memory),
                Line("duration of captures, ms", latency, dots=True, log=True),
            ],
            marks=severe,
            marked="broker or its cable failed",
        )
    )


def _ms(values: Sequence[float], share: float) -> str:
    if len(values) < 2:
        return "      –"
    cuts = statistics.quantiles(values, n=100)
    return f"{cuts[int(share * 100) - 1] * 1e3:7.0f}"


def main() -> int:
    """Run it from the command line; 1 if something was not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--plot", type=Path, help="an SVG file to draw into")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    report = soak(options.seconds, options.seed)
    print(report.table())
    if options.plot:
        draw(report, options.plot)
    faults = report.judge()
    print("\n".join(faults) or "nothing grew, nothing was lost, nothing was wrong")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
