"""The virtual board: an ESP32-CAM to talk to where there is none, on both of a board's wires.

On ``/v1`` it speaks our firmware's protocol, on every other path the original sketch's. It alone
imports websockets. ``python -m bridge.demo.board`` plays it by itself.
"""

import argparse
import asyncio
import contextlib
import errno
import logging
import signal
import socket
import struct
import sys
from http import HTTPStatus

from bridge.errors import ConfigError

try:
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.asyncio.server import serve as serve_websockets
    from websockets.exceptions import ConnectionClosed
    from websockets.http11 import Request, Response

    from bridge.demo import scene, v1
    from bridge.demo.device import Device, Fault
except ImportError as exc:
    raise ConfigError(
        [f"the virtual board needs {exc.name}: pip install 'esp32cam2mqtt[demo]'"]
    ) from exc

_LOGGER = logging.getLogger(__name__)
_WIRE = _LOGGER.getChild("websockets")
_WIRE.setLevel(logging.ERROR)  # each connection opened and closed is no news

DEFAULT_PORT = 8181
"""Where the board listens when it is played alone."""

_SLOTS = 5  # the sketch's WebSocket library has no more
_SEND_SECONDS = 6.0  # a client that reads more slowly is cut off, as our firmware does
_MAX_MESSAGE = 15 * 1024  # the library closes a connection on more
_MAX_NAME = 64

_RESET = struct.pack("ii", 1, 0)  # linger for no time: the client sees a reset


class VirtualBoard:
    """A board on this machine: ``start()`` opens its port, ``stop()`` closes it.

    Args:
        host: the address to listen on.
        port: 0 for a free one, which ``url`` then has.
        name: what it calls itself, in its hello and in its pictures.
        key: if given, ``/v1`` wants proof that one has it, and the other paths are closed.
        legacy_only: be a board with the original sketch, whatever the path.
        framesize: a name out of ``scene.FRAMESIZES``.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str = "porch",
        key: str | None = None,
        legacy_only: bool = False,
        framesize: str = "UXGA",
    ) -> None:
        if legacy_only and key is not None:
            raise ConfigError(["key: a board with the original sketch can't have one"])
        if framesize not in scene.FRAMESIZES:
            known = ", ".join(scene.FRAMESIZES)
            raise ConfigError([f"framesize: expected one of {known}, got {framesize!r}"])
        self.device = Device(name=" ".join(name.split())[:_MAX_NAME], framesize=framesize)
        self._host = host
        self._port = port
        self._key = key
        self._legacy_only = legacy_only
        self._server: Server | None = None
        self._slots: set[ServerConnection] = set()

    async def start(self) -> None:
        """Set the scene and open the port.

        Raises:
            ConfigError: the port is taken, or the address is none of this machine's.
        """
        try:
            self._server = await serve_websockets(
                self._serve,
                self._host,
                self._port,
                process_request=self._admit,
                create_connection=_limited(self._slots),
                compression=None,
                server_header=None,
                ping_interval=None,
                max_size=_MAX_MESSAGE,
                close_timeout=1,
                logger=_WIRE,
            )
        except OSError as exc:
            why = "another program has it" if exc.errno == errno.EADDRINUSE else exc.strerror
            raise ConfigError(
                [f"the virtual board can't have port {self._port} on {self._host}: {why}"]
            ) from exc
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        await asyncio.to_thread(scene.prepare, *scene.FRAMESIZES[self.device.settings["framesize"]])
        _LOGGER.info("virtual board %s: listening at %s", self.device.name, self.url)

    async def stop(self) -> None:
        """Hang up and close the port."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    @property
    def url(self) -> str:
        """Where to reach it, as it stands in ``config.yaml``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"ws://{host}:{self._port}"

    @property
    def wire(self) -> str:
        """What it speaks, as people would say it."""
        if self._legacy_only:
            return "with the original sketch"
        return "with our firmware" if self._key is None else "with our firmware and a key"

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if self._key is None or request.path == v1.PATH:
            return None
        told = f"This board has a key: connect to {v1.PATH}.\n"
        return connection.respond(HTTPStatus.UNAUTHORIZED, told)

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        legacy = self._legacy_only or connection.request.path != v1.PATH
        with contextlib.suppress(ConnectionClosed):
            await connection.ping(b"")  # the library's first word on every connection
            await (self._serve_legacy(connection) if legacy else self._serve_v1(connection))

    async def _serve_legacy(self, connection: ServerConnection) -> None:
        """``capture`` brings a JPEG; when the camera fails, and for all else, nothing comes."""
        while True:
            message: str | bytes | None = None
            async for piece in connection.recv_streaming():
                message = piece if message is None else b""  # the sketch knows no fragments
            if message == "capture":
                with contextlib.suppress(Fault):
                    picture = await self.device.capture({})
                    await _send(connection, picture.data)

    async def _serve_v1(self, connection: ServerConnection) -> None:
        async def send(message: str | bytes) -> None:
            await _send(connection, message)

        conversation = v1.Conversation(self.device, send, key=self._key)
        await conversation.greet()
        while conversation.over is None:
            await conversation.hear(await connection.recv())
        if conversation.over == "restart":
            await self._restart()
        else:
            await connection.close(1008, conversation.over)

    async def _restart(self) -> None:
        _LOGGER.info("virtual board %s: restarting", self.device.name)
        self.device.boot("software")
        async with asyncio.TaskGroup() as group:
            for connection in self._slots:
                group.create_task(connection.close(1001, "restart"))


def _limited(slots: set[ServerConnection]) -> type[ServerConnection]:
    """Connections that take one of a board's slots each; more are accepted, and reset."""

    class Slot(ServerConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            if len(slots) < _SLOTS:
                slots.add(self)
                return
            peer = transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            slots.discard(self)
            super().connection_lost(exc)

    return Slot


async def _send(connection: ServerConnection, message: str | bytes) -> None:
    try:
        async with asyncio.timeout(_SEND_SECONDS):
            await connection.send(message)
    except TimeoutError:
        connection.transport.abort()


def serve(board: VirtualBoard) -> int:
    """Play a board until Ctrl-C or SIGTERM, having told on standard error how to ask it.

    Returns the exit code; ``ConfigError`` as ``VirtualBoard.start`` raises it.
    """
    asyncio.run(_play(board))
    return 0


async def _play(board: VirtualBoard) -> None:
    await board.start()
    try:
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        for line in (
            f"{board.device.name}: a virtual ESP32-CAM at {board.url}, {board.wire}",
            f"  a picture:  esp32cam2mqtt capture {board.url} -o picture.jpg",
            "  Ctrl-C ends it",
        ):
            print(line, file=sys.stderr, flush=True)
        await stopping.wait()
    finally:
        await board.stop()


def main(argv: list[str] | None = None) -> int:
    """Play a board, as ``esp32cam2mqtt demo --board-only`` does."""
    parser = argparse.ArgumentParser(prog="python -m bridge.demo.board", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0: any (%(default)s)")
    parser.add_argument("--name", default="porch", help="what it calls itself (%(default)s)")
    parser.add_argument("--key", help="a key that it wants proof of")
    parser.add_argument("--legacy", action="store_true", help="be a board with the old sketch")
    parser.add_argument(
        "--framesize", default="UXGA", choices=list(scene.FRAMESIZES), help="(%(default)s)"
    )
    args = parser.parse_args(argv)
    try:
        board = VirtualBoard(
            host=args.host,
            port=args.port,
            name=args.name,
            key=args.key,
            legacy_only=args.legacy,
            framesize=args.framesize,
        )
        return serve(board)
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
