"""Charts of the report as inline SVG, safe to put on a page. Colours are CSS variables of the page: light or dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 320, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 26
_SHAPES = 10
"""Colours a class can have; the next ten classes have the same ones with another mark."""


def line_chart(series: Mapping[str, Points], x_label: str, *, share: bool = False) -> Markup:
    """Lines over a common x axis. ``share``: y runs from 0 to 100 %. Empty text if there is no point."""
    points = [point for line in series.values() for point in line if math.isfinite(point[1])]
    if not points:
        return Markup("")
    x0, x1 = min(x for x, _ in points), max(x for x, _ in points)
    y0, y1 = (0.0, 1.0) if share else (min(y for _, y in points), max(y for _, y in points))
    ticks = nice_ticks(y0, y1)
    y0, y1 = min(y0, ticks[0]), max(y1, ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x0) / (x1 - x0) if x1 > x0 else 0.5
        up = (y - y0) / (y1 - y0) if y1 > y0 else 0.5
        return _LEFT + across * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)

    parts = []
    for tick in ticks:
        _, y = place(x0, tick)
        text = f"{tick:.0%}" if share else f"{tick:g}"
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{text}</text>')
    for x in sorted({x0, x1}):
        anchor = "start" if x == x0 and x1 > x0 else "end" if x1 > x0 else "middle"
        parts.append(f'<text x="{place(x, y0)[0]:.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{x:g}</text>')
    parts.append(
        f'<text x="{(_LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_label)}</text>'
    )
    for number, (name, line) in enumerate(series.items()):
        placed = [place(x, y) for x, y in line if math.isfinite(y)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        title = f"<title>{escape(name)}</title>"
        if len(placed) > 1:
            parts.append(f'<polyline class="line s{number}" points="{path}">{title}</polyline>')
        if len(placed) <= 20:
            parts += [
                f'<circle class="dot s{number}" cx="{x:.1f}" cy="{y:.1f}" r="2.5">{title}</circle>'
                for x, y in placed
            ]
    return _svg(WIDTH, HEIGHT, parts, "chart of " + ", ".join(series))


def nice_ticks(low: float, high: float, expected: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) from below ``low`` to above ``high``, about ``expected``."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / expected
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def whisker(value: float, low: float, high: float, limit: float, good_up: bool = True) -> Markup:
    """A value with its interval on an axis from -limit to limit, zero marked; red on the bad side, green on the good.

    Grey where the interval holds zero. What lies outside the axis is cut off at its ends.
    """

    def place(v: float) -> float:
        return 100 + 96 * max(-1.0, min(1.0, v / limit))

    side = 0 if low <= 0 <= high else 1 if (value > 0) == good_up else -1
    tone = {0: "unsure", 1: "good", -1: "bad"}[side]
    return _svg(
        200,
        22,
        [
            '<line class="grid" x1="4" x2="196" y1="11" y2="11"/>',
            '<line class="zero" x1="100" x2="100" y1="2" y2="20"/>',
            f'<line class="bar {tone}" x1="{place(low):.1f}" x2="{place(high):.1f}" y1="11" y2="11"/>',
            f'<circle class="knob {tone}" cx="{place(value):.1f}" cy="11" r="5"/>',
        ],
        f"{value:+.3f}, from {low:+.3f} to {high:+.3f}",
    )


def scatter(points: Points, classes: Sequence[int], names: Sequence[str]) -> Markup:
    """Points coloured (and, after ten classes, shaped) by class. Axes mean nothing and are not drawn."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    scale_x, scale_y = (300 / ((max(v) - min(v)) or 1.0) for v in (xs, ys))
    parts = []
    for (x, y), k in zip(points, classes, strict=True):
        px, py = 10 + (x - min(xs)) * scale_x, 310 - (y - min(ys)) * scale_y
        parts.append(mark(px, py, k, names[k]))
    return _svg(320, 320, parts, "t-SNE of features")


def mark(x: float, y: float, k: int, name: str, r: float = 3.6) -> str:
    """One class's mark at (x, y): circle, then square, then triangle; ten colours each."""
    title = f"<title>{escape(name)}</title>"
    tone = f'class="mark c{k % _SHAPES}"'
    shape = k // _SHAPES % 3
    if shape == 0:
        return f'<circle {tone} cx="{x:.1f}" cy="{y:.1f}" r="{r}">{title}</circle>'
    if shape == 1:
        corner = f'x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r:.1f}" height="{2 * r:.1f}"'
        return f"<rect {tone} {corner}>{title}</rect>"
    spots = f"{x:.1f},{y - 1.3 * r:.1f} {x - 1.2 * r:.1f},{y + r:.1f} {x + 1.2 * r:.1f},{y + r:.1f}"
    return f'<polygon {tone} points="{spots}">{title}</polygon>'


def swatch(k: int, name: str) -> Markup:
    """A class's mark alone, for a legend."""
    return _svg(14, 14, [mark(7, 7, k, name, 5)], name, "swatch")


def _svg(width: int, height: int, parts: Sequence[str], label: str, css: str = "chart") -> Markup:
    return Markup(
        f'<svg class="{css}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
