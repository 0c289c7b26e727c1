"""Pictures are turned the right way round, with libturbojpeg without any loss, or refused."""

import io
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat, JpegImagePlugin

from bridge import jpeg, rotate
from bridge.errors import BadImage, Unsupported
from bridge.jpeg import Jpeg

DATA = Path(__file__).parent / "data"
VGA, SVGA, EXIF, ODD = (
    jpeg.parse((DATA / f"{name}.jpg").read_bytes())
    for name in ("vga", "svga", "exif", "progressive")
)
# pillow's degrees are counterclockwise.
PILLOWS = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
HAVE_TURBOJPEG = rotate._turbojpeg() is not None

needs_turbojpeg = pytest.mark.skipif(not HAVE_TURBOJPEG, reason="libturbojpeg0 is not installed")
every_angle = pytest.mark.parametrize("degrees", [90, 180, 270])


@pytest.fixture(params=[pytest.param("turbojpeg", marks=needs_turbojpeg), "pillow"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "pillow":
        monkeypatch.setattr(rotate, "_turbojpeg", lambda: None)
    return name


@pytest.fixture
def no_turbojpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotate, "_turbojpeg", lambda: None)


@pytest.fixture
def no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)


def pixels(image: Jpeg) -> Image.Image:
    with Image.open(io.BytesIO(image.data)) as picture:
        picture.load()
        return picture.copy()


def brightness(image: Jpeg) -> Image.Image:
    return pixels(image).convert("YCbCr").getchannel(0)


def difference(one: Image.Image, other: Image.Image) -> float:
    """How much two pictures' pixels differ on average, of 255."""
    assert one.size == other.size
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("image", [VGA, SVGA, EXIF, ODD])
@every_angle
def test_pixels_are_where_pillow_turns_them_to(image: Jpeg, degrees: int) -> None:
    turned = rotate.rotate(image, degrees)
    expected = pixels(image).transpose(PILLOWS[degrees])
    assert (turned.width, turned.height) == expected.size == pixels(turned).size
    assert difference(pixels(turned), expected) < 4
    assert difference(pixels(turned), expected.transpose(Image.Transpose.ROTATE_180)) > 30


def test_clockwise_is_the_way_a_clock_goes(way: str) -> None:
    data = io.BytesIO()
    picture = Image.new("L", (64, 32))
    picture.paste(255, (0, 0, 16, 16))  # a light in the upper left corner
    picture.save(data, "JPEG")
    turned = pixels(rotate.rotate(jpeg.parse(data.getvalue()), 90))
    assert turned.size == (32, 64)
    assert turned.getpixel((31, 0)) == 255, way
    assert turned.getpixel((0, 0)) == 0, way


@needs_turbojpeg
@pytest.mark.parametrize("image", [VGA, SVGA, EXIF])
def test_four_quarters_are_the_same_picture_again_without_any_loss(image: Jpeg) -> None:
    turned = image
    for _ in range(4):
        turned = rotate.rotate(turned, 90)
    assert pixels(turned).tobytes() == pixels(image).tobytes()


@needs_turbojpeg
@pytest.mark.usefixtures("no_pillow")
@every_angle
def test_pillow_is_not_needed_for_whole_blocks(degrees: int) -> None:
    there = rotate.rotate(VGA, degrees)
    again = rotate.rotate(there, 360 - degrees)
    assert (again.width, again.height) == (640, 480)


@needs_turbojpeg
def test_a_lossless_turn_moves_every_brightness_to_its_place() -> None:
    expected = brightness(VGA).transpose(Image.Transpose.ROTATE_270)
    _, most = ImageChops.difference(brightness(rotate.rotate(VGA, 90)), expected).getextrema()
    assert isinstance(most, int)
    # Colours are smoothed over two pixels across or down, and rounded to RGB: hence not 0.
    assert most <= 2


@pytest.mark.usefixtures("no_turbojpeg")
@every_angle
def test_pillow_keeps_the_quality_and_the_subsampling(degrees: int) -> None:
    turned = rotate.rotate(SVGA, degrees)
    with (
        JpegImagePlugin.JpegImageFile(io.BytesIO(SVGA.data)) as before,
        JpegImagePlugin.JpegImageFile(io.BytesIO(turned.data)) as after,
    ):
        assert after.quantization == before.quantization
        assert JpegImagePlugin.get_sampling(after) == JpegImagePlugin.get_sampling(before) == 1
    assert len(turned.data) == pytest.approx(len(SVGA.data), rel=0.1)


