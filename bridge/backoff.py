"""How long to wait before a board or the broker is tried again, and whether a rival is there. Pure.

Two clients with one id throw each other out for ever (MQTT 5.0, section 3.1.4). Nobody but the
owner can end that, so the pauses then are long: from a minute, in which the other one gets
something done, to a quarter of an hour, in which its end, if it was a mistake, is noticed.
MQTT 5 has a reason code for it, which Mosquitto 2.0 does not send; there, and on 3.1.1, that we are
cut off as soon as we are let in has to do. A bridge that was started again has no rival: the one
before it is dead, and doesn't return.
"""

import random

_FORGIVEN = 900.0  # seconds of a connection after which a rival is no more
_STEADY = 10.0  # a connection that lasted so long starts the pauses anew
_SHORT = 3  # connections cut off so soon, with nothing on its way, are a rival's doing


class Pauses:
    """Seconds to wait after each failure in a row: about twice as many each time.

    Args:
        least: of which the first pause is drawn.
        most: of which the longest ones are.
        spread: between which multiples of these it is drawn, for not all to come at once.
    """

    def __init__(self, least: float, most: float, *, spread: tuple[float, float]) -> None:
        self._least = least
        self._most = most
        self._spread = spread
        self.failures = 0

    def next(self) -> float:
        """Something has failed once more: seconds to wait."""
        pause = min(self._most, self._least * 2 ** min(self.failures, 10))
        self.failures += 1
        low, high = self._spread
        return random.uniform(low * pause, high * pause)


class BackOff:
    """The pauses between connections to the broker, one after the other."""

    def __init__(self) -> None:
        self._pauses = Pauses(0.5, 30.0, spread=(0.25, 1))
        self._rivalry = Pauses(60.0, _FORGIVEN, spread=(1, 1.25))
        self._short = 0
        self.rival = False  # whether it was one that ended the last connection

    @property
    def first(self) -> bool:
        """Whether what has just happened is new, and worth a line in the log."""
        return (self._rivalry if self.rival else self._pauses).failures == 1

    def failed(self) -> float:
        """No connection came about: seconds to wait."""
        self.rival = False
        self._short = 0
        return self._pauses.next()

    def ended(self, *, lasted: float, taken_over: bool, hung_up: bool) -> float:
        """A connection has ended: seconds to wait.

        Args:
            lasted: how long it was, in seconds.
            taken_over: the broker said that another client has our id.
            hung_up: the broker ended it without a reason, though nothing was on its way to it.
        """
        if lasted > _FORGIVEN:
            self._rivalry.failures = 0
        if lasted > _STEADY:
            self._pauses.failures = self._short = 0
        self._short = self._short + 1 if hung_up and lasted <= _STEADY else 0
        self.rival = taken_over or self._short >= _SHORT
        return (self._rivalry if self.rival else self._pauses).next()

    def forget_failures(self) -> None:
        """Something else is about to be tried."""
        self._pauses.failures = 0
