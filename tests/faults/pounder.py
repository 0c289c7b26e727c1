"""An MQTT client that sends commands at a rate, each with an id of its own: "0", "1", …

    python -m tests.faults.pounder 1883 esp32cam/door/capture --qos 1 --rate 10000 --seconds 10

It speaks MQTT 3.1.1 by hand, because paho is not quick enough, and prints how many it has sent.
"""

import argparse
import selectors
import socket
import time

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
    with socket.create_connection(("127.0.0.1", options.port)) as sock:
        sock.sendall(_packet(0x10, b"\0\4MQTT\4\2\0\0\0\7pounder"))
        assert sock.recv(4) == b"\x20\2\0\0"
        print(_pound(sock, options), flush=True)
        sock.sendall(b"\xe0\0")


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
