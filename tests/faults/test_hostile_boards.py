"""A good camera beside boards that mean harm, edge to edge.

Every request to a hostile board has one result, and memory, threads and files stay as they were.
Whether the good camera is as quick as without them is asked in one place, and only as a ratio.
"""

import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Boards, Brokers, Clients, StartBridge, old
from tests.fakes.board import FakeBoard
from tests.fakes.bridge import Bridge
from tests.fakes.talk import Talk
from tests.faults.crowd import SLOW, boards

ROOT = Path(__file__).parents[2]
MEMORY = 40 * 1024 * 1024  # bytes that the bridge may grow by
SAMPLES = 40  # captures of the good camera beside each board, and as many without it


EXPECTED = {name: codes for name, (_, codes) in boards("").items()}


@contextmanager
def crowd(elsewhere: str) -> Iterator[dict[str, str]]:
    """All hostile boards, by name: their URLs."""
    command = [sys.executable, "-m", "tests.faults.crowd", elsewhere]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())


@dataclass
class Scene:
    """A bridge with a good camera, ``door``, and all the hostile ones."""

    process: Bridge
    door: FakeBoard
    good: Talk
    bad: Talk  # hears the hostile ones' results only
    names: list[str]

    def picture(self, id_: str) -> float:
        """One of the good camera: the seconds that it takes."""
        self.good.client.clear()
        began = time.monotonic()
        self.good.ask({"id": id_, "save": False})
        assert self.good.result(id_)["status"] == "ok"
        return time.monotonic() - began

    def attack(self, target: str, id_: str, count: int = 1) -> list[float]:
        """Ask ``target``, and the good camera until ``count`` results have come from there."""
        self.bad.client.clear()
        self.bad.ask({"id": id_, "save": False}, target, qos=0)
        taken: list[float] = []
        while len(taken) < SAMPLES or len(self.bad.client.messages()) < count:
            taken.append(self.picture(f"{id_}-{len(taken)}"))
        for message in self.bad.client.messages():
            result = message.json
            assert result["id"] == id_
            assert (result["error"] or "") in EXPECTED[result["camera"]], result
        return taken


@pytest.fixture
def scene(
    bridge: StartBridge, board: Boards, own_broker: Brokers, client: Clients, base_topic: str
) -> Iterator[Scene]:
    broker = own_broker(extra=["set_tcp_nodelay true"])  # or 44 ms of Nagle's hide all the rest
    door = board("door")
    with crowd(door.url) as urls:
        cameras: dict[str, Any] = {
            name: {
                "url": url,
                "protocol": "v1" if name == "hello" else "legacy",
                "keep_open": name != "cookies",
                "timeout": 0.5 if EXPECTED[name] is SLOW else 10,
            }
            for name, url in urls.items()
        }
        process = bridge(
            {"door": old(door), **cameras},
            on=broker,
            capture={"retries": 0},
            groups={"bad": list(urls)},
            log={"level": "warning"},
        )
        results = [f"{base_topic}/{name}/result" for name in urls]
        scene = Scene(
            process=process,
            door=door,
            good=Talk(client(on=broker, subscribe=[f"{base_topic}/door/result"]), base_topic),
            bad=Talk(client(on=broker, subscribe=results), base_topic),
            names=list(urls),
        )
        for number in range(SAMPLES):
            scene.picture(f"warm{number}")
        yield scene
        assert process.stop() == 0


def test_no_hostile_board_costs_a_good_camera_its_speed_or_the_bridge_its_memory(
    scene: Scene,
) -> None:
    before = scene.process.memory(), scene.process.threads(), scene.process.fds()
    quiet: list[float] = []
    loud: list[float] = []
    ratios = {}
    for name in scene.names:  # by turns, so that what else this machine does falls on both
        still = [scene.picture(f"quiet-{name}-{number}") for number in range(SAMPLES)]
        beside = scene.attack(name, name)
        quiet += still
        loud += beside[:SAMPLES]
        ratios[name] = f"{p95(beside) / p95(still):.1f}"
    after = scene.process.memory(), scene.process.threads(), scene.process.fds()
    print("p95", f"{p95(quiet):.4f} s without, {p95(loud):.4f} s with them;", ratios)
    print("memory, threads, files:", before, after)
    assert p95(loud) < 2 * p95(quiet)
    assert after[0] < before[0] + MEMORY
    assert after[1] <= before[1]
    assert after[2] <= before[2] + 2  # of connections that are being made
    assert scene.door.connections == 1  # nobody has been sent there, nor has it been lost


def test_hostile_boards_all_at_once_have_one_result_each(scene: Scene) -> None:
    count = len(scene.names)
    for number in range(2):  # each of them may have had a message of max_image in memory then
        scene.attack("bad", f"first{number}", count)
    before = scene.process.memory(), scene.process.threads(), scene.process.fds()
    for number in range(3):
        scene.attack("bad", f"salvo{number}", count)
        scene.bad.client.sync()
        cameras = Counter(m.json["camera"] for m in scene.bad.client.messages("+/+/result"))
        assert cameras == dict.fromkeys(scene.names, 1)
    after = scene.process.memory(), scene.process.threads(), scene.process.fds()
    print("memory, threads, files:", before, after)
    assert after[0] < before[0] + MEMORY
    assert after[1] <= before[1]
    assert after[2] <= before[2] + count
    assert scene.door.connections == 1


def p95(samples: list[float]) -> float:
    """What nineteen of twenty are not above."""
    return statistics.quantiles(samples, n=20)[-1]
