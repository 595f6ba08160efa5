"""Charts as inline SVG: without scripts, readable by a screen reader, with colours from the stylesheet (light and dark)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup, escape

from device.attendance.distributions import BIN
from device.attendance.timesheet.workday import WorkDay
from device.attendance.timesheet.worksite import Site
from device.web.messages import Messages

WIDTH, HEIGHT = 860, 260  # units of the drawing; it scales with the page
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 16, 30
STRIP_MINUTES = 30 * 60  # a strip shows a day and the night that belongs to it


def over_day(
    texts: Messages, counts: Sequence[int], labels: Sequence[str], title: str, unit: str, bars: bool = False, now: float | None = None
) -> Markup:
    """Counts over a day, as an area or as bars.

    Args:
        labels: under every quarter; only full, even hours are written.
        now: how far the day has gone, 0 to 1: what is beyond is not drawn.
    """
    top = ceiling(max(counts, default=0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(counts))
    shown = len(counts) if now is None else min(len(counts), int(now * len(counts)) + 1)
    points = [(LEFT + step * k, y(count, top)) for k, count in enumerate(counts[:shown])]
    if bars:
        marks = "".join(bar("bar-1", x + 0.8, at, step - 1.6, y(0, top)) for x, at in points)
    else:
        line = " ".join(f"L{x:.1f} {before:.1f}L{x:.1f} {at:.1f}" for (x, at), before in zip(points, [y(0, top), *(at for _, at in points)], strict=False))
        end = LEFT + min(step * shown, step * len(counts) * (1.0 if now is None else now))
        line = f"M{LEFT} {y(0, top):.1f}{line}L{end:.1f} {points[-1][1]:.1f}" if points else ""
        marks = f'<path class="area-1" d="{line}L{end:.1f} {y(0, top):.1f}Z"/><path class="line-1" d="{line}"/>' if points else ""
    if now is not None:
        x = LEFT + step * len(counts) * now
        marks += f'<line class="now" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{y(0, top)}"/>{beside("now-label", x, texts.text("plots.now"))}'
    hours = [(LEFT + step * k, label) for k, label in enumerate(labels) if label.endswith(":00") and int(label[:2]) % 2 == 0]
    return drawing(title, grid(top) + marks + axis(hours), texts.text("plots.at_most", title=title, most=texts.count(max(counts, default=0)), unit=unit))


def against_threshold(
    texts: Messages, one: Mapping[int, int], two: Mapping[int, int], thresholds: Iterable[float], title: str, lowest: float = -0.2
) -> Markup:
    """Two histograms, each as a share of its own total, and the threshold between them.

    Args:
        one, two: histograms over bins of `BIN`; what lies beyond `lowest` and 1 is drawn at the edge.
    """
    low, high = (round(edge / BIN) for edge in (lowest, 1.0))
    x_of = {number: LEFT + (WIDTH - LEFT - RIGHT) * (number - low) / (high - low) for number in range(low, high + 1)}
    series = [("1", one), ("2", two)]
    shares = [(name, {k: count / max(1, sum(found.values())) for k, count in found.items()}) for name, found in series]
    top = max((share for _, found in shares for share in found.values()), default=1.0) * 1.1
    parts = [grid_lines()]
    width = (WIDTH - LEFT - RIGHT) / (high - low)
    for name, found in shares:
        for number, share in sorted(found.items()):
            x = x_of[min(high - 1, max(low, number))]
            at = y(share, top)
            parts.append(bar(f"bar-{name} see-through", x + 0.5, at, width - 1, y(0, top)))
    for number, threshold in enumerate(thresholds):
        x = LEFT + (WIDTH - LEFT - RIGHT) * (threshold - low * BIN) / ((high - low) * BIN)
        parts.append(f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{y(0, top):.1f}"/>')
        parts.append(beside("limit-label", x, texts.text("plots.threshold_at", value=texts.number(threshold, 3)), number))
    parts.append(axis([(x_of[number], texts.number(number * BIN, 1)) for number in range(low, high + 1, 10)]))
    return drawing(title, "".join(parts), title)


def strip(messages: Messages, day: WorkDay, site: Site) -> Markup:
    """One day as a strip: the planned shift as a frame, work and breaks inside. It spans 30 hours, so that a night shift fits."""
    start = site.begins(day.day)

    def placed(first: int, last: int) -> tuple[float, float]:
        a, b = (min(1.0, max(0.0, (moment - start) / STRIP_MINUTES)) * 300 for moment in (first, last))
        return a, max(0.0, b - a)

    parts = [f'<line class="tick" x1="{hour * 10}" x2="{hour * 10}" y1="0" y2="16"/>' for hour in (6, 12, 18, 24)]
    for first, last in (part.span for part in day.planned.parts if part.span and day.planned.kind == "work"):
        x, width = placed(first, last)
        parts.append(f'<rect class="planned" x="{x:.1f}" y="1" width="{width:.1f}" height="14" rx="3"/>')
    spans = [span for span in day.spans if span.kind != "gap"]
    for span in spans:
        x, width = placed(span.start, span.end)
        parts.append(bar(span.kind, x, 3, width, 13) if span.kind == "work" else bar(span.kind, x, 6, width, 10))
    named = [(f"sheets.strip_{span.kind}", *(f"{site.local(moment):%H:%M}" for moment in (span.start, span.end))) for span in spans]
    said = "; ".join(messages.text(key, first=first, last=last) for key, first, last in named) or messages.text("sheets.nothing_recorded")
    return Markup(f'<svg class="strip" viewBox="0 0 300 16" preserveAspectRatio="none" role="img" aria-label="{escape(said)}">{"".join(parts)}</svg>')


def meter(messages: Messages, score: float | None, threshold: float | None) -> Markup:
    """A score beside its threshold, both from 0 to 1."""
    if score is None or threshold is None:
        return Markup("")
    across = max(0.0, min(1.0, score)) * 80
    said = messages.text("log.meter", score=messages.number(score, 3), threshold=messages.number(threshold, 3))
    return Markup(
        f'<svg class="meter" viewBox="0 0 80 12" role="img" aria-label="{escape(said)}"><rect class="track" width="80" height="6" y="3" rx="3"/>'
        f'<rect class="{"fill" if score >= threshold else "fill low"}" width="{across:.1f}" height="6" y="3" rx="3"/>'
        f'<line class="limit" x1="{threshold * 80:.1f}" x2="{threshold * 80:.1f}" y1="0" y2="12"/></svg>'
    )


def bar(name: str, x: float, top: float, width: float, bottom: float) -> str:
    return f'<rect class="{name}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{bottom - top:.1f}" rx="1"/>'


def y(value: float, top: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / (top or 1))


def ceiling(value: float) -> int:
    """The next larger round number, for the axis."""
    step = 1
    while step * 4 < value:
        step *= 5 if str(step)[0] == "2" else 2
        if str(step)[0] == "4":
            step = step // 4 * 5
    return max(4, -(-int(value) // step) * step)


def grid(top: int) -> str:
    steps = 4
    values = [top * k / steps for k in range(steps + 1)]
    return grid_lines() + "".join(label(LEFT - 8, y(value, top) + 4, f"{value:g}", "end", spare=not value) for value in values)


def grid_lines() -> str:
    rows = [TOP + (HEIGHT - TOP - BOTTOM) * k / 4 for k in range(5)]
    return "".join(f'<line class="grid-line" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{row:.1f}" y2="{row:.1f}"/>' for row in rows)


def axis(places: Iterable[tuple[float, str]]) -> str:
    """Labels under the drawing; where it is small, every second one is left out."""
    return "".join(label(x, HEIGHT - 8, words, "middle", spare=number % 2 == 1) for number, (x, words) in enumerate(places))


def label(x: float, height: float, words: str, anchor: str, spare: bool) -> str:
    return f'<text class="axis{" often" * spare}" x="{x:.1f}" y="{height:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def beside(name: str, x: float, words: str, line: int = 0) -> str:
    """Words beside an upright line, to its left where they would reach over the edge; those of further lines stand below."""
    right = x < WIDTH * 0.7
    anchor = "start" if right else "end"
    return f'<text class="{name}" x="{x + (6 if right else -6):.1f}" y="{TOP + 10}" dy="{1.2 * line:.1f}em" text-anchor="{anchor}">{escape(words)}</text>'


def drawing(title: str, content: str, said: str) -> Markup:
    return Markup(f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(said)}"><title>{escape(title)}</title>{content}</svg>')


def table(texts: Messages, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """The numbers behind a chart, as a table that can be unfolded."""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    filled = f'<table class="data"><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>'
    return Markup(f'<details class="numbers"><summary>{escape(texts.text("plots.numbers"))}</summary>{filled}</details>')


def quarters(counts: Sequence[int], labels: Sequence[str]) -> list[tuple[str, str]]:
    return [(label, str(count)) for label, count in zip(labels, counts, strict=True) if count]


def bins(scores: Mapping[int, int]) -> dict[str, int]:
    return {f"{number * BIN:.2f}": count for number, count in sorted(scores.items())}
