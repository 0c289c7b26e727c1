"""The cable itself: does it do to connections what it says."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.fakes.link import Link
from tests.fakes.port import listen, number, reserve


class Echo:
    """Sends back what it gets."""

    def __init__(self) -> None:
        self.reserved = reserve()
        self.port = number(self.reserved)
        self.ended = threading.Event()
        self._listener = listen(self.reserved)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                while data := sock.recv(65_536):
                    sock.sendall(data)
            except OSError:
                pass
        self.ended.set()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reserved.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with ExitStack() as stack:
        echo = Echo()
        stack.callback(echo.close)
        yield echo


@pytest.fixture
def link(echo: Echo) -> Iterator[Link]:
    with Link(echo.port) as link:
        yield link


@pytest.fixture
def client(link: Link) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", link.port), timeout=5) as sock:
        yield sock


def test_a_good_cable_passes_everything_on(client: socket.socket) -> None:
    client.sendall(b"x" * 100_000)
    got = 0
    while got < 100_000:
        got += len(client.recv(65_536))


def test_a_pulled_cable_keeps_what_comes_until_it_is_plugged_in(
    link: Link, client: socket.socket
) -> None:
    link.stall()
    client.sendall(b"late")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(10)
    link.go()
    client.settimeout(5)
    assert client.recv(10) == b"late"


def test_it_cuts_after_so_many_bytes(link: Link, client: socket.socket) -> None:
    link.cut_after(6)
    client.sendall(b"1234567890")
    got = b""
    while data := client.recv(10):
        got += data
    assert got == b"123456"


def test_nothing_follows_a_cut(link: Link, client: socket.socket) -> None:
    """It would look to who connected as if bytes in the middle had been lost."""
    link.segment, link.gap = 5, 0.2
    link.cut_after(6, reset=True)
    client.sendall(b"1234567890")
    got = client.recv(5)
    client.sendall(b"more")  # is back at the cable before the cut
    got += client.recv(10)
    assert got == b"123456"
    with pytest.raises(ConnectionResetError):
        client.recv(10)


def test_a_reset_is_a_reset(link: Link, client: socket.socket) -> None:
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    link.cut(reset=True)
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_half_open_is_seen_by_one_side_alone(link: Link, client: socket.socket, echo: Echo) -> None:
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    link.forget()
    assert echo.ended.wait(5)
    client.settimeout(0.2)
    client.sendall(b"y")
    with pytest.raises(TimeoutError):
        client.recv(1)


def test_it_refuses_and_accepts_again(link: Link) -> None:
    link.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", link.port), timeout=5)
    link.resume()
    socket.create_connection(("127.0.0.1", link.port), timeout=5).close()


def test_it_splits_into_segments(link: Link, client: socket.socket) -> None:
    link.segment, link.gap = 10, 0.02
    client.sendall(b"x" * 35)
    sizes: list[int] = []
    while sum(sizes) < 35:
        sizes.append(len(client.recv(65_536)))
    assert sizes == [10, 10, 10, 5]
