"""The detection error trade-off as an SVG picture: BPCER over APCER at every threshold, one line for each species of attack.

Both axes follow the normal deviate (A. Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import NormalDist

from device.vision.error_rates import trade_off

SIDE, LEFT, TOP, RIGHT, BOTTOM = 420, 70, 20, 230, 50  # units of the drawing: the square of the axes and the room around it
TICKS = (0.001, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95)  # the first and the last are the ends; shares beyond them are drawn there
COLOURS = ("#1d2733", "#b3261e", "#2a7f62", "#1f5fa8", "#8a5a00", "#7a3b8f")
DASHES = ("", "7 4", "2 3", "10 3 2 3")  # the next once the colours are used up

Point = tuple[float, float]  # APCER, BPCER


def det(attacks: Mapping[str, Sequence[float]], bona_fide: Sequence[float], threshold: float) -> str:
    """The picture; a species without scores is left out.

    Args:
        attacks: species -> scores of its presentations, at least one in all.
        bona_fide: scores of living faces, at least one.
        threshold: the one in force, marked on every line.
    """
    parts = [_axes()]
    shown = {name: scores for name, scores in attacks.items() if scores}
    for number, (name, scores) in enumerate(shown.items()):
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]
        parts += [_line(scores, bona_fide, threshold, colour, dash), _entry(number, f"{name} ({len(scores)})", colour, dash)]
    parts.append(_entry(len(shown) + 1, f"of {len(bona_fide)} living faces", "", ""))
    parts.append(_entry(len(shown) + 2, f"mark: threshold {threshold:g}", "", ""))
    width, height = LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    style = 'font-family="sans-serif" font-size="13" fill="#1d2733"'
    title = "<title>Detection error trade-off of the liveness gate</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{title}<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'


def place(share: float) -> float:
    """Where a share stands along an axis, 0..1."""
    deviate = NormalDist().inv_cdf
    low, high = deviate(TICKS[0]), deviate(TICKS[-1])
    return (deviate(min(max(share, TICKS[0]), TICKS[-1])) - low) / (high - low)


def _xy(point: Point) -> tuple[float, float]:
    return LEFT + SIDE * place(point[0]), TOP + SIDE * (1 - place(point[1]))


def _line(scores: Sequence[float], bona_fide: Sequence[float], threshold: float, colour: str, dash: str) -> str:
    """As stairs: with so few presentations there is nothing between two points."""
    found = trade_off(scores, bona_fide)
    corners = [_xy((found[0][1], found[0][2]))]
    for _, apcer, bpcer in found[1:]:
        x, y = _xy((apcer, bpcer))
        corners += [(x, corners[-1][1]), (x, y)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    apcer, bpcer = max(point for point in found if point[0] <= threshold)[1:]
    x, y = _xy((apcer, bpcer))
    mark = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>{mark}'


def _entry(row: int, words: str, colour: str, dash: str) -> str:
    x, y = LEFT + SIDE + 16, TOP + 20 + 20 * row
    line = f'<line x1="{x}" x2="{x + 26}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>' if colour else ""
    return f'{line}<text x="{x + 32}" y="{y}">{escape(words)}</text>'


def _axes() -> str:
    parts = []
    for share in TICKS:
        x, y = _xy((share, share))
        parts.append(f'<path d="M{x:.1f} {TOP}V{TOP + SIDE}M{LEFT} {y:.1f}H{LEFT + SIDE}" stroke="#e3e7eb"/>')
        words = f"{100 * share:g}"
        parts.append(f'<text x="{x:.1f}" y="{TOP + SIDE + 18}" text-anchor="middle">{words}</text>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{words}</text>')
    middle = TOP + SIDE / 2
    parts.append(f'<text x="{LEFT + SIDE / 2}" y="{TOP + SIDE + 40}" text-anchor="middle">APCER, % of attacks accepted</text>')
    parts.append(f'<text x="20" y="{middle}" text-anchor="middle" transform="rotate(-90 20 {middle})">BPCER, % of living faces refused</text>')
    return "".join(parts)
