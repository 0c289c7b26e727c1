"""Runs the bridge under a strain: ``python -m tests.fakes.strained config.yaml block=60``.

It is the bridge as it is, in a process whose clocks or loop are not what they should be. What is
given as ``pace``, from the start, or as ``then``, at each SIGUSR1, is done:

    pace=600          its clocks run 600 times as fast, what it waits for in the loop too
    then=pace:1       they run as they should again
    then=jump:-1e9    the wall clock jumps by so many seconds
    then=block:60     the loop stands still for so many seconds
    stuck_after=1     seconds after which the watchdog ends it
    hang=open         what threads ask of the disk by os.open never returns
    die=bridge.worker.Worker.submit:after   SIGKILL there, once a capture command has come; once
                      only: started again in the same folder it lives
"""

import asyncio
import functools
import inspect
import os
import pkgutil
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any


class Clocks:
    """The process's clocks, at a pace of their own."""

    def __init__(self, pace: float) -> None:
        self._monotonic, self._wall = time.monotonic, time.time
        self._pace = pace
        self._since = self._now = self._monotonic()
        self._offset = self._wall() - self._now

    def monotonic(self) -> float:
        return self._now + (self._monotonic() - self._since) * self._pace

    def monotonic_ns(self) -> int:
        return int(self.monotonic() * 1e9)

    def clock_gettime(self, _clock: int) -> float:
        return self.monotonic()

    def time(self) -> float:
        return self.monotonic() + self._offset

    def jump(self, seconds: float) -> None:
        self._offset += seconds

    def pace(self, pace: float) -> None:
        self._now, self._since, self._pace = self.monotonic(), self._monotonic(), pace

    def install(self) -> None:
        clocks = self

        class Selector(selectors.EpollSelector):
            def select(self, timeout: float | None = None) -> Any:
                return super().select(timeout and timeout / clocks._pace)

        selectors.DefaultSelector = Selector  # type: ignore[misc, assignment]
        for name in ("monotonic", "monotonic_ns", "clock_gettime", "time"):
            setattr(time, name, getattr(self, name))


def hang(name: str) -> None:
    """Let a function of ``os`` never return in the threads that look after the disk."""
    real = getattr(os, name)

    def hanging(*args: Any, **kwargs: Any) -> Any:
        if threading.current_thread().name.startswith("storage"):
            threading.Event().wait()
        return real(*args, **kwargs)

    setattr(os, name, hanging)


def die(step: str) -> None:
    """End as at a power cut, before or after a function is called while a capture is made."""
    where, _, when = step.partition(":")
    armed, died = threading.Event(), Path("died")
    if died.exists():
        return

    def kill() -> None:
        if armed.is_set():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(name: str, before: Callable[[], None], after: Callable[[], None]) -> None:
        owner_name, _, attribute = name.rpartition(".")
        owner = pkgutil.resolve_name(owner_name)
        real = getattr(owner, attribute)

        @functools.wraps(real)
        def call(*args: Any, **kwargs: Any) -> Any:
            before()
            result = real(*args, **kwargs)
            after()
            return result

        @functools.wraps(real)
        async def await_(*args: Any, **kwargs: Any) -> Any:
            before()
            result = await real(*args, **kwargs)
            after()
            return result

        setattr(owner, attribute, await_ if inspect.iscoroutinefunction(real) else call)

    nothing = lambda: None  # noqa: E731
    wrap(where, *((kill, nothing) if when == "before" else (nothing, kill)))
    wrap("bridge.app.App._received", armed.set, nothing)


def main() -> int:
    path, *words = sys.argv[1:]
    options = dict(word.split("=") for word in words)
    clocks = Clocks(float(options.get("pace", 1)))
    clocks.install()

    if "hang" in options:
        hang(options["hang"])

    def then(_number: int, _frame: FrameType | None) -> None:
        what, amount = options["then"].split(":")
        if what == "block":
            asyncio.get_running_loop().call_soon(time.sleep, float(amount))
        else:
            getattr(clocks, what)(float(amount))
        print("strained:", what, file=sys.stderr)

    from bridge import config, logs, watchdog  # paho takes hold of the clock when it is imported
    from bridge.app import App

    if "die" in options:
        die(options["die"])

    configuration = config.load(Path(path))
    logs.set_up(configuration.log.level, configuration.log.format)
    stuck_after = float(options.get("stuck_after", watchdog.LIMIT))

    async def run() -> int:
        signal.signal(signal.SIGUSR1, then)
        return await App(Path(path), configuration, stuck_after=stuck_after).run()

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
