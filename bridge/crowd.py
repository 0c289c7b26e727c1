"""Commands that come faster than they are answered: each topic's in order, topics in turn. Pure."""

from collections import deque
from typing import Generic, TypeVar

MAX_BYTES = 24 * 1024 * 1024
"""What all that wait may take. Past it, a command is not taken in."""

_EACH = 512  # bytes that a command takes beside its payload, measured

_T = TypeVar("_T")


class Crowd(Generic[_T]):
    """Who waits, so that a flood on one topic holds up nobody on another."""

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
