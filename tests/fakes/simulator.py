"""The firmware itself as a program, `esp32cam-sim`: what `make sim` builds out of firmware/."""

import json
import math
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.fakes.process import Process
from tests.fakes.wire import stamp

ROOT = Path(__file__).parents[2]
_TIMEOUT = 10.0
_READY = r'^\{"ws":'

Option = str | float | bool


def program() -> Path:
    """Where it is; an assertion that says how to build it if it isn't."""
    path = Path(os.environ.get("ESP32CAM_SIM") or ROOT / "firmware/build/esp32cam-sim")
    assert path.exists(), f"{path} is not there; run: make sim"
    return path.absolute()


class Simulator(Process):
    """A board on free ports, and its control socket; firmware/sim/README.md has the options.

    ``Simulator(framesize="QVGA", no_psram=True)`` is ``--framesize QVGA --no-psram``.
    """

    def __init__(self, **options: Option) -> None:
        super().__init__("esp32cam-sim")
        self._directory = tempfile.TemporaryDirectory(prefix="sim-")
        self.directory = Path(self._directory.name)
        self._control = self.directory / "control"
        usual: dict[str, Option] = {"ws-port": 0, "http-port": 0, "control": str(self._control)}
        self._options = usual | {name.replace("_", "-"): o for name, o in options.items()}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._launch([program(), *arguments(self._options)], cwd=self.directory)
        urls = json.loads(self.wait_for_log(_READY))
        self.url: str = urls["ws"]
        self.http_url: str = urls["http"]

    def close(self) -> None:
        """End it; it must not have had to be surprised by anything."""
        try:
            code = self.stop()
            assert code == 0, f"{self.name} ended with {code}:\n{self.log}"
        finally:
            self._directory.cleanup()

    def tell(self, line: str) -> str:
        """Turn one of its knobs, such as ``wifi down``; what it answered."""
        with self._controlled() as say:
            answer = say(line)
        assert not answer.startswith("error"), f"{line}: {answer}"
        return answer.removeprefix("ok").strip()

    @contextmanager
    def hurrying(self) -> Iterator[None]:
        """Let its clock run several times as fast, a millisecond at a time.

        The firmware rests for a millisecond in each round of its loop, so what takes many rounds
        takes less time; and so has who answers it.
        """
        over = threading.Event()

        def hurry() -> None:
            with self._controlled() as say:
                while not over.wait(0.0001):
                    say("advance 0.001")

        thread = threading.Thread(target=hurry)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextmanager
    def _controlled(self) -> Iterator[Callable[[str], str]]:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(_TIMEOUT)
            control.connect(str(self._control))
            with control.makefile() as answers:

                def say(line: str) -> str:
                    control.sendall(line.encode() + b"\n")
                    return answers.readline().strip()

                yield say

    def state(self) -> dict[str, Any]:
        """What nobody sees from outside: light, frames in use, sockets, clock."""
        told: dict[str, Any] = json.loads(self.tell("state"))
        return told

    def wait_for_start(self, count: int) -> None:
        """Wait until it has started for the ``count``-th time and listens."""
        self.wait_for_log(_READY, count=count)

    def starts(self) -> int:
        """How often it has started so far."""
        return sum(bool(re.search(_READY, line)) for line in self.lines)


class SimulatedBoard(Simulator):
    """The firmware in the place of a `FakeBoard`, for tests that script no misbehaviour.

    It has what such tests use of a `FakeBoard`; how many bytes a picture has is its own affair.
    """

    def __init__(
        self,
        name: str = "board",
        *,
        wire: str = "v1",  # it speaks both, by the path
        size: int = 0,
        framesize: str = "VGA",
        **options: Option,
    ) -> None:
        super().__init__(framesize=framesize, **options)
        self.name = name

    @property
    def captures(self) -> int:
        """How many pictures it has taken since its start."""
        captures: int = self.state()["captures"]
        return captures

    @property
    def restarts(self) -> int:
        """How often it has started anew."""
        return self.starts() - 1

    def wait_for_captures(self, count: int, timeout: float = 10.0) -> None:
        """Wait until it has taken so many pictures."""
        self._wait_for(lambda: self.captures >= count, timeout)

    def wait_for_open(self, count: int, timeout: float = 10.0) -> None:
        """Wait until exactly that many connections are open."""
        self._wait_for(lambda: self.state()["sockets"] == count, timeout)

    def clock(self) -> float:
        """Now, by the clock that its pictures tell the time by, in whole milliseconds as there."""
        uptime: float = self.state()["clock"]
        return math.floor(uptime)

    def exposed(self, jpeg: bytes) -> float:
        """When a picture's exposure began, by that clock."""
        return stamp(jpeg).exposed_ms

    def pause(self) -> None:
        """Be away: its Wi-Fi is lost."""
        self.tell("wifi down")

    def drop(self) -> None:
        """Hang up on everybody, which without Wi-Fi has been done already."""

    def resume(self) -> None:
        """Be back."""
        self.tell("wifi up")

    def _wait_for(self, condition: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout} s: {self.state()}"


def arguments(options: dict[str, Option]) -> list[str]:
    """The options as a command line has them."""
    line: list[str] = []
    for name, value in options.items():
        if value is not False:
            line += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return line
