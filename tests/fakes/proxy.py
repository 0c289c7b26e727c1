"""A broker's door: it sends away who speaks a version that brokers had never heard of."""

import socket
from typing import Literal

from tests.fakes.link import Link

Refusal = Literal["connack", "reason", "close"]

_REFUSALS: dict[Refusal, bytes] = {
    "connack": b"\x20\x02\x00\x01",  # 3.1.1: unacceptable protocol version
    "reason": b"\x20\x03\x00\x84\x00",  # 5: unsupported protocol version
    "close": b"",
}
_SHORTEST = 14  # bytes of a CONNECT, at the least
_LEVEL = 7  # where it has the protocol's level, counted from the last byte of its length


class Proxy(Link):
    """A cable to a broker, with a door in front of it.

    Args:
        target: the broker's port.
        only_3_1_1: how to refuse a client of MQTT 5, as brokers do that never heard of it; ``None``
            lets everybody through.
    """

    def __init__(self, target: int, *, only_3_1_1: Refusal | None = None) -> None:
        super().__init__(target)
        self.only_3_1_1 = only_3_1_1
        self.shut = False  # to everybody, who is let come and then sent away without a word
        self.refused = 0

    def let_in(self, near: socket.socket) -> bytes | None:
        """The first bytes of a client that may pass."""
        first = near.recv(4_096)
        if self.shut or not first:
            return None
        if self.only_3_1_1 is None:
            return first
        while len(first) < _SHORTEST:
            more = near.recv(4_096)
            if not more:
                return None
            first += more
        length_bytes = next(n for n in range(1, 5) if first[n] < 0x80)
        if first[length_bytes + _LEVEL] == 5:
            self.refused += 1
            near.sendall(_REFUSALS[self.only_3_1_1])
            return None
        return first
