"""RFC 6455 as far as a board needs it, at the level of bytes, so that it can also be done wrong."""

import base64
import hashlib
import itertools
import struct
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Frame(NamedTuple):
    """A frame that was received, unmasked; ``at_ns`` is monotonic, connections count from 1."""

    at_ns: int
    connection: int
    opcode: int
    payload: bytes
    fin: bool
    masked: bool


def encode(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = b"") -> bytes:
    """A whole frame."""
    return header(opcode, len(payload), fin=fin, mask=mask) + masked(payload, mask)


def header(opcode: int, length: int, *, fin: bool = True, mask: bytes = b"") -> bytes:
    """A frame's beginning, whatever length it claims.

    As the boards' library does it: 65,535 already has a length of 64 bits, where 16 would do.
    """
    first = opcode | (0x80 if fin else 0)
    masks = 0x80 if mask else 0
    if length < 126:
        head = struct.pack(">BB", first, masks | length)
    elif length < 65_535:
        head = struct.pack(">BBH", first, masks | 126, length)
    else:
        head = struct.pack(">BBQ", first, masks | 127, length)
    return head + mask


def masked(payload: bytes, mask: bytes) -> bytes:
    """The payload under a mask of four bytes, or without it again; no mask leaves it as it is."""
    if not mask:
        return payload
    return bytes(byte ^ key for byte, key in zip(payload, itertools.cycle(mask), strict=False))


def accept_key(key: str) -> str:
    """What a server answers to a client's ``Sec-WebSocket-Key``."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
