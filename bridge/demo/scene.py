"""The virtual board's pictures: the place at this hour, what moves in it, a clock, the grain.

Drawing is composing: what holds for some minutes is kept for each size, so that a picture takes
less time than a real sensor needs to expose one.
"""

import functools
import io
import random
import threading
from dataclasses import dataclass
from datetime import datetime
from math import pi, sin

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

from bridge.demo import sprites
from bridge.demo.landscape import (
    HEIGHT,
    HORIZON,
    LANES,
    PERCH,
    SKYLINE,
    WIDTH,
    landscape,
)
from bridge.demo.painting import Colour, clamp, vertical

FRAMESIZES = {
    "96X96": (96, 96),
    "QQVGA": (160, 120),
    "QCIF": (176, 144),
    "HQVGA": (240, 176),
    "240X240": (240, 240),
    "QVGA": (320, 240),
    "CIF": (400, 296),
    "HVGA": (480, 320),
    "VGA": (640, 480),
    "SVGA": (800, 600),
    "XGA": (1024, 768),
    "HD": (1280, 720),
    "SXGA": (1280, 1024),
    "UXGA": (1600, 1200),
}
"""The ESP32 camera driver's names, up to what an OV2640 can."""

_STEP = 300  # seconds for which the light is taken to stay as it is
_WIND = 6.0  # the clouds' way in the canvas' pixels a second
_DRIVE = 13.0  # seconds that a car takes to pass
_GRAIN = 4.0  # the sensor's noise: with it a JPEG is as large as an OV2640's
_SPARE = 64  # the grain is this much larger than a picture, which takes any part of it
_KEPT = threading.Lock()  # or two threads would fill the same cache twice


@dataclass(frozen=True, slots=True)
class _Light:
    """The light at an hour of the day."""

    hour: float
    zenith: Colour
    middle: Colour
    horizon: Colour
    white: Colour  # what is white, in this light
    cloud: Colour
    shadow: Colour  # the clouds' other side
    lamps: float


# fmt: off
_NIGHT = ((10, 15, 38), (20, 30, 62), (40, 50, 84), (60, 70, 106), (70, 80, 112), (26, 34, 58))
_DAY = ((58, 116, 196), (112, 166, 222), (196, 218, 234), (250, 244, 232), (255, 253, 248),
        (172, 186, 206))
_DAYLIGHT = (
    _Light(0.0, *_NIGHT, 1.0),
    _Light(4.6, *_NIGHT, 1.0),
    _Light(5.7, (34, 50, 100), (104, 106, 148), (232, 158, 126), (116, 114, 140), (240, 168, 156),
           (84, 84, 122), 0.9),
    _Light(6.7, (74, 116, 182), (160, 174, 202), (252, 206, 160), (232, 198, 164), (255, 220, 190),
           (156, 146, 164), 0.2),
    _Light(9.0, *_DAY, 0.0),
    _Light(15.0, *_DAY, 0.0),
    _Light(17.0, (72, 122, 188), (152, 180, 208), (244, 216, 172), (255, 226, 184), (255, 236, 206),
           (166, 160, 176), 0.0),
    _Light(18.1, (56, 82, 148), (172, 142, 160), (254, 168, 98), (232, 168, 126), (255, 180, 124),
           (126, 104, 132), 0.5),
    _Light(19.0, (28, 40, 92), (94, 80, 126), (210, 118, 100), (118, 104, 128), (196, 122, 126),
           (62, 58, 94), 1.0),
    _Light(20.3, *_NIGHT, 1.0),
    _Light(24.0, *_NIGHT, 1.0),
)
# fmt: on
_SUNRISE, _SUNSET = 5.4, 18.9


