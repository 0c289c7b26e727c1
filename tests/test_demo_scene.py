"""The demo's pictures: real JPEGs, as large as a board's, never twice the same."""

import io
from datetime import datetime, timedelta
from typing import Any

import pytest
from PIL import Image, ImageStat
from PIL.JpegImagePlugin import get_sampling

from bridge import jpeg
from bridge.demo.scene import FRAMESIZES, draw

NOON = datetime(2026, 11, 22, 12, 0, 5, 400_000)
_HOURS = (0, 5.7, 8, 12, 16.5, 18.3)


def picture(framesize: str = "QVGA", *, now: datetime = NOON, **options: Any) -> bytes:
    width, height = FRAMESIZES[framesize]
    usual: dict[str, Any] = {"name": "porch", "counter": 7}
    return draw(width=width, height=height, now=now, **usual | options)


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def brightness(data: bytes, top: float, bottom: float, left: float = 0, right: float = 1) -> float:
    image = decoded(data).convert("L")
    wide, high = image.size
    box = (int(left * wide), int(top * high), int(right * wide), int(bottom * high))
    return ImageStat.Stat(image.crop(box)).mean[0]


@pytest.mark.parametrize("framesize", FRAMESIZES)
def test_a_picture_has_its_frame_size(framesize: str) -> None:
    assert decoded(picture(framesize)).size == FRAMESIZES[framesize]


@pytest.mark.parametrize(("framesize", "least", "most"), [("UXGA", 60, 200), ("SVGA", 20, 50)])
def test_pictures_are_as_large_as_a_boards(framesize: str, least: int, most: int) -> None:
    for seed, hour in enumerate(_HOURS):
        now = NOON.replace(hour=0, minute=0) + timedelta(hours=hour)
        for flash in (False, True):
            size = len(picture(framesize, now=now, counter=seed, flash=flash)) / 1024
            assert least <= size <= most, f"{size:.0f} KiB at {now:%H:%M}, flash {flash}"


def test_it_is_a_baseline_jpeg_that_says_when_it_was_exposed() -> None:
    data = picture(counter=42, exposed_ms=123456, flash=True)
    image = decoded(data)
    assert image.info["comment"] == b"seq=42 exposed_ms=123456 flash=1"
    assert "progressive" not in image.info
    assert get_sampling(image) == 1  # 4:2:2
    assert (jpeg.parse(data).width, jpeg.parse(data).height) == (320, 240)


def test_the_same_moment_gives_the_same_picture() -> None:
    assert picture() == picture()


def test_a_moment_later_much_has_moved() -> None:
    one, other = (
        decoded(picture("VGA", now=NOON + timedelta(seconds=seconds), counter=1)).convert("L")
        for seconds in (0, 2)
    )
    pairs = zip(one.tobytes(), other.tobytes(), strict=True)
    moved = sum(abs(a - b) > 24 for a, b in pairs)
    assert moved > one.width * one.height / 200


def test_the_hours_differ() -> None:
    night, day = (brightness(picture(now=NOON.replace(hour=hour)), 0, 0.9) for hour in (1, 12))
    assert day > night + 60


def test_a_flash_lights_what_is_near_and_not_the_sky() -> None:
    midnight = NOON.replace(hour=0)
    dark, lit = (picture(now=midnight, flash=flash) for flash in (False, True))
    assert brightness(lit, 0.8, 0.92) > brightness(dark, 0.8, 0.92) + 40
    assert abs(brightness(lit, 0, 0.4, 0, 0.9) - brightness(dark, 0, 0.4, 0, 0.9)) < 3


def test_flips_turn_the_scene_and_leave_the_clock_readable() -> None:
    upright, turned = picture(), picture(vflip=True, hmirror=True)
    again = decoded(turned).transpose(Image.Transpose.ROTATE_180).convert("L")
    middle = (0, 40, 320, 200)  # neither has its label here
    pairs = zip(
        decoded(upright).convert("L").crop(middle).tobytes(),
        again.crop(middle).tobytes(),
        strict=True,
    )
    assert sum(abs(a - b) for a, b in pairs) / (320 * 160) < 6
    label = (110, 228, 210, 240)
    pairs = zip(
        decoded(upright).convert("L").crop(label).tobytes(),
        decoded(turned).convert("L").crop(label).tobytes(),
        strict=True,
    )
    assert sum((a > 150) != (b > 150) for a, b in pairs) < 100 * 12 / 20


@pytest.mark.parametrize("flip", ["vflip", "hmirror"])
def test_each_flip_changes_the_picture(flip: str) -> None:
    flips: dict[str, Any] = {flip: True}
    upright, turned = picture(), picture(**flips)
    if flip == "vflip":
        assert brightness(turned, 0.5, 0.9) > brightness(upright, 0.5, 0.9) + 20  # the sky
    else:
        assert brightness(turned, 0, 0.9, 0.0, 0.1) != pytest.approx(
            brightness(upright, 0, 0.9, 0.0, 0.1), abs=3
        )


def test_quality_is_the_sensors_number_lower_is_better() -> None:
    sizes = [len(picture(quality=quality)) for quality in (4, 10, 16, 17, 30, 63)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 4 * sizes[-1]


def test_brightness_is_honoured() -> None:
    means = [brightness(picture(brightness=step), 0.4, 0.9) for step in (-2, 0, 2)]
    assert means[0] + 20 < means[1] < means[2] - 20


@pytest.mark.parametrize("name", ["", "x" * 300, "Büro 東京 🐈", "a\tb"])
@pytest.mark.parametrize("framesize", ["96X96", "VGA"])
def test_any_name_can_be_drawn(name: str, framesize: str) -> None:
    assert decoded(picture(framesize, name=name, counter=10**9)).size == FRAMESIZES[framesize]
