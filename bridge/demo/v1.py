"""The v1 wire as the virtual board speaks it: a message in, the answers to it out. No sockets."""

import hmac
import json
import secrets
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from bridge.demo import scene
from bridge.demo.device import Device, Fault

PATH = "/v1"

_MAX_TEXT = 1024
_MAX_ID = 128
_MAX_DETAIL = 200

Send = Callable[[str | bytes], Awaitable[None]]


class Conversation:
    """What is said on one connection. ``over`` is why the board wants to hang up, if it does."""

    def __init__(self, device: Device, send: Send, *, key: str | None) -> None:
        self._device = device
        self._send = send
        self._key = key
        self._nonce = secrets.token_hex(16)
        self._trusted = key is None
        self.over: str | None = None

    async def greet(self) -> None:
        """Say hello, as a board does before it is asked anything."""
        proof = {"auth": "none"} if self._key is None else {"auth": "hmac", "nonce": self._nonce}
        await self._say(
            "hello",
            None,
            protocol=1,
            device="esp32cam",
            name=self._device.name,
            firmware="1.0.0",
            board="virtual",
            sensor="OV2640",
            psram=True,
            framesizes=list(scene.FRAMESIZES),
            features=["flash", "framesize", "quality", "status", "settings", "restart"],
            **proof,
        )

    async def hear(self, message: str | bytes) -> None:
        """Answer a message, in one way or another."""
        id_ = None
        try:
            command = _parse(message)
            id_ = _id_of(command)
            await self._obey(command, id_)
        except Fault as fault:
            more = {} if fault.retry_after_ms is None else {"retry_after_ms": fault.retry_after_ms}
            detail = str(fault)[:_MAX_DETAIL]
            await self._say("error", id_, error=fault.error, detail=detail, **more)

    async def _obey(self, command: dict[str, Any], id_: str | None) -> None:
        name = command.get("cmd")
        if not isinstance(name, str):
            raise Fault("bad_request", "cmd: expected the name of a command")
        if name == "auth":
            self._check(command.get("mac"))
            await self._say("ok", id_, cmd="auth")
        elif not self._trusted:
            self.over = "unauthorized"
            raise Fault("unauthorized", "this board has a key: send auth first")
        elif name == "capture":
            await self._capture(command, id_)
        elif name == "status":
            await self._say("status", id_, **self._device.status())
        elif name == "set":
            settings, persist = command.get("settings", {}), command.get("persist", False)
            if not isinstance(settings, dict) or not isinstance(persist, bool):
                raise Fault("bad_request", "expected an object as settings, persist true or false")
            self._device.change(settings, persist=persist)
            await self._say("settings", id_, **self._device.settings)
        elif name == "restart":
            await self._say("ok", id_, cmd="restart")
            self.over = "restart"
        else:
            raise Fault("unknown_command", f"{name!r:.60} is no command of this board")

    def _check(self, mac: object) -> None:
        if self._key is None:
            return
        right = hmac.new(self._key.encode(), self._nonce.encode(), "sha256").hexdigest()
        shown = mac.encode(errors="replace") if isinstance(mac, str) else b""
        if not hmac.compare_digest(shown, right.encode()):
            self._trusted = False
            self.over = "unauthorized"
            raise Fault("unauthorized", "that is not the board's key")
        self._trusted = True

    async def _capture(self, options: dict[str, Any], id_: str | None) -> None:
        if self._device.is_crowded:
            raise Fault("busy", "others are waiting for the camera", retry_after_ms=200)
        picture = await self._device.capture(options)
        await self._say(
            "image",
            id_,
            bytes=len(picture.data),
            crc32=f"{zlib.crc32(picture.data):08x}",
            width=picture.width,
            height=picture.height,
            age_ms=max(0, self._device.uptime_ms - picture.exposed_ms),
            dropped=0,
            flash=picture.flash,
        )
        await self._send(picture.data)

    async def _say(self, type_: str, id_: str | None, **more: Any) -> None:
        told = {"type": type_} | ({} if id_ is None else {"id": id_}) | more
        await self._send(json.dumps(told, ensure_ascii=False, separators=(",", ":")))


def _parse(message: str | bytes) -> dict[str, Any]:
    if message == "capture":
        return {"cmd": "capture"}
    if isinstance(message, bytes):
        raise Fault("bad_request", "expected text, got a binary message")
    if len(message.encode()) > _MAX_TEXT:
        raise Fault("bad_request", f"expected {_MAX_TEXT} bytes at most")
    try:
        command = json.loads(message)
    except (ValueError, RecursionError):
        command = None
    if not isinstance(command, dict):
        raise Fault("bad_request", "expected one JSON object")
    return command


def _id_of(command: dict[str, Any]) -> str | None:
    id_ = command.get("id")
    if id_ is None:
        return None
    try:
        if isinstance(id_, str) and len(id_) <= _MAX_ID and id_.encode():
            return id_
    except UnicodeEncodeError:
        pass  # half a surrogate pair
    raise Fault("bad_request", f"id: expected 1 to {_MAX_ID} characters")
