"""What stands between a client and a real broker: a cable that can be cut, an old protocol."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, Self

from tests.fakes.port import listen, number, reserve

Refusal = Literal["connack", "reason", "close"]

_REFUSALS: dict[Refusal, bytes] = {
    "connack": b"\x20\x02\x00\x01",  # 3.1.1: unacceptable protocol version
    "reason": b"\x20\x03\x00\x84\x00",  # 5: unsupported protocol version
    "close": b"",
}
_SHORTEST = 14  # bytes of a CONNECT, at the least
_LEVEL = 7  # where it has the protocol's level, counted from the last byte of its length


class Proxy:
    """Passes bytes between who connects to ``port`` and a broker, until `cut`.

    Args:
        target: the broker's port.
        only_3_1_1: how to refuse a client of MQTT 5, as brokers do that never heard of it; ``None``
            lets everybody through.
    """

    def __init__(self, target: int, *, only_3_1_1: Refusal | None = None) -> None:
        self.target = target
        self.only_3_1_1 = only_3_1_1
        self.refuse = False  # everybody, without a word
        self.refused = 0
        self.connections = 0
        self._port: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where to connect to."""
        assert self._port is not None, "the proxy was not started"
        return number(self._port)

    def start(self) -> None:
        """Listen on a port of its own."""
        self._port = reserve()
        self._listener = listen(self._port)
        self._spawn(self._accept, self._listener)

    def stop(self) -> None:
        """Cut all connections; all threads have ended afterwards."""
        if self._port is None or self._listener is None:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        while self._threads:
            self.cut()
            self._threads.pop().join(10)
        self._port.close()

    def cut(self) -> None:
        """End every connection; the next ones are passed on again."""
        with self._lock:
            for sock in self._sockets:
                _hang_up(sock)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._sockets.append(client)
                self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            first = self._let_in(client)
            if first:
                self._pass_on(client, first)
        with self._lock:
            self._sockets.remove(client)

    def _let_in(self, client: socket.socket) -> bytes:
        """The first bytes of a client that may pass."""
        first = client.recv(4_096)
        if self.refuse:
            return b""
        if self.only_3_1_1 is None:
            return first
        while len(first) < _SHORTEST:
            more = client.recv(4_096)
            if not more:
                return b""
            first += more
        length_bytes = next(n for n in range(1, 5) if first[n] < 0x80)
        if first[length_bytes + _LEVEL] == 5:
            self.refused += 1
            client.sendall(_REFUSALS[self.only_3_1_1])
            return b""
        return first

    def _pass_on(self, client: socket.socket, first: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.target)) as broker:
            with self._lock:
                self._sockets.append(broker)
            for sock in (client, broker):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            broker.sendall(first)
            back = threading.Thread(target=_pump, args=(broker, client), daemon=True)
            back.start()
            _pump(client, broker)
            back.join()
            with self._lock:
                self._sockets.remove(broker)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        with self._lock:
            self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
            thread.start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for sock in (source, sink):
        _hang_up(sock)


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
