"""The place before the virtual board's lens: a valley with a road, seen over a porch's railing.

Painted once, from one seed, so that every machine sees the same flowers.
"""

import functools
import random
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from bridge.demo.painting import (
    Colour,
    Patch,
    Points,
    clamp,
    foliage,
    noise,
    relief,
    ridge,
    shade,
    vertical,
    within_circle,
)

SIZE = WIDTH, HEIGHT = 1600, 1200
"""The canvas; all places are in its pixels."""

SKYLINE = 780
"""From this row down there is land in every column, and no sky to be seen through it."""

HORIZON = 640
"""Where the sky's colours end."""

LANES = (903, 942)
"""Where the wheels of the far and the near lane touch the asphalt."""

PERCH = (352, 1048)
"""Where the cat sits on the railing."""

_CLOUDS = (3200, 640)
_HOUSE = (150, 866)  # the left end of its wall, on the ground
_TREE = (1215, 890)
_FAR = 140  # how much air is before the farthest hills

_WOOD: Colour = (176, 158, 134)
_FRAME: Colour = (244, 240, 230)


@dataclass(frozen=True, slots=True)
class Landscape:
    """The layers, each as large as ``SIZE`` except the clouds."""

    land: Image.Image  # RGBA: all but the sky
    haze: Image.Image  # L: how much air is before it
    near: Image.Image  # L: how much of the flash reaches it
    porch: Image.Image  # L: what hides whatever drives by
    lamps: Image.Image  # RGB: what lamps and lit windows add at night
    clouds: Image.Image  # L: how dense they are; they join themselves left and right
    billows: Image.Image  # L: how much of the sun each part of them has


@functools.cache
def landscape() -> Landscape:
    """Paint it from the back to the front. Takes a second or two, the first time."""
    place = _Place(random.Random(15))
    place.hills()
    place.forest()
    place.meadow()
    place.house(*_HOUSE)
    place.road()
    place.tree(*_TREE)
    place.lawn()
    place.porch()
    falloff = vertical(SIZE, [(v, v, v) for v in (70, 110, 190, 255, 255, 255)]).getchannel(0)
    clouds, billows = place.clouds()
    return Landscape(
        land=place.land,
        haze=place.haze,
        near=ImageChops.multiply(place.near, falloff),
        porch=place.near.point([0] * 200 + [255] * 56),
        lamps=_lamps(),
        clouds=clouds,
        billows=billows,
    )


