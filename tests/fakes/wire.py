"""A client's side of a board's wires, for tests that talk to a board without the bridge."""

import http.client
import io
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import websocket
from PIL import Image

from bridge import jpeg, protocol

TIMEOUT = 15.0
"""Seconds that a client waits: more than the longest that a board may take."""

_COMMENT = re.compile(rb"seq=(\d+) exposed_ms=(\d+) flash=([01])")


class Stamp(NamedTuple):
    """What a picture says of itself: its number, the uptime at its exposure, the light."""

    seq: int
    exposed_ms: int
    flash: bool


@contextmanager
def connected(url: str, path: str = "/", **options: Any) -> Iterator[websocket.WebSocket]:
    """A client that is connected, and hangs up at the end."""
    client = websocket.create_connection(url + path, **{"timeout": TIMEOUT, **options})
    try:
        yield client
    finally:
        client.shutdown()  # type: ignore[no-untyped-call]


class V1:
    """The bridge's side of the v1 wire."""

    def __init__(self, client: websocket.WebSocket) -> None:
        self.client = client
        self.hello = self.message()

    def message(self) -> dict[str, Any]:
        """What comes next, which is a text."""
        opcode, data = self.client.recv_data()
        assert opcode == websocket.ABNF.OPCODE_TEXT, (opcode, data[:80])
        assert len(data) <= 1024
        told = json.loads(data)
        assert isinstance(told, dict)
        return told

    def tell(self, cmd: str | None = None, **more: Any) -> None:
        """Send a command."""
        self.client.send(json.dumps(({} if cmd is None else {"cmd": cmd}) | more))

    def ask(self, cmd: str | None = None, **more: Any) -> dict[str, Any]:
        """Send a command; its answer comes back."""
        self.tell(cmd, **more)
        return self.message()

    def capture(self, **options: Any) -> tuple[dict[str, Any], bytes]:
        """Take a picture: its announcement, and itself."""
        self.tell("capture", **options)
        return self.image()

    def image(self) -> tuple[dict[str, Any], bytes]:
        """What comes next, which is a picture that belongs to its announcement."""
        head = self.message()
        message = protocol.parse(json.dumps(head).encode())
        assert isinstance(message, protocol.ImageHead), head
        data = picture(self.client)
        protocol.check_image(message, data)
        return head, data

    def prove(self, key: str) -> dict[str, Any]:
        """Show that one has the key; what the board says to it."""
        hello = protocol.parse(json.dumps(self.hello).encode())
        assert isinstance(hello, protocol.Hello)
        self.client.send(protocol.auth_command(hello, key))
        return self.message()

    def closing_code(self) -> int:
        """What comes next, which is the connection's end: why."""
        opcode, data = self.client.recv_data()
        assert opcode == websocket.ABNF.OPCODE_CLOSE, data[:80]
        return int.from_bytes(data[:2])


@contextmanager
def talking(url: str, *, key: str | None = None) -> Iterator[V1]:
    """A conversation on v1, in which the key was shown if there is one."""
    with connected(url, "/v1") as client:
        board = V1(client)
        if key is not None:
            assert board.prove(key) == {"type": "ok", "cmd": "auth"}
        yield board


def wait_until_up(url: str, timeout: float = 10.0) -> None:
    """Wait until a board that restarts lets itself be connected to."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with connected(url):
                return
        except (OSError, websocket.WebSocketException):
            assert time.monotonic() < deadline, f"{url} does not come back"


def picture(client: websocket.WebSocket) -> bytes:
    """What comes next, which is a picture."""
    opcode, data = client.recv_data()
    assert opcode == websocket.ABNF.OPCODE_BINARY, data[:80]
    assert jpeg.parse(data)
    return bytes(data)


def stamp(data: bytes) -> Stamp:
    """What the picture says of itself."""
    found = _COMMENT.search(data)
    assert found, data[:80]
    return Stamp(int(found[1]), int(found[2]), found[3] == b"1")


def decoded(data: bytes) -> Image.Image:
    """The picture itself."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def size(data: bytes) -> tuple[int, int]:
    """Width and height, of a picture that can be decoded."""
    return decoded(data).size


class Answer(NamedTuple):
    """What a board's page answers."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


def page(
    url: str,
    method: str,
    path: str,
    body: bytes | Mapping[str, Any] | None = None,
    *,
    password: str | None = None,
    **headers: str,
) -> Answer:
    """Ask a board's HTTP server, once: a mapping goes as JSON."""
    if password is not None:
        headers["X-Password"] = password
    if isinstance(body, Mapping):
        body = json.dumps(body).encode()
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()
