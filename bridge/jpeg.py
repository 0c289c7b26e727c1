"""Is it one whole JPEG? As much of ITU-T T.81, annex B, as answers that.

A length that fits and an SOI in front prove nothing: a board that was stopped half-way through a
picture fills the rest of the announced length with its next one. So the markers are walked, from
SOI to the only EOI. The pixels themselves are not decoded.
"""

import re
from dataclasses import dataclass, field

from bridge.errors import BadImage

_SOI = b"\xff\xd8"
_EOI = b"\xff\xd9"
_SOS = 0xDA
_SOF = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # without DHT, JPG and DAC
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xFE})  # DHT, DAC, DQT, DRI, and COM
_APPS = frozenset(range(0xE0, 0xF0))  # APPn: an EXIF thumbnail in one is a JPEG in the JPEG

_BEFORE_SOF = _TABLES | _APPS | _SOF
_BEFORE_SOS = _TABLES | _APPS | {_SOS}
_BETWEEN_SCANS = _TABLES | {_SOS}

# A camera's picture has about ten, a progressive one with a large colour profile maybe 300. A
# message of nothing but empty segments would hold up every other camera for seconds.
_MAX_SEGMENTS = 1000

# The next marker in a scan: there FF00 stands for a byte FF, RSTn (FFD0 to FFD7) is part of the
# data, and any number of FF may fill the way to a marker. Nearly all the time goes into this: µs
# for 20, 100 and 400 KB on CPython 3.11, bytes and bytearray alike: 7, 35, 134. Others: memchr, as
# a loop of find(255): 13, 11 to 54, 115, and ten times as long as this where the message is made
# of FF00; count(b"\xff") and count(b"\xff\0"): 25, 140, 530; find(b"\xff\xd8") alone: 18, 100, 390.
_next_marker = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]").search
_filling = re.compile(rb"\xff+").match


@dataclass(frozen=True, slots=True)
class Jpeg:
    """One whole picture, from its SOI to its EOI: ``parse`` has seen to that."""

    data: bytes | bytearray = field(repr=False)
    width: int
    height: int


def parse(data: bytes | bytearray) -> Jpeg:
    """Check that this is exactly one JPEG; the zero bytes some boards put behind it are cut off.

    What needs no cutting is not copied: the ``Jpeg`` has ``data`` itself, also if it's a bytearray.

    Raises:
        BadImage: It is none, a part of one or more than one; the message says what is where.
    """
    if not data.startswith(_SOI):
        begin = bytes(data[:8])
        raise BadImage(f"no JPEG: the {len(data)} bytes begin with {begin!r}, not with SOI")
    try:
        width, height, end = _walk(data)
    except IndexError:
        raise BadImage(f"cut off: its {len(data)} bytes end within a segment") from None
    if end < len(data):
        behind = len(data) - end
        if data.count(0, end) < behind:
            what = "a second SOI" if data.startswith(_SOI, end) else "more than padding"
            raise BadImage(f"{what} behind EOI: {behind} bytes from offset {end} on")
        data = data[:end]
    return Jpeg(data, width, height)


def _walk(data: bytes | bytearray) -> tuple[int, int, int]:
    """Find width, height and where the picture ends; an IndexError is an end within a segment."""
    width = height = 0
    expected = _BEFORE_SOF
    start = data[:4]
    at = len(_SOI)
    for _ in range(_MAX_SEGMENTS):
        if data[at] != 0xFF:
            raise BadImage(f"0x{data[at]:02X} at offset {at}, where a marker is due")
        code = data[at + 1]
        if code == 0xFF and (filling := _filling(data, at)):
            at = filling.end() - 1
            code = data[at + 1]
        if code not in expected:
            raise _misplaced(code, at)
        length = data[at + 2] << 8 | data[at + 3]
        if length < 2:
            raise BadImage(f"marker FF{code:02X} at offset {at} has the impossible length {length}")
        behind = at + 2 + length

        if code == _SOS:
            if length != 6 + 2 * data[at + 4]:
                raise BadImage(f"SOS at offset {at} has the wrong length {length}")
            marker = _next_marker(data, behind)
            if marker is None:
                raise BadImage(f"cut off: no EOI, its {len(data)} bytes end within the picture")
            at = marker.start()
            if at == behind:
                raise BadImage(f"no picture behind SOS: the next marker is at offset {at} already")
            if data[at + 1] == _EOI[1]:
                return width, height, at + 2
            expected = _BETWEEN_SCANS
            continue

        # Half a segment and the next picture's first bytes may have the segment's length together.
        again = data.rfind(start, at, behind + 2)
        if again > 0 and data.find(_EOI, again, behind) < 0:  # else it's a thumbnail
            raise _misplaced(_SOI[1], again)
        if code in _SOF:
            if length != 8 + 3 * data[at + 9]:
                raise BadImage(f"SOF at offset {at} has the wrong length {length}")
            height = data[at + 5] << 8 | data[at + 6]
            width = data[at + 7] << 8 | data[at + 8]
            if not width or not height:
                raise BadImage(f"SOF at offset {at} says {width}x{height} pixels")
            expected = _BEFORE_SOS
        at = behind
    raise BadImage(f"more than {_MAX_SEGMENTS} segments, up to offset {at}")


def _misplaced(code: int, at: int) -> BadImage:
    if code == _SOI[1]:
        return BadImage(f"a second SOI at offset {at}: another picture begins within this one")
    return BadImage(f"marker FF{code:02X} at offset {at} has no place there")
