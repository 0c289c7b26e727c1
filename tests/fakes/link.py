"""A cable to pull: passes bytes on, and does to them what networks do."""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from tests.fakes.port import listen, number, reserve

SEGMENT = 1_436
"""Bytes of a TCP segment that an ESP32 sends (TCP_MSS of both Arduino cores)."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: with a RST, not a FIN
_LOOK = 0.05  # seconds after which a thread that waits looks whether the link has ended


class Link:
    """Stands between who connects to ``port`` and who listens on ``target``, until `stop`.

    ``delay`` (seconds) holds up whatever passes; ``segment`` (bytes, 0: as they come) and ``gap``
    (seconds) say in which pieces and how slowly it is passed on to who connected. All three may be
    set at any time.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay = 0.0
        self.segment = 0
        self.gap = 0.0
        self.connections = 0
        self.on_cut: Callable[[], None] = lambda: None  # when what `cut_after` wants has happened
        self._left: int | None = None
        self._reset = False
        self._clear = threading.Event()
        self._clear.set()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._threads: list[threading.Thread] = []
        self._port = reserve()
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where to connect to."""
        return number(self._port)

    def stop(self) -> None:
        """End everything; all threads have ended afterwards."""
        self._ended.set()
        self._clear.set()
        self.refuse()
        self.cut()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "a thread of a link does not end"
        self._port.close()

    # Faults

    def stall(self) -> None:
        """Pass nothing on, and end nothing: a cable that was pulled. `go` plugs it in again."""
        self._clear.clear()

    def go(self) -> None:
        """Pass on again, also what came meanwhile."""
        self._clear.set()

    def refuse(self) -> None:
        """Refuse whoever connects; what is connected stays so."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def resume(self) -> None:
        """Accept again, on the same port."""
        with self._lock:
            if self._listener is None and not self._ended.is_set():
                self._listener = listen(self._port)
                self._spawn(self._accept, self._listener)

    def cut(self, *, reset: bool = False) -> None:
        """End every connection now."""
        with self._lock:
            pairs = [*self._pairs]
        for pair in pairs:
            pair.hang_up(reset=reset)

    def cut_after(self, count: int, *, reset: bool = False) -> None:
        """End the connection over which so many more bytes have gone to who connected."""
        with self._lock:
            self._left, self._reset = count, reset

    def forget(self) -> None:
        """Half-open: who listens sees the end of every connection, who connected sees nothing."""
        with self._lock:
            pairs = [*self._pairs]
        for pair in pairs:
            pair.forget()

    def heal(self) -> None:
        """Be a good cable again."""
        self.delay = self.gap = 0.0
        self.segment = 0
        with self._lock:
            self._left = None
        self.go()
        self.resume()

    # Threads

    def let_in(self, _near: socket.socket) -> bytes | None:
        """What was read of who has connected to see whether it may pass; ``None``: it may not."""
        return b""

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            pair = _Pair(near)
            with self._lock:
                self.connections += 1
                self._pairs.append(pair)
                self._spawn(self._serve, pair)

    def _serve(self, pair: "_Pair") -> None:
        with suppress(OSError):
            first = self.let_in(pair.near)
            if first is not None and not self._ended.is_set():
                self._pass_on(pair, first)
        with self._lock:
            self._pairs.remove(pair)
        pair.close()

    def _pass_on(self, pair: "_Pair", first: bytes) -> None:
        far = pair.reach(self.target)
        far.sendall(first)
        up = threading.Thread(target=self._pump, args=(pair, pair.near, far), daemon=True)
        up.start()
        self._pump(pair, far, pair.near)
        up.join()

    def _pump(self, pair: "_Pair", source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while not pair.ended and (data := source.recv(65_536)):
                if self.delay:
                    self._ended.wait(self.delay)
                while not self._clear.wait(_LOOK) and not self._ended.is_set():
                    pass
                if sink is pair.near:
                    self._deliver(pair, data)
                elif not pair.forgotten:
                    sink.sendall(data)
        if not (pair.forgotten and sink is pair.near):
            pair.hang_up()

    def _deliver(self, pair: "_Pair", data: bytes) -> None:
        with self._lock:
            left, reset = self._left, self._reset
            cut = left is not None and left <= len(data)
            if left is not None:
                self._left = None if cut else left - len(data)
        if cut:
            data = data[:left]
        size = self.segment or len(data) or 1
        for at in range(0, len(data), size):
            pair.near.sendall(data[at : at + size])
            if self.gap:
                self._ended.wait(self.gap)
        if cut:
            pair.hang_up(reset=reset)
            self.on_cut()

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
        thread.start()


class _Pair:
    """Who connected, and who listens, once it was reached."""

    def __init__(self, near: socket.socket) -> None:
        self.near = near
        self.forgotten = False
        self._far: socket.socket | None = None
        self.ended = False  # what still comes is not passed on

    def reach(self, port: int) -> socket.socket:
        """Connect to who listens; ``OSError`` if it can't be, or somebody has hung up."""
        self._far = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._far.settimeout(None)
        for sock in (self.near, self._far):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.ended:
            raise ConnectionAbortedError
        return self._far

    def hang_up(self, *, reset: bool = False) -> None:
        if self.ended:
            return
        self.ended = True
        for sock in self._both():
            with suppress(OSError):
                if reset:  # at the close that follows; a FIN must not go before it
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)

    def forget(self) -> None:
        self.forgotten = True
        if self._far is not None:
            with suppress(OSError):
                self._far.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for sock in self._both():
            sock.close()

    def _both(self) -> list[socket.socket]:
        return [self.near] if self._far is None else [self.near, self._far]
