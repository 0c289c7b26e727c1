"""What may be asked over MQTT: the payloads of ``capture``, ``set`` and ``restart``. Pure.

The keys of a command are spelled here and nowhere else.
"""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge.capture import DEFAULT_OPTIONS, Options, Reply
from bridge.errors import BadRequest

MAX_COMMAND = 16 * 1024
"""Bytes of a command; the longest sensible one, a full id and every key, has under 2 KB."""

_PLAIN = frozenset({b"", b"capture", b"PRESS"})
# Unicode's noncharacters: Mosquitto throws out who sends one in a user property, as our answers do.
_NONE = "\ufdd0-\ufdef" + "".join(
    chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17)
)
_ID = re.compile(rf"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_NONE}]{{1,128}}")
_MAX_COUNT = 2**31 - 1  # of a burst that is refused for it: what every reader of JSON can hold
_QUOTED = 60  # characters of a peer's value that an error message repeats


@dataclass(frozen=True, slots=True)
class Command:
    """A message on ``<base>/<camera>/capture``, checked."""

    id: str | None = None
    reply: Reply = "image"
    options: Options = DEFAULT_OPTIONS


@dataclass(frozen=True, slots=True)
class Change:
    """A message on ``<base>/<camera>/set``, checked: ``own`` is for us, ``board`` for the board."""

    id: str | None
    own: dict[str, Any]
    board: dict[str, Any]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, defer_build=True)


_FrameSize = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,16}$")]
_Quality = Annotated[int, Field(ge=4, le=63)]


class _Capture(_Model):
    id: str | None = None
    reply: Reply = "image"
    save: bool | None = None
    flash: bool | None = None
    framesize: _FrameSize | None = None
    quality: _Quality | None = None
    count: Annotated[int, Field(ge=1, le=50)] = 1
    every: Annotated[float, Field(ge=0, le=3600)] = 0.0
    timeout: Annotated[float, Field(gt=0, le=600)] | None = None


class _Own(_Model):
    interval: Annotated[float, Field(ge=0, le=86400)] | None = None
    save: bool | None = None


class _Set(_Own):
    id: str | None = None
    flash: bool | None = None
    flash_level: Annotated[int, Field(ge=1, le=80)] | None = None
    framesize: _FrameSize | None = None
    quality: _Quality | None = None
    vflip: bool | None = None
    hmirror: bool | None = None


class _Restart(_Model):
    id: str | None = None


CAPTURE_KEYS = list(_Capture.model_fields)
SET_KEYS = [key for key in _Set.model_fields if key != "id"]

_EXPECTED = {
    "id": "1 to 128 characters, none of them a control character",
    "reply": "'image', 'path' or 'result'",
    "save": "true or false",
    "flash": "true or false",
    "flash_level": "a whole number from 1 to 80, percent of full power",
    "framesize": "a name such as 'SVGA'",
    "quality": "a whole number from 4 (best) to 63",
    "count": "a whole number from 1 to 50",
    "every": "seconds from 0 to 3600",
    "timeout": "seconds above 0, 600 at most",
    "interval": "0 (off) or seconds from 1 to 86400",
    "vflip": "true or false",
    "hmirror": "true or false",
}


def parse_capture(payload: bytes) -> Command:
    """Read a command; ``BadRequest`` names the key, what was expected and what came."""
    if payload in _PLAIN:
        return Command()
    document = _parse_object(payload, otherwise="'capture', 'PRESS', nothing")
    try:
        return _read_capture(document)
    except BadRequest as exc:
        count = document.get("count")
        if type(count) is int and 1 < count <= _MAX_COUNT:
            exc.count = count
        raise


def _read_capture(document: dict[str, Any]) -> Command:
    if len(document) == 1 and "id" in document:  # the usual one is spared pydantic's 50 us
        return Command(id=_usable_id(document))
    model = _validate(_Capture, document)
    if model.reply == "path" and model.save is False:
        raise BadRequest(
            "reply: 'path' goes only with a saved picture, and save is false", model.id
        )
    options = Options(
        save=model.save,
        flash=model.flash,
        framesize=model.framesize,
        quality=model.quality,
        count=model.count,
        every=model.every,
        timeout=model.timeout,
    )
    return Command(id=model.id, reply=model.reply, options=options)


def parse_set(payload: bytes) -> Change:
    """Read a change of settings; ``BadRequest`` names the key, what was expected and what came."""
    model = _validate(_Set, _parse_object(payload))
    changes = model.model_dump(exclude_none=True, exclude={"id"})
    if not changes:
        raise BadRequest(f"nothing to set; expected some of {', '.join(SET_KEYS)}", model.id)
    if 0 < changes.get("interval", 0) < 1:
        raise _wrong("interval", changes["interval"], model.id)
    own = {key: changes.pop(key) for key in _Own.model_fields if key in changes}
    return Change(id=model.id, own=own, board=changes)


def parse_restart(payload: bytes) -> str | None:
    """Read a restart command: its id, if it is an object that has one."""
    if not payload.lstrip().startswith(b"{"):
        return None
    return _validate(_Restart, _parse_object(payload)).id


def _parse_object(payload: bytes, *, otherwise: str = "") -> dict[str, Any]:
    expected = f"expected {otherwise}{' or ' if otherwise else ''}a JSON object"
    if len(payload) > MAX_COMMAND:
        raise BadRequest(f"{expected}, got {len(payload)} bytes; {MAX_COMMAND} is the most")
    try:
        document = _decode(payload.decode(json.detect_encoding(payload), "surrogatepass"))
    except (ValueError, RecursionError):
        raise BadRequest(f"{expected}, got {quote(payload)}") from None
    if not isinstance(document, dict):
        raise BadRequest(f"{expected}, got {quote(payload)}")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode  # once, and not for each command


def _usable_id(document: dict[str, Any]) -> str | None:
    id_ = document.get("id")
    if id_ is not None and not (isinstance(id_, str) and _ID.fullmatch(id_)):
        raise _wrong("id", id_, None)
    return id_


_M = TypeVar("_M", bound=_Model)


def _validate(model: type[_M], document: dict[str, Any]) -> _M:
    id_ = _usable_id(document)
    for key in document:
        if key not in model.model_fields:
            raise BadRequest(f"unknown key {quote(key)}; expected some of {_keys(model)}", id_)
    try:
        return model.model_validate({k: v for k, v in document.items() if v is not None})
    except ValidationError as exc:
        key = str(exc.errors(include_url=False)[0]["loc"][0])
    raise _wrong(key, document[key], id_)


def _wrong(key: str, value: object, id_: str | None) -> BadRequest:
    got = quote(value) if isinstance(value, str) else _cut(json.dumps(value))
    return BadRequest(f"{key}: expected {_EXPECTED[key]}, got {got}", id_)


def _keys(model: type[_Model]) -> str:
    return ", ".join(model.model_fields)


def quote(value: str | bytes) -> str:
    """What a peer sent, printable and cut short; of bytes that are no text, how many."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return f"{len(value)} bytes that are no text"
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"
