"""What blocks runs here, beside the loop: name look-up, connecting, handshakes, file writes.

Daemon threads of our own rather than ``concurrent.futures``: the interpreter waits for those at
its exit, so a name server or a network disk that never answers would keep the bridge from ending.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Pool:
    """At most ``size`` daemon threads, started when they are needed; jobs are begun in order."""

    def __init__(self, size: int, *, name: str) -> None:
        self._size = size
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads = 0
        self._busy = 0

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` in a thread; what it returns or raises comes back.

        Who is cancelled stops waiting, while a function that has begun runs to its end.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def finish(result: Any, error: BaseException | None) -> None:
            self._busy -= 1
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def job() -> None:
            result, error = None, None
            try:
                if not future.cancelled():
                    result = function(*args, **kwargs)
            except BaseException as exc:
                error = exc
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(finish, result, error)

        self._busy += 1
        self._jobs.put(job)
        if self._busy > self._threads < self._size:
            self._threads += 1
            threading.Thread(
                target=self._work, name=f"{self._name}-{self._threads}", daemon=True
            ).start()
        return await future

    def _work(self) -> None:
        while True:
            self._jobs.get()()
