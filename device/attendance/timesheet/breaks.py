"""Breaks of one day: what was taken, what is paid, and what is deducted because it was due and not taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device.attendance.timesheet.parts import Pause
from device.attendance.timesheet.shifts import Planned
from device.attendance.timesheet.stays import Span
from device.attendance.timesheet.worksite import Site


@dataclass(frozen=True)
class Breaks:
    """In minutes."""

    taken: int
    paid: int  # of those taken, what counts as work
    deducted: int


def breaks_of(spans: Sequence[Span], planned: Planned, site: Site) -> Breaks:
    """First the breaks of the shifts, then what the site's minimum breaks still ask for; the time between two shifts counts towards these."""
    worked = sum(span.minutes for span in spans if span.kind == "work")
    taken = sum(span.minutes for span in spans if span.kind == "break")
    counting = sum(span.minutes for span in spans if span.kind != "work" and span.minutes >= site.minimum_break_part)
    paid = planned_off = 0
    for number, part in enumerate(planned.parts):
        if part.pause:
            own = _of_part(spans, planned, number)
            within = sum(_inside(span, part.pause) for span in own if span.kind == "break")
            paid += min(within, part.pause.minutes) if part.pause.paid else 0
            planned_off += _not_taken(part.pause, within, own, part.due_minutes) if part.pause.automatic and not part.pause.paid else 0
    return Breaks(taken, paid, planned_off + deduction(worked - planned_off, counting + planned_off, site.minimum_breaks))


def _of_part(spans: Sequence[Span], planned: Planned, number: int) -> list[Span]:
    """Work and breaks of one part; who left before its end or came after its start had a break until then."""
    part = planned.parts[number]
    if len(planned.parts) == 1 or part.span is None:
        return list(spans)
    begin, end = planned.reach(number)
    cut = [(span, *((begin, end) if span.kind != "gap" else part.span)) for span in spans]
    clipped = [Span("work" if span.kind == "work" else "break", max(span.start, first), min(span.end, last)) for span, first, last in cut]
    return [span for span in clipped if span.minutes > 0]


def _not_taken(pause: Pause, taken: int, spans: Sequence[Span], due: int) -> int:
    """What is missing of the shift's break: at most the work within its window or, without one, the work beyond half of what is due."""
    work = [span for span in spans if span.kind == "work"]
    at_most = sum(_inside(span, pause) for span in work) if pause.window else sum(span.minutes for span in work) - due // 2
    return max(0, min(pause.minutes - taken, at_most))


def _inside(span: Span, pause: Pause) -> int:
    """Minutes of a span in the window of the break."""
    if pause.window is None:
        return span.minutes
    return max(0, min(span.end, pause.window[1]) - max(span.start, pause.window[0]))


def deduction(worked: int, taken: int, minimum_breaks: Sequence[tuple[int, int]]) -> int:
    """Minutes of break that were due and not taken; at most the minutes worked beyond those after which the break is due."""
    short = 0
    for after, due in minimum_breaks:
        short = max(short, min(due - taken, worked - after))
    return short