class _Place:
    """The canvas with its maps; all strokes take their chance from one source."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.land = Image.new("RGBA", SIZE)
        self.haze = Image.new("L", SIZE, _FAR)
        self.near = Image.new("L", SIZE)
        self.leaves = functools.partial(foliage, chance)

    def put(self, patch: Patch, *, haze: int = 0, near: int = 0, blur: float = 0) -> None:
        image = patch.finished()
        if blur:
            image = image.filter(ImageFilter.GaussianBlur(blur))
        self.land.alpha_composite(image, patch.place)
        outline = image.getchannel("A")
        self.haze.paste(haze, patch.place, outline)
        self.near.paste(near, patch.place, outline)

    def ridge(self, height: float, swing: float) -> Points:
        return ridge(self.chance, width=WIDTH, height=height, swing=swing)

    def ground(
        self, top: Points, bottom: int, dark: Colour, light: Colour, cells: tuple[int, int]
    ) -> Patch:
        """What is below a line of hills, mottled between two colours."""
        patch = Patch(0, int(min(y for _, y in top)), WIDTH, bottom, dark)
        patch.polygon([*top, (WIDTH + 9, bottom + 9), (-9, bottom + 9)], dark)
        heights = noise(self.chance, patch.size, cells=cells, octaves=6)
        patch.texture(light, relief(heights, 7))
        return patch

    def hills(self) -> None:
        far, middle = self.ridge(540, 62), self.ridge(612, 34)
        self.put(self.ground(far, 760, (70, 84, 108), (150, 152, 156), (14, 3)), haze=_FAR)
        self.put(self.ground(middle, 800, (58, 84, 66), (104, 122, 82), (12, 4)), haze=86)

    def forest(self) -> None:
        line = self.ridge(668, 16)
        self.put(self.ground(line, 800, (30, 48, 34), (44, 66, 42), (30, 6)), haze=48)
        patch = Patch(0, 560, WIDTH, 800, (30, 48, 34))
        places = [(self.chance.uniform(0, WIDTH), self.chance.uniform(0, 46)) for _ in range(420)]
        for x, forward in sorted(places, key=lambda place: place[1]):
            root = line[int(x / 4)][1] + forward
            self.conifer(patch, x, root, self.chance.uniform(30, 62) * (0.8 + forward / 90))
        self.put(patch, haze=40)

    def conifer(self, patch: Patch, x: float, root: float, height: float) -> None:
        tone = self.chance.uniform(0.75, 1.2)
        tiers = max(6, int(height / 4))
        for tier in range(1, tiers + 1):
            half = height * 0.21 * tier / tiers * self.chance.uniform(0.75, 1.1)
            y = root - height * (1 - tier / tiers)
            for side, light in ((-1, 1.25), (1, 0.8)):
                patch.polygon(
                    [(x, y - height / tiers * 1.7), (x + side * half, y), (x, y + 1)],
                    shade((38, 62, 40), tone * light * self.chance.uniform(0.85, 1.15)),
                )

    def meadow(self) -> None:
        patch = self.ground(self.ridge(722, 10), 1000, (84, 112, 52), (158, 166, 84), (7, 9))
        for _ in range(5200):
            depth = self.chance.random() ** 1.6
            x, y = self.chance.uniform(0, WIDTH), 735 + depth * 175
            patch.line(
                [(x, y), (x + self.chance.uniform(-2, 2), y - 2 - 7 * depth)],
                shade((126, 146, 70), self.chance.uniform(0.62, 1.35)),
                0.5 + depth / 2,
            )
        self.put(patch, haze=14)
        fence = Patch(600, 740, WIDTH, 860, (134, 112, 90))
        for post in range(16):
            x, y = 620 + post * 66, 838 - post * 3.2
            fence.box(x, y - 34, x + 5, y, (122, 102, 82))
            fence.box(x, y - 34, x + 2, y, (160, 138, 112))
            for rail in (28, 15):
                fence.line([(x + 2, y - rail), (x + 68, y - rail - 3.2)], (134, 112, 90), 2.4)
        self.put(fence, haze=8)

    def house(self, x: int, y: int) -> None:
        wide, eaves, top = 330, y - 128, y - 226
        patch = Patch(x - 60, y - 330, x + wide + 60, y + 16, (150, 130, 110))
        patch.box(x + 246, top - 44, x + 276, eaves, (124, 74, 62))  # the chimney
        patch.box(x + 246, top - 44, x + 256, eaves, (154, 96, 80))
        patch.box(x + 243, top - 52, x + 279, top - 42, (104, 70, 62))
        for board in range(eaves, y, 8):
            for left, light in ((x, 1.0), (x + wide - 90, 0.88)):  # the right part stands back
                tone = shade((222, 214, 196), light * self.chance.uniform(0.96, 1.04))
                patch.box(left, board, x + wide, board + 8, tone)
                gap = shade((172, 164, 150), light)
                patch.line([(left, board + 7.5), (x + wide, board + 7.5)], gap)
        patch.line([(x, eaves + 13), (x + wide, eaves + 13)], (132, 124, 112), 7)  # a shadow
        self.roof(patch, x, top, wide)
        for window in _windows(x, y):
            _window(patch, *window)
        patch.box(x + 150, y - 88, x + 190, y, (236, 230, 218))
        patch.box(x + 154, y - 84, x + 186, y, (58, 92, 96))
        patch.spot(x + 180, y - 42, 2, (220, 200, 130))
        patch.box(x + 144, y - 5, x + 196, y + 4, (156, 150, 142))
        for bush in (16, 58, 98, 126, 214, 246, 278, 306, 330):
            centre = (x + bush, y - 6)
            self.leaves(patch, centre, reach=(20, 16), leaves=90, size=3, colour=(66, 104, 52))
        self.put(patch, haze=6)

    def roof(self, patch: Patch, x: int, top: int, wide: int) -> None:
        eaves = top + 104
        corners = [(x - 22, eaves), (x + 52, top), (x + wide - 46, top), (x + wide + 22, eaves)]
        patch.polygon([(float(a), float(b)) for a, b in corners], (128, 66, 52))
        for row in range(13):
            left, right = x + 52 - row * 74 / 13, x + wide - 46 + row * 68 / 13
            y = top + row * 8
            for column in range(int((right - left) / 10)):
                at = left + column * 10 + row % 2 * 5
                tone = shade((146, 76, 58), self.chance.uniform(0.72, 1.2))
                patch.box(at, y, min(at + 9, right), y + 7, tone)
        patch.line([corners[0], corners[3]], (236, 228, 212), 5)

    def road(self) -> None:
        patch = Patch(0, 868, WIDTH, 985, (150, 140, 116))
        patch.box(-9, 868, WIDTH + 9, 985, (150, 140, 116))
        patch.box(-9, 876, WIDTH + 9, 966, (92, 93, 97))
        for _ in range(9000):
            x, y = self.chance.uniform(0, WIDTH), self.chance.uniform(870, 984)
            stone = (94, 95, 99) if 876 <= y <= 966 else (150, 140, 116)
            radius = self.chance.uniform(0.5, 1.3)
            patch.spot(x, y, radius, shade(stone, self.chance.uniform(0.8, 1.22)), 0.5)
        for y in (880, 961):
            patch.box(-9, y, WIDTH + 9, y + 2.4, (214, 212, 204))
        for dash in range(-30, WIDTH, 118):
            patch.box(dash, 915, dash + 64, 919, (222, 216, 196))
        self.put(patch)

    def tree(self, x: int, y: int) -> None:
        shadow = Image.new("L", (440, 90))
        ImageDraw.Draw(shadow).ellipse((30, 30, 410, 68), fill=90)
        shadow = shadow.filter(ImageFilter.GaussianBlur(9))
        self.land.paste((26, 36, 30, 255), (x - 150, y - 42), shadow)
        patch = Patch(x - 260, y - 530, x + 260, y + 20, (60, 84, 44))
        trunk: Points = [(-24, 0), (-12, -170), (-16, -300), (14, -300), (12, -170), (28, 0)]
        lit: Points = [(-24, 0), (-12, -170), (-16, -300), (-4, -300), (-4, 0)]
        for outline, bark in ((trunk, (84, 68, 54)), (lit, (116, 96, 76))):
            patch.polygon([(x + across, y + down) for across, down in outline], bark)
        for side, high, reach in ((-1, 190, 120), (1, 205, 130), (-1, 250, 80), (1, 260, 90)):
            patch.line([(x, y - high), (x + side * reach, y - high - 90)], (92, 74, 58), 9)
        crown = (x, y - 330)
        self.leaves(patch, crown, reach=(150, 116), leaves=1500, size=6, colour=(50, 74, 40))
        for _ in range(52):
            across, down = within_circle(self.chance)
            bough = (crown[0] + across * 172, crown[1] + down * 138)
            self.leaves(patch, bough, reach=(62, 46), leaves=300, size=2.6, colour=(86, 122, 52))
        self.put(patch, haze=4)

    def lawn(self) -> None:
        patch = self.ground(self.ridge(980, 5), HEIGHT, (58, 92, 38), (112, 146, 60), (10, 5))
        for _ in range(15000):
            depth = self.chance.random()
            x, y = self.chance.uniform(-5, WIDTH + 5), 974 + depth * 240
            bend = self.chance.uniform(-6, 6) * (0.4 + depth)
            patch.line(
                [(x, y), (x + bend, y - 7 - 17 * depth)],
                shade((98, 138, 54), self.chance.uniform(0.5, 1.45)),
                0.7 + depth,
            )
        petals: list[Colour] = [(250, 248, 240), (250, 214, 80), (226, 120, 140), (250, 248, 240)]
        for _ in range(150):
            depth = self.chance.random()
            x, y = self.chance.uniform(0, WIDTH), 980 + depth * 200
            patch.flower(x, y, 1.5 + 2 * depth, self.chance.choice(petals), (236, 180, 40))
        self.put(patch, near=120)

    def porch(self) -> None:
        railing = Patch(0, 1000, WIDTH, HEIGHT, _WOOD)
        for x in range(26, WIDTH, 82):
            self.plank(railing, x, 1090, x + 22, HEIGHT + 10)
        self.plank(railing, -10, 1046, WIDTH + 10, 1094)
        self.put(railing, near=235, blur=0.8)
        post = Patch(1470, 0, 1590, HEIGHT, _WOOD)
        self.plank(post, 1492, -10, 1566, HEIGHT + 10)
        self.plank(post, 1478, 1010, 1580, 1046)
        self.put(post, near=235, blur=0.8)
        pot = Patch(1180, 850, 1440, 1060, (110, 70, 50))
        pot.polygon([(1252, 974), (1368, 974), (1354, 1050), (1266, 1050)], (170, 92, 62))
        pot.polygon([(1252, 974), (1290, 974), (1296, 1050), (1266, 1050)], (198, 114, 78))
        pot.box(1244, 962, 1376, 982, (182, 102, 70))
        centre = (1310, 932)
        self.leaves(pot, centre, reach=(94, 54), leaves=620, size=6, colour=(74, 112, 58))
        for _ in range(60):
            across, down = within_circle(self.chance)
            red = shade((218, 62, 74), self.chance.uniform(0.85, 1.2))
            pot.flower(1310 + across * 92, 930 + down * 50, 4.6, red, (250, 214, 90))
        self.put(pot, near=235, blur=0.6)

    def plank(self, patch: Patch, left: int, top: int, right: int, bottom: int) -> None:
        """Painted wood, round: lit at its upper or left side, its grain along it."""
        upright = bottom - top > right - left
        thick = right - left if upright else bottom - top
        for half in range(thick * 2):
            across, at = half / (thick * 2), half / 2
            light = (1.16 if across >= 0.1 else 1.32) - 0.62 * across
            tone = shade(_WOOD, light * self.chance.uniform(0.95, 1.05))
            if upright:
                patch.box(left + at, top, left + at + 0.6, bottom, tone)
            else:
                patch.box(left, top + at, right, top + at + 0.6, tone)
        for _ in range((right - left) * (bottom - top) // 90):
            x, y = self.chance.uniform(left, right), self.chance.uniform(top, bottom)
            across = (x - left if upright else y - top) / thick
            long = self.chance.uniform(10, 60)
            end = (x, min(y + long, bottom)) if upright else (min(x + long, right), y)
            light = (1.1 - 0.62 * across) * self.chance.uniform(0.82, 1.08)
            patch.line([(x, y), end], shade(_WOOD, light), 0.6)

    def clouds(self) -> tuple[Image.Image, Image.Image]:
        heights = noise(self.chance, _CLOUDS, cells=(7, 4), octaves=8)
        thick = heights.point([clamp((v - 138) * 3.4) for v in range(256)])
        fading = vertical(_CLOUDS, [(v, v, v) for v in (190, 255, 230, 150, 60)]).getchannel(0)
        return ImageChops.multiply(thick, fading), relief(heights, 24)


def _windows(x: int, y: int) -> list[tuple[int, int, int, int]]:
    return [
        (x + left, y - 92, x + right, y - 40) for left, right in ((34, 74), (92, 132), (258, 306))
    ]


def _window(patch: Patch, left: int, top: int, right: int, bottom: int) -> None:
    middle, centre = (left + right) / 2, (top + bottom) / 2
    patch.box(left - 5, top - 5, right + 5, bottom + 5, _FRAME)
    patch.box(left, top, right, bottom, (70, 88, 104))
    patch.polygon([(left, top), (right, top), (left, bottom)], (96, 118, 134))
    patch.line([(middle, top), (middle, bottom)], _FRAME, 2.5)
    patch.line([(left, centre), (right, centre)], _FRAME, 2.5)
    patch.box(left - 8, bottom + 5, right + 8, bottom + 9, (214, 206, 192))


def _lamps() -> Image.Image:
    """The house's lit panes, and their glow on the wall and the road."""
    glow, dim = Image.new("RGB", SIZE), (90, 58, 22)
    brush = ImageDraw.Draw(glow)
    x, y = _HOUSE
    for left, top, right, bottom in _windows(x, y):
        brush.rectangle((left - 26, top - 20, right + 26, bottom + 40), fill=dim)
    brush.ellipse((x + 80, y + 4, x + 330, y + 49), fill=dim)
    glow = glow.filter(ImageFilter.GaussianBlur(22))
    brush = ImageDraw.Draw(glow)
    for left, top, right, bottom in _windows(x, y):
        middle, centre = (left + right) // 2, (top + bottom) // 2
        for a, b in ((left, middle - 2), (middle + 2, right)):
            for c, d in ((top, centre - 2), (centre + 2, bottom)):
                brush.rectangle((a, c, b, d), fill=(255, 190, 92))
    return glow
