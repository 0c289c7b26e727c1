"""What is one whole JPEG and what isn't: real photographs, whole, cut, glued and damaged."""

import io
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bridge import jpeg
from bridge.errors import BadImage

PHOTOS = {path.stem: path.read_bytes() for path in (Path(__file__).parent / "data").glob("*.jpg")}
PHOTO = PHOTOS["vga"]
SCAN = PHOTO.index(b"\xff\xda") + 14  # its SOS has three components
BASELINE = ["vga", "svga", "uxga", "exif"]
SOI, EOI, RST = b"\xff\xd8", b"\xff\xd9", b"\xff\xd3"

every_photo = pytest.mark.parametrize("name", sorted(PHOTOS))
quick = settings(deadline=None, max_examples=100)


def segment(code: int, body: bytes = b"") -> bytes:
    return bytes([0xFF, code]) + (len(body) + 2).to_bytes(2, "big") + body


def sof(width: int = 16, height: int = 8, *, code: int = 0xC0) -> bytes:
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return segment(code, b"\x08" + size + b"\x01\x01\x11\x00")


SOS = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00")
DHT, DAC, DQT, DRI, COM = (segment(code, b"table") for code in (0xC4, 0xCC, 0xDB, 0xDD, 0xFE))
APP1 = segment(0xE1, b"Exif\0\0" + PHOTO)


def refusal(data: bytes | bytearray) -> str:
    with pytest.raises(BadImage) as refused:
        jpeg.parse(data)
    return str(refused.value)


# What is accepted


@every_photo
def test_a_photo_has_the_size_that_pillow_finds(name: str) -> None:
    with Image.open(io.BytesIO(PHOTOS[name])) as picture:
        expected = picture.size
    parsed = jpeg.parse(PHOTOS[name])
    assert (parsed.width, parsed.height) == expected


@every_photo
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_photo_is_kept_as_it_is_and_not_copied(
    name: str, kind: type[bytes] | type[bytearray]
) -> None:
    data = kind(PHOTOS[name])
    assert jpeg.parse(data).data is data


def test_the_photo_with_a_thumbnail_is_really_two_pictures_one_in_the_other() -> None:
    assert PHOTOS["exif"].count(SOI + b"\xff") == 2
    assert jpeg.parse(PHOTOS["exif"]).width == 320


def test_the_progressive_photo_really_has_many_scans() -> None:
    assert PHOTOS["progressive"].count(b"\xff\xda") > 5


@given(st.sampled_from(sorted(PHOTOS)), st.integers(1, 5000), st.booleans())
@quick
def test_zero_bytes_behind_a_photo_are_cut_off(name: str, count: int, mutable: bool) -> None:
    padded: bytes | bytearray = PHOTOS[name] + bytes(count)
    if mutable:
        padded = bytearray(padded)
    parsed = jpeg.parse(padded)
    assert parsed == jpeg.parse(PHOTOS[name])
    assert type(parsed.data) is type(padded)
    assert len(padded) == len(PHOTOS[name]) + count, "the caller's own data stays as it is"


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_any_number_of_components_will_do(mode: str) -> None:
    data = io.BytesIO()
    Image.new(mode, (33, 17)).save(data, "JPEG")
    parsed = jpeg.parse(data.getvalue())
    assert (parsed.width, parsed.height) == (33, 17)


def test_restart_markers_belong_to_the_data() -> None:
    data = io.BytesIO()
    with Image.open(io.BytesIO(PHOTO)) as picture:
        picture.save(data, "JPEG", restart_marker_rows=1)
    assert data.getvalue().count(RST) > 2
    assert jpeg.parse(data.getvalue()).width == 640


@pytest.mark.parametrize(
    "parts",
    [
        (sof(), SOS, b"data", EOI),
        (APP1, DQT, DHT, sof(), COM, DRI, SOS, b"data", EOI),
        (sof(code=0xC9), DAC, SOS, b"data", EOI),
        (sof(), SOS, b"one", SOS, b"two", EOI),
        (sof(), SOS, b"one", DHT, DQT, DRI, COM, DAC, SOS, b"two", EOI),
        (sof(), SOS, b"a\xff\x00b", RST, b"\xff\x00", EOI),
        (b"\xff", sof(), b"\xff\xff\xff", DHT, b"\xff", SOS, b"data", b"\xff\xff", EOI),
        (sof(), SOS, b"one\xff", RST, b"two\xff", DHT, b"\xff", SOS, b"three", EOI),
    ],
)
def test_all_that_the_standard_lets_a_picture_have_is_accepted(parts: tuple[bytes, ...]) -> None:
    parsed = jpeg.parse(SOI + b"".join(parts))
    assert (parsed.width, parsed.height) == (16, 8)


@pytest.mark.parametrize("code", sorted({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}))
def test_every_kind_of_sof_gives_the_size(code: int) -> None:
    parsed = jpeg.parse(SOI + sof(1600, 1200, code=code) + SOS + b"data" + EOI)
    assert (parsed.width, parsed.height) == (1600, 1200)