@pytest.mark.usefixtures("way")
@every_angle
def test_an_exif_orientation_does_not_turn_it_a_second_time(degrees: int) -> None:
    assert pixels(EXIF).getexif(), "the photo has an orientation"
    turned = rotate.rotate(EXIF, degrees)
    assert not pixels(turned).getexif()
    assert b"Exif" not in turned.data


@pytest.mark.parametrize("image", [VGA, EXIF])
def test_no_degrees_leave_it_untouched(image: Jpeg) -> None:
    assert rotate.rotate(image, 0) is image


@pytest.mark.parametrize("degrees", [-90, 45, 360])
def test_other_angles_are_a_mistake_in_the_program(degrees: int) -> None:
    with pytest.raises(ValueError, match=f"got {degrees}"):
        rotate.rotate(VGA, degrees)


@pytest.mark.usefixtures("way")
def test_a_bytearray_will_do_and_stays_as_it_is() -> None:
    data = bytearray(VGA.data)
    assert rotate.rotate(jpeg.parse(data), 90) == rotate.rotate(VGA, 90)
    assert data == VGA.data


@pytest.mark.usefixtures("way")
def test_pictures_are_turned_in_several_threads_at_once() -> None:
    expected = [rotate.rotate(image, 90) for image in (VGA, SVGA, EXIF, ODD)]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            turned = threads.map(lambda image: rotate.rotate(image, 90), (VGA, SVGA, EXIF, ODD))
            assert list(turned) == expected


# What can't be turned


def changed(image: Jpeg, at: int, value: int) -> Jpeg:
    data = bytearray(image.data)
    data[at] = value
    return jpeg.parse(data)


def huge(image: Jpeg) -> Jpeg:
    data = bytearray(image.data)
    sof = data.index(b"\xff\xc0")
    data[sof + 5 : sof + 9] = b"\xff\x00\xff\x00"
    return jpeg.parse(data)


@pytest.mark.usefixtures("way")
@every_angle
def test_a_decompression_bomb_is_refused(degrees: int) -> None:
    with pytest.raises(BadImage, match="65280x65280 pixels are too many to turn"):
        rotate.rotate(huge(VGA), degrees)


@pytest.mark.usefixtures("way")
def test_a_picture_that_cannot_be_decoded_is_refused() -> None:
    table = VGA.data.index(b"\xff\xc4")
    with pytest.raises(BadImage, match=r"can't be turned: .+"):
        rotate.rotate(changed(VGA, table + 5, 255), 90)


@pytest.mark.usefixtures("way")
def test_a_picture_with_a_few_wrong_pixels_is_turned_all_the_same() -> None:
    data = bytearray(VGA.data)
    data[-2:-2] = b"\x12" * 40  # "extraneous bytes before marker", says libjpeg
    turned = rotate.rotate(jpeg.parse(data), 90)
    assert difference(pixels(turned), pixels(rotate.rotate(VGA, 90))) < 1


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(2, 640) | st.integers(2, len(VGA.data) - 3), value=st.integers(0, 255))
@pytest.mark.usefixtures("way")
def test_a_changed_byte_is_turned_or_refused_and_nothing_worse(at: int, value: int) -> None:
    try:
        image = changed(VGA, at, value)
        turned = rotate.rotate(image, 90)
    except BadImage:
        return
    assert (turned.width, turned.height) == (image.height, image.width)


@pytest.mark.usefixtures("no_turbojpeg", "no_pillow")
def test_without_either_library_it_says_what_to_install() -> None:
    with pytest.raises(Unsupported, match=r"pip install 'esp32cam2mqtt\[images\]'"):
        rotate.check_available()
    with pytest.raises(Unsupported, match=r"pip install 'esp32cam2mqtt\[images\]'"):
        rotate.rotate(VGA, 90)
    assert rotate.rotate(VGA, 0) is VGA


@pytest.mark.usefixtures("way")
def test_with_one_of_the_libraries_it_is_available() -> None:
    rotate.check_available()


@needs_turbojpeg
@pytest.mark.usefixtures("no_pillow")
def test_turbojpeg_alone_refuses_what_cannot_be_decoded() -> None:
    table = VGA.data.index(b"\xff\xc4")
    with pytest.raises(BadImage, match="Bogus Huffman table"):
        rotate.rotate(changed(VGA, table + 5, 255), 90)


@needs_turbojpeg
@pytest.mark.usefixtures("no_pillow")
def test_turbojpeg_alone_is_available_but_cannot_turn_half_blocks() -> None:
    rotate.check_available()
    with pytest.raises(Unsupported, match="needs pillow"):
        rotate.rotate(ODD, 90)


@pytest.mark.parametrize("name", ["libc.so.6", "libnothing.so"])
def test_a_library_that_is_no_turbojpeg_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda _: name)
    assert rotate._turbojpeg.__wrapped__() is None