def draw(
    *,
    width: int,
    height: int,
    name: str,
    counter: int,
    now: datetime,
    flash: bool = False,
    quality: int = 12,
    vflip: bool = False,
    hmirror: bool = False,
    brightness: int = 0,
    exposed_ms: int = 0,
) -> bytes:
    """Take a picture: a baseline 4:2:2 JPEG whose comment tells when it was exposed.

    Args:
        quality: 4 (best) to 63, the sensor's scale.
        brightness: -2 to 2.
        exposed_ms: the board's uptime at the exposure, for the comment.
    """
    seconds = now.hour * 3600 + now.minute * 60 + now.second + now.microsecond / 1e6
    with _KEPT:
        view = _view(width, height)
        backdrop = _backdrop(width, height, int(seconds // _STEP))
    image = backdrop.sky.copy()
    _drift(image, view, backdrop, seconds)
    above = (0, 0, width, view.skyline)
    image.paste(backdrop.land.crop(above), above, view.outline.crop(above))
    below = (0, view.skyline, width, height)
    image.paste(backdrop.land.crop(below), below)
    _drive(image, view, backdrop.light, seconds)
    if flash:
        image = Image.composite(view.flashed, image, view.near)
    _perch(image, view, backdrop.light, seconds, flash=flash)
    if brightness:
        image = image.point([clamp(v + 20 * brightness) for v in range(256)] * 3)
    chance = random.Random(counter)
    left, top = chance.randrange(_SPARE), chance.randrange(_SPARE)
    grain = view.grain.crop((left, top, left + width, top + height))
    image = ImageChops.add(image, grain, offset=-128)
    if vflip:
        image = ImageOps.flip(image)
    if hmirror:
        image = ImageOps.mirror(image)
    _label(image, name, counter, now)
    out = io.BytesIO()
    image.save(
        out,
        "JPEG",
        quality=_jpeg_quality(quality),
        subsampling="4:2:2",
        comment=f"seq={counter} exposed_ms={exposed_ms} flash={int(flash)}",
    )
    return out.getvalue()


def prepare(width: int, height: int) -> None:
    """Paint what all pictures of this size share, so that the first one doesn't wait for it."""
    with _KEPT:
        _view(width, height)


def _jpeg_quality(quality: int) -> int:
    # the sensor's number scales its quantisation: 6 % a step, 17 is what the JPEG standard suggests
    return round(100 - 3 * quality) if quality <= 16 else round(833 / quality)


@dataclass(frozen=True, slots=True)
class _View:
    """The landscape's layers as one frame size sees them: cut to its shape and scaled."""

    scale: float
    left: float
    top: float
    skyline: int
    land: Image.Image
    outline: Image.Image
    haze: Image.Image
    near: Image.Image
    clear: Image.Image  # 255 where nothing stands before the road
    lamps: Image.Image
    clouds: Image.Image
    billows: Image.Image
    flashed: Image.Image
    grain: Image.Image

    def place(self, x: float, y: float) -> tuple[int, int]:
        return round((x - self.left) * self.scale), round((y - self.top) * self.scale)

    def scaled(self, image: Image.Image, scale: float = 1.0) -> Image.Image:
        wide, high = (max(1, round(side * self.scale * scale)) for side in image.size)
        return image.resize((wide, high), Image.Resampling.BILINEAR)


@functools.lru_cache(maxsize=3)
def _view(width: int, height: int) -> _View:
    scale = max(width / WIDTH, height / HEIGHT)
    left, top = (WIDTH - width / scale) / 2, (HEIGHT - height / scale) * 0.75
    place, box = landscape(), (left, top, left + width / scale, top + height / scale)

    def seen(image: Image.Image) -> Image.Image:
        return image.resize((width, height), Image.Resampling.HAMMING, box=box)

    land = seen(place.land).filter(ImageFilter.GaussianBlur(1.0))  # a plastic lens
    clouds = (round(place.clouds.width * scale), round(place.clouds.height * scale))
    large = (width + _SPARE, height + _SPARE)
    noise = Image.frombytes("L", large, random.Random(1).randbytes(large[0] * large[1]))
    noise = noise.point([round(128 + (v / 127.5 - 1) * _GRAIN) for v in range(256)])
    return _View(
        scale=scale,
        left=left,
        top=top,
        skyline=round((SKYLINE - top) * scale),
        land=land.convert("RGB"),
        outline=land.getchannel("A"),
        haze=seen(place.haze),
        near=seen(place.near),
        clear=ImageOps.invert(seen(place.porch)),
        lamps=seen(place.lamps),
        clouds=place.clouds.resize(clouds),
        billows=place.billows.resize(clouds),
        flashed=_dimmed(land.convert("RGB"), 1.22),
        grain=Image.merge("RGB", [noise] * 3),
    )


@dataclass(frozen=True, slots=True)
class _Backdrop:
    """What stays for some minutes."""

    light: _Light
    sky: Image.Image
    land: Image.Image
    clouds: Image.Image


@functools.lru_cache(maxsize=3)
def _backdrop(width: int, height: int, step: int) -> _Backdrop:
    view, light = _view(width, height), _light(step * _STEP / 3600)
    land = ImageChops.add(_tinted(view.land, light.white), _dimmed(view.lamps, light.lamps))
    land = Image.composite(Image.new("RGB", land.size, light.horizon), land, view.haze)
    clouds = ImageOps.colorize(view.billows, light.shadow, light.cloud)
    return _Backdrop(light, _sky(view, land.size, light), land, clouds)


def _light(hour: float) -> _Light:
    after = next(k for k in range(1, len(_DAYLIGHT)) if hour <= _DAYLIGHT[k].hour)
    one, other = _DAYLIGHT[after - 1], _DAYLIGHT[after]
    part = (hour - one.hour) / (other.hour - one.hour)

    def mixed(a: Colour, b: Colour) -> Colour:
        red, green, blue = (round(p + (q - p) * part) for p, q in zip(a, b, strict=True))
        return red, green, blue

    return _Light(
        hour=hour,
        zenith=mixed(one.zenith, other.zenith),
        middle=mixed(one.middle, other.middle),
        horizon=mixed(one.horizon, other.horizon),
        white=mixed(one.white, other.white),
        cloud=mixed(one.cloud, other.cloud),
        shadow=mixed(one.shadow, other.shadow),
        lamps=one.lamps + (other.lamps - one.lamps) * part,
    )


def _sky(view: _View, size: tuple[int, int], light: _Light) -> Image.Image:
    sky = Image.new("RGB", size, light.horizon)
    reach = max(1, view.place(0, HORIZON)[1])
    sky.paste(vertical((size[0], reach), [light.zenith, light.middle, light.horizon]))
    chance, brush = random.Random(4), ImageDraw.Draw(sky)
    dark = max(0.0, 1 - max(light.white) / 130)
    for _ in range(260 if dark else 0):
        star = view.place(chance.uniform(0, WIDTH), chance.uniform(0, 560))
        bright = round(90 + 165 * dark * chance.random() ** 2)
        brush.point(star, fill=(bright, bright, min(255, bright + 12)))
    day = _SUNSET - _SUNRISE
    by_day = 0 < light.hour - _SUNRISE < day
    way = (light.hour - _SUNRISE) / day if by_day else (light.hour - _SUNSET) % 24 / (24 - day)
    x, y = 120 + way * (WIDTH - 320), 690 - sin(way * pi) * 560
    if by_day:
        _shine(sky, view, (x, y), 380, (255, 226, 170))
        _shine(sky, view, (x, y), 64, (255, 250, 232), sharp=True)
    else:
        _shine(sky, view, (x, y), 230, (70, 80, 110))
        _shine(sky, view, (x, y), 30, (226, 230, 236), sharp=True)
    return sky


def _drift(image: Image.Image, view: _View, backdrop: _Backdrop, seconds: float) -> None:
    wide = backdrop.clouds.width
    gone = round(seconds * _WIND * view.scale) % wide
    top = view.place(0, 0)[1]
    for left in range(-gone, image.width, wide):
        image.paste(backdrop.clouds, (left, top), view.clouds)


def _drive(image: Image.Image, view: _View, light: _Light, seconds: float) -> None:
    """One car after the other, to the right on the near lane, to the left on the far one."""
    ride, way = divmod(seconds / _DRIVE, 1)
    near = ride % 2 == 1
    car, scale, lane = sprites.car(int(ride)), (1.0 if near else 0.9), LANES[near]
    long = car.width * scale
    x = -long + way * (WIDTH + 2 * long) if near else WIDTH + long - way * (WIDTH + 2 * long)
    sprite = view.scaled(car if near else ImageOps.mirror(car), scale)
    left, top = view.place(x, lane - car.height * scale)
    box = (left, top, left + sprite.width, top + sprite.height)
    outline = ImageChops.multiply(sprite.getchannel("A"), view.clear.crop(box))
    image.paste(_tinted(sprite.convert("RGB"), light.white), box, outline)
    if light.lamps > 0.3:
        ahead, behind = (x + long, x) if near else (x, x + long)
        beam = ahead + (50 if near else -50)
        _shine(image, view, (beam, lane - 26), 130, (190, 176, 130))
        _shine(image, view, (behind, lane - 40), 26, (200, 20, 10))


def _perch(image: Image.Image, view: _View, light: _Light, seconds: float, *, flash: bool) -> None:
    cat = sprites.cat(round(4 * sin(seconds * 1.3)), looking=flash)
    sprite = view.scaled(cat)
    at = view.place(PERCH[0] - cat.width / 2, PERCH[1] - 170)
    white = (255, 255, 255) if flash else light.white
    image.paste(_tinted(sprite.convert("RGB"), white), at, sprite.getchannel("A"))


def _shine(
    image: Image.Image,
    view: _View,
    centre: tuple[float, float],
    radius: float,
    colour: Colour,
    *,
    sharp: bool = False,
) -> None:
    side = max(2, round(radius * 2 * view.scale))
    left, top = view.place(centre[0] - radius, centre[1] - radius)
    box = (left, top, left + side, top + side)
    glow = Image.merge("RGB", [_glow(sharp).resize((side, side))] * 3)
    image.paste(ImageChops.screen(image.crop(box), _tinted(glow, colour)), box)


@functools.cache
def _glow(sharp: bool) -> Image.Image:
    distance = Image.radial_gradient("L")  # 0 in the middle, 180 at the edges
    if sharp:
        return distance.point([clamp((84 - v) * 9) for v in range(256)])
    return distance.point([round(max(0.0, 1 - v / 180) ** 2.2 * 210) for v in range(256)])


def _tinted(image: Image.Image, colour: Colour) -> Image.Image:
    return ImageChops.multiply(image, Image.new("RGB", image.size, colour))


def _dimmed(image: Image.Image, light: float) -> Image.Image:
    return image.point([clamp(v * light) for v in range(256)] * 3)


def _label(image: Image.Image, name: str, counter: int, now: datetime) -> None:
    """A strip at the lower edge: whose picture it is, when it was taken, which one it is."""
    height = max(10, round(image.height / 32))
    font = _font(height)
    clock = f"{now:%H:%M:%S}.{now.microsecond // 100_000}"
    for left, middle, right in (
        (f"{name[:24]} · virtual board", f"{now:%Y-%m-%d}   {clock}", f"picture {counter}"),
        (name[:12], f"{now:%Y-%m-%d}  {clock}", f"#{counter}"),
        ("", clock, f"#{counter}"),
        ("", clock, ""),
    ):
        sides = max(font.getlength(left), font.getlength(right))
        if font.getlength(middle) + 2 * sides + 3 * height < image.width:
            break
    strip = (0, image.height - round(height * 1.7), image.width, image.height)
    image.paste(_dimmed(image.crop(strip), 0.32), strip)
    brush, y = ImageDraw.Draw(image), image.height - height * 0.85
    brush.text((height / 2, y), left, (255, 255, 255), font, "lm")
    brush.text((image.width / 2, y), middle, (255, 236, 170), font, "mm")
    brush.text((image.width - height / 2, y), right, (255, 255, 255), font, "rm")


@functools.lru_cache(maxsize=8)
def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(height)