# Half a picture


@every_photo
def test_a_photo_cut_anywhere_is_refused(name: str) -> None:
    whole = PHOTOS[name]
    for cut in [*range(1000), *range(1000, len(whole), 1 + len(whole) // 2000)]:
        refusal(whole[:cut])


@given(st.sampled_from(sorted(PHOTOS)), st.data(), st.integers(1, 5000))
@quick
def test_a_photo_cut_and_filled_with_zero_bytes_is_refused(
    name: str, data: st.DataObject, count: int
) -> None:
    cut = data.draw(st.integers(0, len(PHOTOS[name]) - 2))
    refusal(PHOTOS[name][:cut] + bytes(count))


def test_where_a_photo_was_cut_is_said() -> None:
    assert refusal(PHOTO[:300]) == "cut off: its 300 bytes end within a segment"
    assert refusal(PHOTO[:9000]) == "cut off: no EOI, its 9000 bytes end within the picture"


# More than one picture


@every_photo
def test_two_photos_glued_together_are_refused(name: str) -> None:
    whole = PHOTOS[name]
    assert refusal(whole + PHOTO) == (
        f"a second SOI behind EOI: {len(PHOTO)} bytes from offset {len(whole)} on"
    )
    refusal(whole + bytes(16) + PHOTO)


@every_photo
def test_a_part_of_a_photo_followed_by_a_whole_one_is_refused(name: str) -> None:
    whole = PHOTOS[name]
    for cut in range(2, len(whole), 1 + len(whole) // 1000):
        refusal(whole[:cut] + whole)


def test_a_cut_anywhere_in_the_header_followed_by_a_whole_photo_is_refused() -> None:
    for name in sorted(PHOTOS):
        for cut in range(2, 2300 if name == "exif" else 700):
            refusal(PHOTOS[name][:cut] + PHOTOS[name])


def test_a_photo_cut_behind_its_thumbnail_and_followed_by_a_whole_one_is_refused() -> None:
    head = segment(0xE1, b"Exif\0\0")
    thumbnail = SOI + head + PHOTO[2:]
    whole = SOI + segment(0xE1, b"Exif\0\0" + thumbnail + bytes(len(head) + 2)) + PHOTO[2:]
    assert jpeg.parse(whole).data is whole
    cut = len(whole) - len(PHOTO[2:]) - len(SOI + head)  # the next one's fill the segment's length
    refusal(whole[:cut] + SOI + head + PHOTO[2:])


@given(st.sampled_from(sorted(PHOTOS)), st.data())
@quick
def test_a_half_photo_filled_up_to_its_length_by_the_next_one_is_refused(
    name: str, data: st.DataObject
) -> None:
    whole = PHOTOS[name]
    cut = data.draw(st.integers(SCAN, len(whole) - 2))
    refusal((whole[:cut] + whole)[: len(whole)])
    refusal(whole[:cut] + PHOTO)


@given(st.sampled_from(["vga", "svga", "uxga"]), st.sampled_from(sorted(PHOTOS)), st.data())
@quick
def test_a_second_photo_put_in_anywhere_is_refused(
    outer: str, inner: str, data: st.DataObject
) -> None:
    whole = PHOTOS[outer]
    at = data.draw(st.integers(PHOTOS[outer].index(b"\xff\xda"), len(whole)))
    refusal(whole[:at] + PHOTOS[inner] + whole[at:])


def test_where_the_second_picture_begins_is_said() -> None:
    assert refusal(PHOTO[:9000] + PHOTO) == (
        "a second SOI at offset 9000: another picture begins within this one"
    )
    in_a_table = PHOTO.index(b"\xff\xdb") + 49
    assert f"second SOI at offset {in_a_table}" in refusal(PHOTO[:in_a_table] + PHOTO)


def test_bytes_behind_the_picture_that_are_not_zero_are_refused() -> None:
    assert refusal(PHOTO + b"\0\0\x01\0") == (
        f"more than padding behind EOI: 4 bytes from offset {len(PHOTO)} on"
    )
    refusal(PHOTO + EOI)


# No picture


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes begin with b''"),
        (b"\xff", r"1 bytes begin with b'\xff'"),
        (b"GIF89a-and-so-on", "16 bytes begin with b'GIF89a-a', not with SOI"),
        (b"\0" + PHOTO, "not with SOI"),
        (SOI, "2 bytes end within a segment"),
        (SOI + EOI, "marker FFD9 at offset 2 has no place"),
        (SOI + b"data", "0x64 at offset 2, where a marker is due"),
        (SOI + b"\xff\x00", "marker FF00 at offset 2 has no place"),
        (SOI + RST + sof() + SOS + b"data" + EOI, "marker FFD3 at offset 2 has no place"),
        (SOI + b"\xff" * 99, "end within a segment"),
        (SOI + b"\xff\xfe\x00\x01" + sof(), "FFFE at offset 2 has the impossible length 1"),
        (SOI + b"\xff\xfe\x00\x00" + sof(), "FFFE at offset 2 has the impossible length 0"),
        (SOI + b"\xff\xfe\xff\xff" + PHOTO[2:9000], "end within a segment"),
        (SOI + b"\xff\xfe\x00\x03" + sof(), "0xC0 at offset 7, where a marker is due"),
        (SOI + SOS + b"data" + EOI, "marker FFDA at offset 2 has no place"),
        (SOI + sof() + EOI, "marker FFD9 at offset 15 has no place"),
        (SOI + sof() + sof() + SOS + b"data" + EOI, "marker FFC0 at offset 15 has no place"),
        (SOI + sof(code=0xC8) + SOS + b"data" + EOI, "marker FFC8 at offset 2 has no place"),
        (SOI + sof(width=0) + SOS + b"data" + EOI, "SOF at offset 2 says 0x8 pixels"),
        (SOI + sof(height=0) + SOS + b"data" + EOI, "SOF at offset 2 says 16x0 pixels"),
        (SOI + segment(0xC0, b"\x08\0\x08") + SOS + b"data" + EOI, "wrong length 5"),
        (SOI + sof() + segment(0xDA, b"\x02\0\0\0\0\0") + b"data" + EOI, "wrong length 8"),
        (SOI + sof() + SOS + EOI, "no picture behind SOS: the next marker is at offset 25"),
        (SOI + sof() + SOS + b"data" + DHT + EOI, "marker FFD9 at offset 38 has no place"),
        (SOI + sof() + SOS + b"data" + APP1 + EOI, "marker FFE1 at offset 29 has no place"),
        (SOI + sof() + SOS + b"data\xff", "no EOI"),
        (SOI + segment(0xFE) * 1000 + sof() + SOS + b"data" + EOI, "more than 1000 segments"),
    ],
)
def test_what_is_wrong_is_said_with_its_offset(data: bytes, said: str) -> None:
    assert said in refusal(data)
    assert said in refusal(bytearray(data))


def test_a_stray_marker_in_the_data_is_refused() -> None:
    middle = PHOTO.index(b"\x55", SCAN + 9000)
    for code in {*range(0x01, 0xFF)} - {*range(0xD0, 0xD8)}:
        refusal(PHOTO[:middle] + bytes([0xFF, code]) + PHOTO[middle:])
    assert f"marker FF01 at offset {middle} has" in refusal(
        PHOTO[:middle] + b"\xff\x01" + PHOTO[middle:]
    )
    assert f"from offset {middle + 2} on" in refusal(PHOTO[:middle] + EOI + PHOTO[middle:])


# Anything else


@given(st.binary(max_size=3000))
@quick
def test_random_bytes_are_refused_and_nothing_worse(data: bytes) -> None:
    for start in (b"", SOI, SOI + sof(), SOI + sof() + SOS):
        refusal(start + data.replace(EOI, b""))


PIECES = [SOI, EOI, RST, APP1, DQT, DHT, COM, SOS, sof(), b"\xff", b"\0", b"\x02", b"data"]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
@quick
def test_pieces_in_any_order_are_a_picture_or_refused(pieces: list[bytes]) -> None:
    data = SOI + b"".join(pieces)
    try:
        parsed = jpeg.parse(data)
    except BadImage:
        return
    assert parsed.data.endswith(EOI)
    assert not data[len(parsed.data) :].strip(b"\0")
    assert (parsed.width, parsed.height) == (16, 8)


@given(st.sampled_from(sorted(PHOTOS)), st.data(), st.integers(0, 255))
@quick
def test_a_changed_byte_is_refused_at_worst(name: str, data: st.DataObject, value: int) -> None:
    changed = bytearray(PHOTOS[name])
    in_header = st.integers(0, 700)
    changed[data.draw(in_header | st.integers(0, len(changed) - 1))] = value
    try:
        parsed = jpeg.parse(changed)
    except BadImage:
        return
    assert parsed.data is changed


@pytest.mark.parametrize(
    "filling", [b"\xff\x00", b"\xff", RST, b"\0", segment(0xFE), b"\xff\xff\xd0", DHT, EOI + b"\0"]
)
@pytest.mark.parametrize("start", [SOI, SOI + sof() + SOS + b"data", PHOTO])
def test_no_message_of_4_mib_takes_long(start: bytes, filling: bytes) -> None:
    data = start + filling * ((4 << 20) // len(filling)) + b"\x01"
    began = time.process_time()
    refusal(data)
    assert time.process_time() - began < 0.5


def test_a_picture_is_not_printed_with_its_data() -> None:
    assert repr(jpeg.parse(PHOTO)) == "Jpeg(width=640, height=480)"
