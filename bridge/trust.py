"""Whether the wall clock is to be believed when it says that pictures are too old. Pure.

A Raspberry Pi has no clock that runs without power, and a wrong year makes every picture old. So
by age nothing is deleted for a day after the clock has jumped, and after a start at which it makes
all pictures too old. A time that is kept for a day is right, or somebody has had time to see it.
"""

REST = 86_400.0
"""Seconds of rest."""

_JUMP = 3600.0  # seconds; time servers correct less, and summer time is no jump of this clock


class Trust:
    """Compares the wall clock with one that only counts seconds, sleep included."""

    def __init__(self) -> None:
        self._difference: float | None = None
        self._until: float | None = None

    def rest(self, elapsed: float) -> None:
        """Believe nothing for a day."""
        self._until = elapsed + REST

    def jumped(self, *, wall: float, elapsed: float) -> float | None:
        """By how many seconds the wall clock jumped since the last call, if it did; that is rest.

        Args:
            wall: what the wall clock says.
            elapsed: what the other says.
        """
        before, self._difference = self._difference, wall - elapsed
        if before is None or abs(self._difference - before) <= _JUMP:
            return None
        self.rest(elapsed)
        return self._difference - before

    def holds(self, elapsed: float) -> bool:
        """Whether the clock is believed."""
        return self._until is None or elapsed >= self._until
