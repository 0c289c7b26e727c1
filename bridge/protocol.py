"""The board's two wires, as values: what to send, and what was received. Pure.

Legacy is the original sketch's: the text frame ``capture`` brings one binary message, a JPEG.
v1 is our firmware's: JSON in text frames, where an ``image`` message announces the binary one.
This module alone spells its keys; ``bridge.demo.v1`` is the board's side of it.
"""

import hmac
import json
import math
import zlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bridge.capture import Options
from bridge.command import quote
from bridge.errors import BadImage, BridgeError, CameraFailed, Unauthorized, Unsupported

LEGACY_CAPTURE = "capture"
"""Seven bytes in one unfragmented frame; an empty message would crash the original sketch."""

V1_PATH = "/v1"

MAX_TEXT = 16 * 1024
"""Bytes of a board's text message; the protocol promises at most 1 KiB."""

_PASSING = {"busy", "camera_failed", "no_fresh_frame", "low_memory"}  # worth asking again
_MAX_RETRY_AFTER = 60.0

_Text = Annotated[str, Field(max_length=200)]
_Count = Annotated[int, Field(ge=0, lt=2**64)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class Hello(_Message):
    """What a v1 board says of itself as soon as it is connected to."""

    type: Literal["hello"]
    protocol: Literal[1]
    device: _Text | None = None
    name: _Text | None = None
    firmware: _Text | None = None
    board: _Text | None = None
    sensor: _Text | None = None
    psram: bool | None = None
    framesizes: Annotated[list[_Text], Field(max_length=64)] = []
    features: Annotated[list[_Text], Field(max_length=64)] = []
    auth: _Text | None = None
    nonce: _Text | None = None


class Ok(_Message):
    """The board did what it was told."""

    type: Literal["ok"]
    cmd: _Text | None = None
    id: _Text | None = None


class ImageHead(_Message):
    """Announces the image: the very next data message has ``bytes`` bytes."""

    type: Literal["image"]
    id: _Text | None = None
    bytes: _Count
    crc32: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{1,8}$")] | None = None
    width: _Count | None = None
    height: _Count | None = None


class BoardError(_Message):
    """The board could not."""

    type: Literal["error"]
    id: _Text | None = None
    error: _Text
    detail: _Text | None = None
    retry_after_ms: Annotated[float, Field(ge=0)] | None = None


class Status(_Message):
    """The board's health."""

    type: Literal["status"]
    id: _Text | None = None
    uptime_ms: _Count | None = None
    rssi: Annotated[int, Field(ge=-999, le=999)] | None = None
    heap: _Count | None = None
    min_heap: _Count | None = None
    largest_block: _Count | None = None
    psram_free: _Count | None = None
    reset_reason: _Text | None = None
    captures: _Count | None = None
    failures: _Count | None = None
    camera_reinits: _Count | None = None
    wifi_reconnects: _Count | None = None


class Settings(_Message):
    """All settings of the board, as they are now."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["settings"]
    id: _Text | None = None

    def values(self) -> dict[str, bool | int | float | str]:
        """The settings themselves, those that JSON can say in a word."""
        extra = self.model_extra or {}
        nested = extra.get("settings")
        return {
            key: value
            for key, value in (nested if isinstance(nested, dict) else extra).items()
            if isinstance(value, bool | int | str)
            or (isinstance(value, float) and math.isfinite(value))
        }


Message = Hello | Ok | ImageHead | BoardError | Status | Settings
_MESSAGE: TypeAdapter[Message] = TypeAdapter(
    Annotated[Message, Field(discriminator="type")], config=ConfigDict(defer_build=True)
)


def parse(text: bytes) -> Message | None:
    """A board's text message, or ``None`` if it is none of ours: garbled, or newer than we are."""
    try:
        return _MESSAGE.validate_json(text)
    except ValidationError:
        return None


def capture_command(id: str, options: Options, hello: Hello) -> str:  # noqa: A002
    """Ask for one picture.

    Raises:
        Unsupported: the options want what this board can't do.
    """
    fault = unsupported(options, hello)
    if fault is not None:
        raise Unsupported(fault)
    wanted = {"flash": options.flash, "framesize": options.framesize, "quality": options.quality}
    return _command("capture", id, **{k: v for k, v in wanted.items() if v is not None})


def set_command(id: str, settings: dict[str, Any]) -> str:  # noqa: A002
    """Change settings of the board for good; without any, just have them told."""
    return _command("set", id, settings=settings, persist=bool(settings))


def status_command(id: str) -> str:  # noqa: A002
    """Ask for the board's health."""
    return _command("status", id)


def restart_command(id: str) -> str:  # noqa: A002
    """Restart the board."""
    return _command("restart", id)


def auth_command(hello: Hello, key: str) -> str:
    """Prove that we have the key, without sending it.

    The HMAC is over the nonce's characters as they were sent.
    """
    nonce = (hello.nonce or "").encode()
    return json.dumps({"cmd": "auth", "mac": hmac.new(key.encode(), nonce, "sha256").hexdigest()})


def _command(cmd: str, id: str, **more: Any) -> str:  # noqa: A002
    return json.dumps({"cmd": cmd, "id": id, **more}, separators=(",", ":"))


def unsupported(options: Options, hello: Hello | None) -> str | None:
    """What of this the board can't do, as a sentence, or ``None``. No hello: a legacy board."""
    wanted = {"flash": options.flash, "framesize": options.framesize, "quality": options.quality}
    for name, value in wanted.items():
        if value is None or value is False:
            continue
        if hello is None:
            return f"{name}: a board with the original sketch takes pictures as it is set up"
        if name not in hello.features:
            return f"{name}: this board has no {name} to choose"
    if (
        options.framesize
        and hello
        and hello.framesizes
        and options.framesize not in hello.framesizes
    ):
        has = ", ".join(hello.framesizes)[:200]
        return f"framesize: this board has no {options.framesize}; it has {has}"
    return None


def check_image(head: ImageHead | None, data: bytes | bytearray) -> None:
    """Hold the image against its announcement; ``BadImage`` if they differ."""
    if head is None:
        return
    if len(data) != head.bytes:
        raise BadImage(f"the board announced {head.bytes} bytes and sent {len(data)}")
    if head.crc32 is not None and zlib.crc32(data) != int(head.crc32, 16):
        raise BadImage("the image's CRC is not the one that the board announced")


def failure(error: BoardError) -> tuple[BridgeError, float | None]:
    """A board's error as ours, and the seconds after which it is worth asking again, if it is."""
    said = f"the board says {quote(error.error)}"
    if error.detail:
        said += f": {quote(error.detail)}"
    if error.error == "unauthorized":
        return Unauthorized(said), None
    if error.error in {"bad_framesize", "unknown_command"}:
        return Unsupported(said), None
    if error.error in _PASSING:
        return CameraFailed(said), min((error.retry_after_ms or 0) / 1000, _MAX_RETRY_AFTER)
    return CameraFailed(said), None
