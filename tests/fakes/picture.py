"""Real JPEGs of a chosen size, each with a stamp inside that proves which request it answers."""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

APP0, COM, SOF0, SOS = 0xE0, 0xFE, 0xC0, 0xDA
EOI = b"\xff\xd9"

_LONGEST = 65_537  # bytes of a segment, marker and length included
_MOST = 62  # coefficients of a block in `noise`, between its first and its end-of-block
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # in entropy-coded data: no stuffing, no restart


@lru_cache(maxsize=64)
def noise(width: int, height: int, size: int = 0) -> bytes:
    """A grey baseline JPEG of noise that comes near to ``size`` bytes from below.

    It has no fewer than its blocks need, two bytes each, and no more than they hold. Each
    Huffman code in it is a whole byte: 0 for no change and for end of block, 1 for a coefficient,
    which a byte with its value follows. That makes the size a matter of counting.
    """
    head = b"".join(
        (
            b"\xff\xd8",
            _segment(0xDB, b"\x00" + b"\x01" * 64),
            _segment(SOF0, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"),
            _segment(0xC4, b"\x00" + bytes((0, 0, 0, 0, 0, 0, 0, 1)) + bytes(8) + b"\x00"),
            _segment(0xC4, b"\x10" + bytes((0, 0, 0, 0, 0, 0, 0, 2)) + bytes(8) + b"\x00\x08"),
            _segment(SOS, b"\x01\x01\x00\x00\x3f\x00"),
        )
    )
    blocks = -(-width // 8) * -(-height // 8)
    spare = max(size - len(head) - 2 * blocks - len(EOI), 0)
    each, more = divmod(spare * 256 // 513, blocks)  # 513 bytes: 256 coefficients, one stuffed
    scan = bytearray()
    value = 0
    for block in range(blocks):
        scan.append(0)
        for _ in range(min(each + (block < more), _MOST)):
            value = (value + 151) % 256
            scan += b"\x01\xff\x00" if value == 0xFF else bytes((1, value))
        scan.append(0)
    return head + bytes(scan) + EOI


def stamped(jpeg: bytes, stamp: Mapping[str, Any], *, size: int = 0) -> bytes:
    """The picture with ``stamp`` as JSON in a comment, filled up to exactly ``size`` bytes.

    Where stamp and picture need more than that it has as many as they need.
    """
    text = json.dumps(stamp).encode()
    room = max(size - len(jpeg), len(text) + 4)
    count = -(-room // _LONGEST)
    lengths = [room // count + (n < room % count) - 4 for n in range(count)]
    comments = b"".join(
        _segment(COM, (b"" if n else text).ljust(length)) for n, length in enumerate(lengths)
    )
    at = 2
    if jpeg[2:4] == bytes((0xFF, APP0)):  # JFIF wants its own segment to be the first
        at += 2 + int.from_bytes(jpeg[4:6])
    return jpeg[:at] + comments + jpeg[at:]


def stamp(jpeg: bytes) -> dict[str, Any]:
    """The stamp of a board's picture; ``ValueError`` if it has none."""
    for marker, body in segments(jpeg):
        if marker == COM and body.startswith(b'{"board"'):
            found: dict[str, Any] = json.loads(body)
            return found
    raise ValueError(f"no stamp in these {len(jpeg)} bytes")


def segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk a JPEG strictly: each segment's marker and content; ``ValueError`` at a fault."""
    if jpeg[:2] != b"\xff\xd8":
        raise ValueError("no SOI")
    at = 2
    while jpeg[at : at + 2] != EOI:
        length = int.from_bytes(jpeg[at + 2 : at + 4])
        end = at + 2 + length
        if len(jpeg) < end + 2 or jpeg[at] != 0xFF or length < 2:
            raise ValueError(f"no segment at {at} of {len(jpeg)}")
        yield jpeg[at + 1], jpeg[at + 4 : end]
        if jpeg[at + 1] == SOS:
            marker = _MARKER.search(jpeg, end)
            if marker is None:
                raise ValueError("no EOI")
            end = marker.start()
        at = end
    if at + 2 != len(jpeg):
        raise ValueError(f"EOI at {at} of {len(jpeg)}")


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
