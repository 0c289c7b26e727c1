"""A small plot as SVG, for documents: values over time, one panel below the other."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, PANEL, LEFT, TOP = 760, 150, 60, 40
_DOTS = 2_000  # of a panel at most: a document is not to weigh megabytes
_INK, _DIM, _MARK = "#1c2127", "#6b7580", "#d9822b"
_LINES = ("#0b6bcb", "#1a7f37")


@dataclass(frozen=True)
class Line:
    """One panel: points of (seconds, value)."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False
    log: bool = False


def plot(title: str, lines: Sequence[Line], *, marks: Sequence[float], marked: str) -> str:
    """The SVG's text; ``marks`` are moments, drawn through all panels and named ``marked``."""
    height = TOP + len(lines) * (PANEL + 30) + 30
    end = max((at for line in lines for at, _ in line.points), default=1.0)
    width = WIDTH - LEFT - 20

    def x(at: float) -> float:
        return LEFT + at / end * width

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="14">{escape(title)}</text>',
    ]
    bottom = TOP
    for line, colour in zip(lines, _LINES, strict=False):
        top, bottom = bottom + 20, bottom + 20 + PANEL
        out += _panel(line, colour, x, top, bottom)
        bottom += 10
    out += [
        f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{TOP + 20}" y2="{bottom - 10}" '
        f'stroke="{_MARK}" stroke-opacity=".5"/>'
        for at in marks
    ]
    for part in range(7):
        at = end * part / 6
        out.append(
            f'<text x="{x(at):.1f}" y="{bottom + 8}" text-anchor="middle" fill="{_DIM}">'
            f"{at:.0f} s</text>"
        )
    out.append(f'<text x="{LEFT}" y="{bottom + 28}" fill="{_MARK}">| {escape(marked)}</text></svg>')
    return "\n".join(out) + "\n"


def _panel(
    line: Line, colour: str, x: Callable[[float], float], top: float, bottom: float
) -> list[str]:
    values = [value for _, value in line.points] or [1.0]
    if line.log:
        low, high = math.log10(max(min(values), 1e-3)), math.log10(max(max(values), 1e-2))
        low, high = math.floor(low), math.ceil(high)
        ticks = [10.0**n for n in range(low, high + 1)]
    else:
        low, high = 0.0, max(values) * 1.2
        ticks = [0.0, high / 2, high]

    def y(value: float) -> float:
        scaled = math.log10(max(value, 1e-3)) if line.log else value
        return bottom - (scaled - low) / (high - low) * (bottom - top)

    out = [f'<text x="{LEFT}" y="{top - 6}" fill="{colour}">{escape(line.name)}</text>']
    out += [
        f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
        f'stroke="#e3e6ea"/><text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end" '
        f'fill="{_DIM}">{tick:.0f}</text>'
        for tick in ticks
    ]
    if line.dots:
        step = max(1, len(line.points) // _DOTS)
        path = "".join(f"M{x(at):.1f} {y(value):.1f}h0" for at, value in line.points[::step])
        out.append(
            f'<path d="{path}" stroke="{colour}" stroke-width="2" stroke-linecap="round" '
            f'stroke-opacity=".5"/>'
        )
    else:
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in line.points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return out
