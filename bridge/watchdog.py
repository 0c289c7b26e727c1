"""Ends a bridge whose loop no longer turns, so that Docker or systemd starts it again.

No time is measured: the watchdog counts its own turns in which the loop did not answer. A process
that was stopped, or a machine that slept, had no turns, whatever the clocks say.
"""

import asyncio
import faulthandler
import logging
import os
import sys
import threading

_LOGGER = logging.getLogger(__name__)

LIMIT = 60.0
"""Seconds for which the loop may stand still. What it does takes milliseconds, and a slow SD card
or swap some seconds; after 45 s (1.5 times ``keepalive``) the broker has given the bridge up."""

EXIT_CODE = 1

_TURNS = 12  # in LIMIT
_LAST_WORDS = 5.0  # seconds; what holds the loop up may be the log itself


class Watchdog:
    """Looks after the running loop from a thread of its own, between ``start`` and ``stop``.

    Code that never lets go of the interpreter, such as a loop in C, keeps the thread from running
    too; systemd's ``WatchdogSec=`` finds that as well.

    Args:
        limit: seconds for which the loop may stand still.
    """

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._answered = True
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to look after the loop that this is called from."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, args=(loop,), name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """End that; the loop is about to."""
        self._over.set()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        missed = 0
        while not self._over.wait(self._limit / _TURNS):
            if not self._answered:
                missed += 1
                if missed >= _TURNS:
                    self._end()
                continue
            missed = 0
            self._answered = False
            try:
                loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # it is closed
                return

    def _answer(self) -> None:
        self._answered = True

    def _end(self) -> None:
        speaking = threading.Thread(target=self._speak, daemon=True)
        speaking.start()
        speaking.join(_LAST_WORDS)
        os._exit(EXIT_CODE)

    def _speak(self) -> None:
        _LOGGER.critical(
            "the bridge has been stuck for %g s and ends; here is where it was", self._limit
        )
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
