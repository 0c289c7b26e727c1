"""What must hold for any bytes. Each target takes some and raises nothing but assertions."""

import asyncio
import json
import re
import socket
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import websocket

from bridge import command, jpeg, protocol, topics
from bridge.capture import Options
from bridge.errors import BadImage, BadRequest, BridgeError
from bridge.wire import BINARY, TEXT, Wire

SEEDS = Path(__file__).parent / "seeds"

_MAX_IMAGE, _MAX_TEXT = 1_000, 100  # small, so that a few bytes get past them
_COMMANDS = frozenset(topics.CameraTopics.of("esp32cam", "door").commands)


def fuzz_command(data: bytes) -> None:
    """A payload is a command or a bad request, whose words are few and fit to be shown."""
    for parse in (command.parse_capture, command.parse_set, command.parse_restart):
        try:
            parsed = parse(data)
        except BadRequest as exc:
            said, id_ = str(exc), exc.id
        else:
            said = ""
            id_ = parsed if isinstance(parsed, str | None) else parsed.id
        assert not said or said.isprintable()
        assert len(said) < 400
        if id_ is not None:
            assert 1 <= len(id_) <= 128
            assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", id_)
            id_.encode()  # which half a character would not let us


def fuzz_topic(data: bytes) -> None:
    """A response topic is refused in a sentence, or can be published to."""
    topic = data.decode(errors="ignore")
    fault = topics.response_topic_fault(topic, None, _COMMANDS)
    if fault is None:
        assert 1 <= len(topic.encode()) <= topics.MAX_RESPONSE
        assert not re.search(r"[+#\x00-\x1f\x7f-\x9f]|^\$", topic)
        assert topic not in _COMMANDS
    else:
        assert fault.isprintable()


def fuzz_board(data: bytes) -> None:
    """A board's text is a message or nothing, and every use of one is bounded."""
    match protocol.parse(data):
        case protocol.Hello() as hello:
            wanted = Options(flash=True, framesize="SVGA", quality=10)
            assert len(protocol.unsupported(wanted, hello) or "") < 400
            assert len(protocol.auth_command(hello, "key")) < 200
        case protocol.BoardError() as error:
            failure, after = protocol.failure(error)
            assert str(failure).isprintable()
            assert after is None or 0 <= after <= 60
        case protocol.Settings() as settings:
            json.dumps(settings.values(), allow_nan=False)
        case protocol.ImageHead() as head:
            try:
                protocol.check_image(head, data)
            except BadImage:
                return
            assert head.bytes == len(data)
            assert head.crc32 is None or int(head.crc32, 16) == zlib.crc32(data)
        case protocol.Status() as status:
            json.dumps(status.model_dump(), allow_nan=False)


Heard = tuple[list[tuple[int, bytes]], str | None]


def fuzz_frames(data: bytes) -> None:
    """Messages stay within their limits, and are the same however the bytes are dealt out."""
    data = data[:4_000]
    whole = _hear(data, len(data))
    for opcode, payload in whole[0]:
        assert opcode in (TEXT, BINARY)
        assert len(payload) <= (_MAX_TEXT if opcode == TEXT else _MAX_IMAGE)
    for ahead in (0, 1, len(data) // 2):
        assert _hear(data, ahead) == whole


def fuzz_jpeg(data: bytes) -> None:
    """It is one whole picture, of which nothing may be missing, or a bad image."""
    try:
        picture = jpeg.parse(data)
    except BadImage:
        return
    image = bytes(picture.data)
    assert image.startswith(b"\xff\xd8")
    assert image.endswith(b"\xff\xd9")
    assert not data[len(image) :].strip(b"\0")
    assert 0 < picture.width < 65_536
    assert 0 < picture.height < 65_536
    for wrong in (image[:-1], image[:-2], image[: len(image) // 2], image * 2, image + b"x"):
        try:
            jpeg.parse(wrong)
        except BadImage:
            continue
        raise AssertionError(f"{len(wrong)} bytes that are not one whole picture were taken")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "command": fuzz_command,
    "topic": fuzz_topic,
    "board": fuzz_board,
    "frames": fuzz_frames,
    "jpeg": fuzz_jpeg,
}


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _hear(data: bytes, ahead: int) -> Heard:
    """The messages in ``data`` and why the connection was lost; ``ahead`` came with the 101."""
    return _loop().run_until_complete(_listen(data, ahead))


async def _listen(data: bytes, ahead: int) -> Heard:
    ours, boards = socket.socketpair()
    messages: list[tuple[int, bytes]] = []
    lost: list[BridgeError] = []
    with ours, boards:
        ours.setblocking(False)
        connection = websocket.WebSocket(enable_multithread=False, skip_utf8_validation=True)
        connection.sock = ours
        connection.connected = True
        wire = Wire(
            (connection, data[:ahead]),
            max_image=_MAX_IMAGE,
            max_text=_MAX_TEXT,
            message=lambda opcode, payload: messages.append((opcode, bytes(payload))),
            lost=lost.append,
        )
        boards.sendall(data[ahead:])
        before = None
        while wire.open and before != (before := wire._frames.progress):
            wire.read()
        wire.abort()
    return messages, str(lost[0]) if lost else None
