"""The floor: the least that the contract costs per capture with the same libraries.

    python -m tests.bench.floor -c config.yaml

A yardstick and no bridge. It keeps what the contract asks for one ordinary capture, and nothing
else: the JPEG looked over, image and result at QoS 1 with every key, MQTT 5 with content types,
commands acknowledged by hand once their result is handed over. It has no features, and raises at
the first surprise. One asyncio loop without a coroutine in the way: a command's callback asks the
board, and the last byte of the image publishes it. It reads `mqtt:` and the cameras' `url:` from
the bridge's config.yaml.
"""

import argparse
import asyncio
import json
import resource
import signal
import socket
import sys
import time
from collections import deque
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import yaml
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from websocket import ABNF, WebSocket, frame_buffer

_LARGE = 4096  # bytes from which a payload gets memory of its own
_LOW_WATER = 60_000  # below half of any receive buffer
_SEND_BUFFER = 1 << 20  # an image in one send: paho copies the rest of a packet for each
_ONE_SIZE = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # SOF0 to SOF15


class PackedProperties(Properties):
    """Properties that are packed once; paho packs them anew for each message."""

    packed: bytes | None

    def __init__(self, content_type: str) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self.ContentType = content_type
        packed = super().pack()  # type: ignore[no-untyped-call]
        object.__setattr__(self, "packed", packed)

    def pack(self) -> bytes:
        """Give back what was packed at the beginning."""
        assert self.packed is not None
        return self.packed


class Frames(frame_buffer):
    """websocket-client's parser on a non-blocking socket: it raises, and goes on when called again.

    A large payload is received where it stays, and the socket wakes us once most of it is there.
    """

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(self._receive, skip_utf8_validation=True)
        self._connection = connection
        self._payload = bytearray()
        self._got = 0
        self._low_water = 1

    def _receive(self, count: int) -> bytes:
        data = self._connection.recv(count)
        if not data:  # the parser would ask again for ever
            raise ConnectionError("the board closed the connection")
        return data

    def recv_strict(self, bufsize: int) -> Any:
        """Receive ``bufsize`` bytes; ``BlockingIOError`` until they are all here."""
        if bufsize < _LARGE:
            return super().recv_strict(bufsize)
        if not self._payload:
            self._payload = bytearray(bufsize)
            self._got = 0
        with memoryview(self._payload) as view:
            try:
                while self._got < bufsize:
                    count = self._connection.recv_into(view[self._got :])
                    if not count:
                        raise ConnectionError("the board closed the connection")
                    self._got += count
            except BlockingIOError:
                self._wake_at(min(bufsize - self._got, _LOW_WATER))
                raise
        self._wake_at(1)
        payload, self._payload = self._payload, bytearray()
        return payload

    def _wake_at(self, count: int) -> None:
        if count != self._low_water:
            self._low_water = count
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)


def look_over(jpeg: bytearray) -> tuple[int, int]:
    """Walk the segments, find the size, and see that the one EOI is the end."""
    if jpeg[:2] != b"\xff\xd8":
        raise ValueError("no SOI")
    place, size = 2, None
    while True:
        if jpeg[place] != 0xFF:
            raise ValueError(f"no marker at {place}")
        marker = jpeg[place + 1]
        if marker in _ONE_SIZE:
            size = (
                int.from_bytes(jpeg[place + 7 : place + 9], "big"),
                int.from_bytes(jpeg[place + 5 : place + 7], "big"),
            )
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
        if marker == 0xDA:
            break
    if size is None or jpeg.find(b"\xff\xd9", place) != len(jpeg) - 2:
        raise ValueError("no size, or cut off")
    return size


