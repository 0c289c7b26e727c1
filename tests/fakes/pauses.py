"""Time in which nobody could work: a busy host stops a machine for a second now and then."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_NAP = 0.02  # seconds; twice that is not held to be a pause


@contextmanager
def pauses() -> Iterator[Callable[[], float]]:
    """Seconds for which the machine stood still, as a thread sees it that only sleeps."""
    over, total = threading.Event(), 0.0

    def watch() -> None:
        nonlocal total
        before = time.monotonic()
        while not over.wait(_NAP):
            now = time.monotonic()
            total += max(now - before - 2 * _NAP, 0.0)
            before = now

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: total
    finally:
        over.set()
        thread.join()
