"""Ports that nobody else gets, not even between two of our listeners."""

import socket


def reserve(host: str = "127.0.0.1", *, port: int = 0) -> socket.socket:
    """Bind a free port without listening on it: who connects is refused.

    Linux gives the port to nobody by chance as long as this socket is open, neither to a listener
    nor to an outgoing connection, while who asks for it by number and with ``SO_REUSEADDR``, as
    servers do, may listen on it.
    """
    sock = _socket(host)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def listen(reserved: socket.socket) -> socket.socket:
    """A new listener on a reserved port."""
    host, port = reserved.getsockname()[:2]
    sock = _socket(host)
    sock.bind((host, port))
    sock.listen(128)
    return sock


def number(reserved: socket.socket) -> int:
    """The port's number."""
    port: int = reserved.getsockname()[1]
    return port


def _socket(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock
