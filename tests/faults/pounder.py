"""An MQTT client that sends commands at a rate, each with an id of its own: "0", "1", …

    python -m tests.faults.pounder 1883 esp32cam/door/capture --qos 1 --rate 10000 --seconds 10

It speaks MQTT 3.1.1 by hand, because paho is not quick enough, and prints how many it has sent.
"""

import argparse
import selectors
import socket
import time
from typing import Self

_TICK = 0.01  # seconds between two batches


def main() -> None:
    """Connect, pound, wait for what is still to be acknowledged, and leave."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("topic")
    parser.add_argument("--qos", type=int, default=0)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    with _connect(options.port, b"pounder") as sock:
        print(_pound(sock, options), flush=True)
        sock.sendall(b"\xe0\0")


def _connect(port: int, client_id: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(_packet(0x10, b"\0\4MQTT\4\2\0\0" + len(client_id).to_bytes(2) + client_id))
    assert sock.recv(4) == b"\x20\2\0\0"
    return sock


class Ear:
    """Hears one topic at QoS 0, and costs so little that it does not hold up what is tested."""

    def __init__(self, port: int, topic: str) -> None:
        self.heard = bytearray()
        self._sock = _connect(port, b"ear")
        name = topic.encode()
        self._sock.sendall(_packet(0x82, b"\0\1" + len(name).to_bytes(2) + name + b"\0"))
        assert self._sock.recv(5) == b"\x90\3\0\1\0"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def listen(self, until: bytes, timeout: float) -> None:
        """Take what comes until this is in it, for as long as ``timeout`` at most."""
        deadline, at = time.monotonic() + timeout, len(self.heard)
        while self.heard.find(until, max(at - len(until), 0)) < 0:
            at = len(self.heard)
            self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
            part = self._sock.recv(1 << 16)
            assert part, "the broker has thrown the ear out"
            self.heard += part


def _pound(sock: socket.socket, options: argparse.Namespace) -> int:
    topic = options.topic.encode()
    head = len(topic).to_bytes(2) + topic
    first = 0x30 | options.qos << 1
    total = int(options.rate * options.seconds)
    began = time.monotonic()
    sent = acknowledged = 0
    sock.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        while sent < total or (options.qos and acknowledged < 4 * total):
            due = min(total, int((time.monotonic() - began + _TICK) * options.rate))
            batch = b"".join(
                _packet(
                    first,
                    head
                    + (b"" if not options.qos else (n % 65_535 + 1).to_bytes(2))
                    + b'{"id":"%d"}' % n,
                )
                for n in range(sent, due)
            )
            sock.setblocking(True)
            sock.sendall(batch)
            sock.setblocking(False)
            sent = due
            if selector.select(_TICK):
                answer = sock.recv(1 << 20)
                assert answer, "the broker has thrown us out"
                acknowledged += len(answer)  # each PUBACK has four bytes
    return sent


def _packet(first: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, digit = size >> 7, size & 0x7F
        length += bytes([digit | (0x80 if size else 0)])
        if not size:
            return bytes([first]) + length + body


if __name__ == "__main__":
    main()
