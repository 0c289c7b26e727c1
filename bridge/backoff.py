"""How long to wait before the broker is tried again, and whether somebody takes our place. Pure.

Two clients with one id throw each other out for ever (MQTT 5.0, section 3.1.4). Nobody but the
owner can end that, so the pauses then are long: from a minute, in which the other one gets
something done, to a quarter of an hour, in which its end, if it was a mistake, is noticed.
MQTT 5 has a reason code for it, which Mosquitto 2.0 does not send; there, and on 3.1.1, that we are
cut off as soon as we are let in has to do. A bridge that was started again has no rival: the one
before it is dead, and doesn't return.
"""

import random

_PAUSES = 0.5, 30.0
_RIVAL_PAUSES = 60.0, 900.0
_STEADY = 10.0  # a connection that lasted so long starts the pauses anew
_SHORT = 3  # connections cut off so soon, with nothing on its way, are a rival's doing


class BackOff:
    """The pauses between connections, one after the other."""

    def __init__(self) -> None:
        self._failures = 0
        self._short = 0
        self._rivalry = 0
        self.rival = False  # whether it was one that ended the last connection

    @property
    def first(self) -> bool:
        """Whether what has just happened is new, and worth a line in the log."""
        return (self._rivalry if self.rival else self._failures) == 1

    def failed(self) -> float:
        """No connection came about: seconds to wait."""
        self.rival = False
        self._short = 0
        return self._pause()

    def ended(self, *, lasted: float, taken_over: bool, hung_up: bool) -> float:
        """A connection has ended: seconds to wait.

        Args:
            lasted: how long it was, in seconds.
            taken_over: the broker said that another client has our id.
            hung_up: the broker ended it without a reason, though nothing was on its way to it.
        """
        if lasted > _RIVAL_PAUSES[1]:
            self._rivalry = 0
        if lasted > _STEADY:
            self._failures = self._short = 0
        self._short = self._short + 1 if hung_up and lasted <= _STEADY else 0
        self.rival = taken_over or self._short >= _SHORT
        return self._rival_pause() if self.rival else self._pause()

    def forget_failures(self) -> None:
        """Something else is about to be tried."""
        self._failures = 0

    def _pause(self) -> float:
        least, most = _PAUSES
        ceiling = min(most, least * 2 ** min(self._failures, 10))
        self._failures += 1
        return random.uniform(ceiling / 4, ceiling)

    def _rival_pause(self) -> float:
        least, most = _RIVAL_PAUSES
        ceiling = min(most, least * 2 ** min(self._rivalry, 10))
        self._rivalry += 1
        return random.uniform(ceiling, ceiling * 1.25)