def timestamp(seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


class Camera:
    """One board's connection, the command it works on, and those that wait."""

    def __init__(self, name: str, url: str, base: str, client: Client) -> None:
        self._name = name
        self._image_topic = f"{base}/{name}/image"
        self._result_topic = f"{base}/{name}/result"
        self._client = client
        self._waiting: deque[tuple[MQTTMessage, float, float]] = deque()
        self._jpeg_properties = PackedProperties("image/jpeg")
        self._json_properties = PackedProperties("application/json")
        where = urlsplit(url)
        self._connection = socket.create_connection((where.hostname, where.port or 80), timeout=5)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._websocket = WebSocket(skip_utf8_validation=True)
        self._websocket.connect(  # type: ignore[no-untyped-call]
            url, socket=self._connection, redirect_limit=0
        )
        self._connection.setblocking(False)
        self._frames = Frames(self._connection)
        asyncio.get_running_loop().add_reader(self._connection, self._readable)

    def command(self, message: MQTTMessage) -> None:
        """Ask the board at once, or when it has answered those before."""
        self._waiting.append((message, time.monotonic(), time.time()))
        if len(self._waiting) == 1:
            self._websocket.send("capture")

    def _readable(self) -> None:
        try:
            frame = self._frames.recv_frame()
        except BlockingIOError:
            return
        if frame.opcode != ABNF.OPCODE_BINARY or not frame.fin:
            raise ValueError(f"a frame with opcode {frame.opcode}")
        self._answer(frame.data)

    def _answer(self, jpeg: Any) -> None:
        captured_at = time.time()
        width, height = look_over(jpeg)
        message, received, requested_at = self._waiting.popleft()
        if self._waiting:
            self._websocket.send("capture")
        self._client.publish(
            self._image_topic, jpeg, qos=1, retain=True, properties=self._jpeg_properties
        )
        result = {
            "id": json.loads(message.payload)["id"],
            "camera": self._name,
            "status": "ok",
            "error": None,
            "message": None,
            "trigger": "mqtt",
            "requested_at": timestamp(requested_at),
            "captured_at": timestamp(captured_at),
            "duration": round(time.monotonic() - received, 4),
            "attempts": 1,
            "bytes": len(jpeg),
            "width": width,
            "height": height,
            "sha256": None,
            "path": None,
            "url": None,
            "saved": False,
            "joined": False,
            "index": 1,
            "count": 1,
        }
        self._client.publish(
            self._result_topic, _encode(result).encode(), qos=1, properties=self._json_properties
        )
        self._client.ack(message.mid, message.qos)


class Floor:
    """Broker and cameras, tied together on the running loop."""

    def __init__(self, config: dict[str, Any]) -> None:
        mqtt = config["mqtt"]
        self._base: str = mqtt["base_topic"]
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=mqtt["client_id"],
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        self._cameras: dict[str, Camera] = {}
        self._host: str = mqtt["host"]
        self._port: int = mqtt["port"]
        self._urls = {name: camera["url"] for name, camera in config["cameras"].items()}
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Connect the boards, then the broker."""
        for name, url in self._urls.items():
            topic = f"{self._base}/{name}/capture"
            self._cameras[topic] = Camera(name, url, self._base, self._client)
        client = self._client
        client.on_socket_open = self._opened
        client.on_socket_close = self._closed
        client.on_socket_register_write = self._wants_to_write
        client.on_socket_unregister_write = self._has_written
        client.on_connect = self._connected
        client.on_message = self._message
        client.will_set(f"{self._base}/bridge/state", "offline", qos=1, retain=True)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 60
        properties.ReceiveMaximum = 1000
        client.connect(
            self._host, self._port, keepalive=30, clean_start=False, properties=properties
        )
        self._tick()

    def _opened(self, client: Client, _data: Any, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._loop.add_reader(sock, partial(self._readable, client, sock))

    def _closed(self, _client: Client, _data: Any, sock: Any) -> None:
        self._loop.remove_reader(sock)

    def _wants_to_write(self, client: Client, _data: Any, sock: Any) -> None:
        self._loop.add_writer(sock, client.loop_write)

    def _has_written(self, _client: Client, _data: Any, sock: Any) -> None:
        self._loop.remove_writer(sock)

    def _readable(self, client: Client, sock: socket.socket) -> None:
        client.loop_read()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _tick(self) -> None:
        self._client.loop_misc()
        self._loop.call_later(1.0, self._tick)

    def _connected(
        self,
        client: Client,
        _data: Any,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            raise ConnectionError(str(reason))
        options = SubscribeOptions(qos=1, retainHandling=2)
        client.subscribe([(topic, options) for topic in self._cameras])
        client.publish(f"{self._base}/bridge/state", "online", qos=1, retain=True)

    def _message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._cameras[message.topic].command(message)


async def run(config: dict[str, Any]) -> None:
    """Serve until SIGTERM; whatever goes wrong in a callback ends it too."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not ended.done():
            ended.set_exception(context.get("exception") or RuntimeError(context["message"]))

    asyncio.get_running_loop().set_exception_handler(fail)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.cancel)
    Floor(config).start()
    await ended


def main() -> None:
    """Run, as the command line says."""
    parser = argparse.ArgumentParser(description="The least that a capture can cost.")
    parser.add_argument("-c", required=True, help="the bridge's config.yaml")
    with open(parser.parse_args().c, encoding="utf-8") as file:
        config = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    bytes(4 * 1024 * 1024)  # glibc then keeps freed memory, as bridge/__main__.py explains
    try:
        asyncio.run(run(config))
    except asyncio.CancelledError:
        sys.exit(0)


if __name__ == "__main__":
    main()
