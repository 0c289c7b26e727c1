"""Which commands are in the works and which are answered, so that none is done twice. Pure.

A broker that did not see our acknowledgement sends a command again when the connection is back,
marked DUP (MQTT 5.0, section 4.4). This process may have it in the works, or have answered it.
"""

from collections import deque
from typing import Generic, Protocol, TypeVar

MAX_BYTES = 24 * 1024 * 1024
"""What all that wait may take. Past it, a command is not taken in."""

_EACH = 512  # bytes that a command takes beside what its sender chose; an estimate

_T = TypeVar("_T")


class Connection(Protocol):
    """The part of a broker connection that takes acknowledgements; lost, it ignores them."""

    def acknowledge(self, mid: int) -> None:
        """Send PUBACK."""


class Delivery:
    """One command as the broker delivered it, until it is known to be acknowledged."""

    __slots__ = ("connection", "mid", "outlived", "settled", "what")

    def __init__(self, mid: int, what: int, connection: Connection) -> None:
        self.mid = mid
        self.what = what
        self.connection = connection
        self.settled = False
        self.outlived = False  # a connection that caught up, since it was settled

    def settle(self) -> None:
        """Its answer is with the broker: acknowledge it to who brought it last."""
        if not self.settled:
            self.settled = True
            self.connection.acknowledge(self.mid)


class Inbox:
    """The deliveries of one session with the broker, by packet identifier."""

    def __init__(self) -> None:
        self._deliveries: dict[int, Delivery] = {}
        self._acknowledged: deque[Delivery | None] = deque()
        self._counted = 0
        self._caught_up = False

    def arrived(
        self,
        mid: int,
        content: tuple[str, bytes, bytes | None],
        *,
        dup: bool,
        connection: Connection,
    ) -> Delivery | None:
        """Note a command of QoS 1; ``None`` if it is one that we have had.

        ``content`` is its topic, payload and correlation data.
        """
        what = hash(content)
        known = self._deliveries.get(mid)
        if dup and known is not None and known.what == what:
            known.connection = connection
            if known.settled:
                connection.acknowledge(mid)
            return None
        delivery = self._deliveries[mid] = Delivery(mid, what, connection)
        return delivery

    def acknowledged(self, mid: int) -> None:
        """A PUBACK was written; whether it arrived is not known yet."""
        self._acknowledged.append(self._deliveries.get(mid))
        self._counted += 1

    def mark(self) -> int:
        """A point in what we have written. When the broker answers what followed, see ``seen``."""
        return self._counted

    def seen(self, mark: int) -> None:
        """The broker has read all that was written before ``mark``: those are done with."""
        for _ in range(len(self._acknowledged) - (self._counted - mark)):
            delivery = self._acknowledged.popleft()
            if delivery is not None and self._deliveries.get(delivery.mid) is delivery:
                del self._deliveries[delivery.mid]

    def reconnected(self, *, session_present: bool) -> None:
        """A new connection: what was written on the old one may not have arrived.

        What was settled is remembered for one connection more, and until one has `caught_up`: on
        it the broker sends again all that it misses, and later it may use the packet identifiers
        for other messages.
        """
        self._acknowledged.clear()
        caught_up, self._caught_up = self._caught_up, False
        if not session_present:
            self._deliveries.clear()
        elif caught_up:
            for mid, delivery in list(self._deliveries.items()):
                if delivery.outlived:
                    del self._deliveries[mid]
                delivery.outlived = delivery.settled

    def caught_up(self) -> None:
        """The broker has answered what we sent after it took us in: what it had to send again came
        before that."""
        self._caught_up = True


class Crowd(Generic[_T]):
    """Commands that come faster than they are answered: each topic's in order, topics in turn.

    So a flood on one topic holds up nobody on another.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lines: dict[str, deque[tuple[_T, int]]] = {}  # the next one's topic is the first

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __contains__(self, topic: str) -> bool:
        """Whether some of this topic wait: who comes later must stand behind them."""
        return topic in self._lines

    def put(self, topic: str, command: _T, size: int) -> bool:
        """Let one of ``size`` bytes wait; ``False`` if there is no room."""
        size += _EACH
        if self._bytes + size > self._max_bytes:
            return False
        self._bytes += size
        self._lines.setdefault(topic, deque()).append((command, size))
        return True

    def take(self) -> _T:
        """The first of the topic whose turn it is."""
        topic = next(iter(self._lines))
        line = self._lines.pop(topic)
        command, size = line.popleft()
        self._bytes -= size
        if line:
            self._lines[topic] = line  # behind the others
        return command
