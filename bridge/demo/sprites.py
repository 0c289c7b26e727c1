"""What moves in the scene: the cars, and the cat. RGBA, in neutral daylight."""

import functools
import random
from math import sin

from PIL import Image, ImageFilter

from bridge.demo.painting import Colour, Patch, Points, clamp, shade, within_circle

_PAINTS: list[Colour] = [
    (178, 44, 40),
    (226, 224, 218),
    (46, 84, 140),
    (214, 164, 52),
    (52, 92, 76),
]
_GLASS: Colour = (52, 66, 80)
_GLEAM: Colour = (104, 124, 140)
_FUR: Colour = (198, 122, 56)
_TAIL: Colour = (176, 104, 46)
_STRIPE: Colour = (140, 78, 34)


@functools.cache
def car(model: int) -> Image.Image:
    """A car that drives to the right; each of five models has its colour."""
    paint = _PAINTS[model % len(_PAINTS)]
    dark, pale = shade(paint, 0.62), shade(paint, 1.25)
    patch = Patch(0, 0, 268, 92, paint)
    patch.spot(134, 87, 122, (22, 22, 24), 0.04)  # its shadow
    roof: Points = [(8, 50), (22, 42), (62, 38), (92, 12), (112, 8), (166, 8), (182, 12), (212, 40)]
    patch.polygon([(6, 74), *roof, (248, 46), (262, 56), (263, 74)], paint)
    patch.polygon([(6, 74), (7, 60), (262, 62), (263, 74)], dark)
    patch.line([(10, 49), (62, 43), (212, 44), (250, 50)], pale, 2)
    patch.polygon([(74, 39), (97, 16), (132, 14), (132, 39)], _GLASS)
    patch.polygon([(139, 39), (139, 14), (168, 14), (180, 18), (200, 40)], _GLASS)
    patch.polygon([(84, 39), (104, 16), (112, 16), (94, 39)], _GLEAM)
    patch.polygon([(150, 39), (158, 15), (166, 15), (160, 39)], _GLEAM)
    patch.line([(135, 40), (136, 72)], dark)
    patch.box(118, 48, 128, 51, dark)
    patch.spot(255, 56, 6, (250, 244, 214), 0.8)
    patch.box(6, 50, 13, 60, (190, 24, 22))
    for x in (58, 212):
        patch.spot(x, 72, 25, dark)
        patch.spot(x, 72, 20, (28, 28, 30))
        patch.spot(x, 72, 12, (150, 152, 156))
        patch.spot(x, 72, 4, (70, 72, 76))
    return patch.finished()


@functools.cache
def cat(swing: int, *, looking: bool) -> Image.Image:
    """The cat on the railing, its tail at a swing of -4 to 4; it looks round at a flash."""
    chance = random.Random(3)
    patch = Patch(0, 0, 150, 210, _FUR)
    tail: Points = [
        (78 + 30 * sin(k / 12 * 2.6) + swing * (k / 12) ** 2 * 5, 148 + k * 4.4) for k in range(13)
    ]
    patch.line(tail, _TAIL, 13)
    for ring, (x, y) in enumerate(tail):
        patch.spot(x, y, 6.5, _TAIL if ring % 3 else _STRIPE)
    for _ in range(2600):  # the fur, stroke by stroke
        across, down = within_circle(chance)
        if chance.random() < 0.68:
            x, y = 72 + across * (38 + 9 * down), 122 + down * 48
        else:
            x, y = 72 + across * 29, 62 + down * 24
        striped = int(y / 7) % 2 and abs(x - 72) > 8
        light = (1.25 - 0.0045 * x - 0.0012 * y) * chance.uniform(0.8, 1.15)
        red, green, blue = (clamp(v * light * (0.72 if striped else 1)) for v in _FUR)
        patch.line([(x, y), (x + (x - 72) * 0.06, y + 8)], (red, green, blue), 2)
    for side in (-1, 1):
        patch.polygon([(72 + side * 28, 58), (72 + side * 25, 26), (72 + side * 6, 42)], _TAIL)
        if looking:
            patch.spot(72 + side * 12, 62, 5.5, (196, 255, 180))
            patch.spot(72 + side * 12, 62, 2, (20, 40, 20))
    return patch.finished().filter(ImageFilter.GaussianBlur(0.7))
