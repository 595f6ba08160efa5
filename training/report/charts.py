"""Charts as SVG inside a page: they take the page's colours, light and dark, and need no script. All numbers of a chart stand in its labels, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 34


@dataclass(frozen=True)
class Series:
    """One line: points in order of x; `faint` for what a smoother line is drawn over."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 1  # 1..4
    faint: bool = False
    filled: bool = False  # down to the lower edge


@dataclass(frozen=True)
class Axis:
    """The range and the ticks of an axis."""

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Position of a value, 0 at the low end and 1 at the high one."""
        scale = math.log10 if self.logarithmic else float
        return (scale(value) - scale(self.low)) / ((scale(self.high) - scale(self.low)) or 1.0)


def linear(values: Sequence[float], at_zero: bool = False) -> Axis:
    """Round ticks around the values."""
    low, high = (min(0.0, min(values)) if at_zero else min(values)), max(values)
    if low == high:
        low, high = low - (abs(low) / 2 or 1.0), high + (abs(high) / 2 or 1.0)
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(i * step, 12) for i in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def logarithmic(values: Sequence[float]) -> Axis:
    """Powers of ten around the values, which are above 0."""
    low, high = math.floor(math.log10(min(values)) + 1e-9), math.ceil(math.log10(max(values)) - 1e-9)
    high = max(high, low + 1)
    every = -(-(high - low) // 5)
    return Axis(10.0**low, 10.0**high, tuple(10.0**i for i in range(low, high + 1, every)), True)


def short(value: float) -> str:
    """A number as it stands beside a tick."""
    if value and abs(value) < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-")
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):g}{unit}"
    return f"{value:g}"


def line_chart(title: str, series: Sequence[Series], x_name: str, y: Axis, x: Axis | None = None, marked: float | None = None) -> str:
    """An SVG with a legend above; `marked` draws a vertical line at an x."""
    x = x or linear([value for one in series for value in one.x])

    def place(a: float, b: float) -> tuple[float, float]:
        return LEFT + x.share(a) * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y.share(b) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place(x.low, t)[1]:.1f}" y2="{place(x.low, t)[1]:.1f}"/>' for t in y.ticks]
    parts += [f'<text class="tick" text-anchor="end" x="{LEFT - 8}" y="{place(x.low, t)[1] + 4:.1f}">{short(t)}</text>' for t in y.ticks]
    parts += [_x_tick(place(t, y.low)[0], short(t)) for t in x.ticks]
    if marked is not None:
        parts.append(f'<line class="mark" x1="{place(marked, y.low)[0]:.1f}" x2="{place(marked, y.low)[0]:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    parts += [_drawn(one, [place(a, b) for a, b in zip(one.x, one.y, strict=True)]) for one in series]
    legend = "".join(f'<span class="key c{one.colour}">{escape(one.name)}</span>' for one in series if not one.faint)
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    return f'<figure><figcaption><b>{escape(title)}</b><span class="keys">{legend}</span></figcaption>{drawing}<p class="axis">{escape(x_name)}</p></figure>'


def _x_tick(at: float, text: str) -> str:
    anchor = "start" if at < LEFT + 1 else "end" if at > WIDTH - RIGHT - 1 else "middle"
    return f'<text class="tick" text-anchor="{anchor}" x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}">{text}</text>'


def _drawn(one: Series, points: list[tuple[float, float]]) -> str:
    path = "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in points)
    floor = HEIGHT - BOTTOM
    area = f'<path class="area c{one.colour}" d="{path}L{points[-1][0]:.1f},{floor}L{points[0][0]:.1f},{floor}Z"/>' if one.filled else ""
    dotted = len(points) <= 24 and not (one.faint or one.filled)
    dots = "".join(f'<circle class="c{one.colour}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in points) if dotted else ""
    return f'{area}<path class="line c{one.colour}{" faint" * one.faint}" d="{path}"/>{dots}'


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """An exponential mean that starts at the first value."""
    found: list[float] = []
    for value in values:
        found.append(value if not found else weight * found[-1] + (1 - weight) * value)
    return found


def thinned(x: Sequence[float], y: Sequence[float], most: int = 400) -> tuple[list[float], list[float]]:
    """At most so many points, the last one included; each is the mean of its neighbours."""
    each = -(-len(x) // most)
    groups = [range(i, min(i + each, len(x))) for i in range(0, len(x), each)]
    return [x[group[-1]] for group in groups], [sum(y[i] for i in group) / len(group) for group in groups]


def bars(rows: Sequence[tuple[str, float, float, float]], unit: str) -> str:
    """Rows of (name, value, low, high): a bar with its interval, the number beside it."""
    largest = max((high for *_, high in rows), default=0.0) or 1.0
    lines = []
    for name, value, low, high in rows:
        span = f'<i class="span" style="left:{100 * low / largest:.1f}%;width:{max(0.4, 100 * (high - low) / largest):.1f}%"></i>'
        bar = f'<span class="track"><i class="bar" style="width:{100 * value / largest:.1f}%"></i>{span}</span>'
        lines.append(f'<div class="row"><span>{escape(name)}</span>{bar}<span class="number">{100 * value:.2f} {unit}</span></div>')
    return f'<div class="bars">{"".join(lines)}</div>'
