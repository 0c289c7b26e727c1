"""Brushes for the demo's scene: shapes with smooth edges, grown foliage, fractal noise.

What they paint is in neutral daylight; ``scene`` gives it the light of the hour.
"""

import random
from collections.abc import Iterator
from math import cos, pi, sin

from PIL import Image, ImageChops, ImageDraw

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]

_FINE = 2  # shapes are drawn this much larger and scaled down, which smooths their edges


class Patch:
    """A piece of the picture to draw on, in the whole picture's coordinates.

    It is transparent where nothing was drawn; ``tint`` is what its smoothed edges fade to.
    """

    def __init__(self, left: int, top: int, right: int, bottom: int, tint: Colour) -> None:
        self.place = (left, top)
        self.size = (right - left, bottom - top)
        self._image = Image.new("RGBA", (self.size[0] * _FINE, self.size[1] * _FINE), (*tint, 0))
        self._brush = ImageDraw.Draw(self._image)

    def polygon(self, points: Points, colour: Colour) -> None:
        """Fill a polygon."""
        self._brush.polygon(self._scaled(points), fill=(*colour, 255))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def line(self, points: Points, colour: Colour, width: float = 1) -> None:
        """Draw a stroke."""
        thick = max(1, round(width * _FINE))
        self._brush.line(self._scaled(points), fill=(*colour, 255), width=thick)

    def spot(self, x: float, y: float, radius: float, colour: Colour, flat: float = 1.0) -> None:
        """Fill a circle, or an ellipse of that flatness."""
        down = radius * flat
        corners = self._scaled([(x - radius, y - down), (x + radius, y + down)])
        self._brush.ellipse([*corners[0], *corners[1]], fill=(*colour, 255))

    def flower(self, x: float, y: float, radius: float, petal: Colour, heart: Colour) -> None:
        """Draw five petals and a heart."""
        for across, down in around(5):
            self.spot(x + across * radius, y + down * radius * 0.8, radius * 0.8, petal, 0.9)
        self.spot(x, y, radius * 0.5, heart)

    def texture(self, colour: Colour, amount: Image.Image) -> None:
        """Mix a colour into what is drawn so far, as much as ``amount`` (L) says."""
        layer = Image.new("RGBA", self._image.size, (*colour, 255))
        layer.putalpha(self._image.getchannel("A"))
        self._image.paste(layer, mask=amount.resize(self._image.size))

    def finished(self) -> Image.Image:
        """What was drawn, in the picture's own scale; RGBA."""
        return self._image.resize(self.size, Image.Resampling.BOX)

    def _scaled(self, points: Points) -> Points:
        left, top = self.place
        return [((x - left) * _FINE, (y - top) * _FINE) for x, y in points]


def foliage(
    chance: random.Random,
    patch: Patch,
    centre: tuple[float, float],
    *,
    reach: tuple[float, float],
    leaves: int,
    size: float,
    colour: Colour,
) -> None:
    """Leaves in a round crown, from its back to its front; the sun is at the upper left."""
    for leaf in range(leaves):
        across, down = within_circle(chance)
        light = (0.95 - 0.3 * across - 0.42 * down) * (0.55 + 0.45 * leaf / leaves)
        patch.spot(
            centre[0] + across * reach[0],
            centre[1] + down * reach[1],
            size * chance.uniform(0.6, 1.3),
            shade(colour, light * chance.uniform(0.72, 1.22)),
            chance.uniform(0.5, 0.9),
        )


def around(count: int) -> Iterator[tuple[float, float]]:
    """Points that share a circle of radius 1."""
    for point in range(count):
        turn = point / count * 2 * pi
        yield cos(turn), sin(turn)


def within_circle(chance: random.Random) -> tuple[float, float]:
    """A place in a circle of radius 1, each as likely."""
    turn, out = chance.uniform(0, 2 * pi), chance.random() ** 0.5
    return cos(turn) * out, sin(turn) * out


def ridge(chance: random.Random, *, width: int, height: float, swing: float) -> Points:
    """A line of hills across a picture, a point every four pixels."""
    waves = [
        (swing * 0.5**k, (0.7 + chance.random()) * 1.9**k, chance.random() * 2 * pi)
        for k in range(8)
    ]
    return [
        (x, height + sum(a * sin(f * x / width * 2 * pi + p) for a, f, p in waves))
        for x in range(-4, width + 8, 4)
    ]


def noise(
    chance: random.Random, size: tuple[int, int], *, cells: tuple[int, int], octaves: int
) -> Image.Image:
    """Fractal noise from 0 to 255 (L) that joins itself left and right."""
    total = Image.new("L", size)
    for octave in range(octaves):
        across, down = cells[0] << octave, cells[1] << octave
        grid = Image.frombytes("L", (across, down), chance.randbytes(across * down))
        wide = Image.new("L", (across + 4, down))
        for offset in (-across, 0, across):
            wide.paste(grid, (2 + offset, 0))
        layer = wide.resize(size, Image.Resampling.BICUBIC, box=(2, 0, 2 + across, down))
        total = Image.blend(total, layer, 1 / (2 ** (octave + 1) - 1))
    return _stretched(total)


def relief(heights: Image.Image, reach: int) -> Image.Image:
    """A height map (L) lit from the upper left."""
    return Image.blend(heights, ImageChops.offset(heights, -reach, -reach), -1.0)


def vertical(size: tuple[int, int], colours: list[Colour]) -> Image.Image:
    """A gradient from the top to the bottom."""
    column = Image.new("RGB", (1, len(colours)))
    for row, colour in enumerate(colours):
        column.putpixel((0, row), colour)
    return column.resize(size, Image.Resampling.BICUBIC)


def shade(colour: Colour, light: float) -> Colour:
    """The colour in more or less light: warmer in more of it, cooler in less."""
    red, green, blue = colour
    return clamp(red * light), clamp(green * light), clamp(blue * (0.25 + 0.75 * light))


def clamp(value: float) -> int:
    """A channel's value."""
    return min(255, max(0, round(value)))


def _stretched(image: Image.Image) -> Image.Image:
    # to the full range but for two in a thousand at either end: a lone speck sets no scale
    histogram = image.histogram()
    low = _reached(histogram)
    high = 255 - _reached(histogram[::-1])
    return image.point([clamp((v - low) * 255 / max(1, high - low)) for v in range(256)])


def _reached(histogram: list[int]) -> int:
    seen, enough = 0, sum(histogram) // 500
    for value, count in enumerate(histogram):
        seen += count
        if seen > enough:
            return value
    return 255
