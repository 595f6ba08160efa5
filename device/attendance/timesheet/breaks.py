"""Breaks of one day: what was taken, what is paid, and what is deducted because it was due and not taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device.attendance.timesheet.shifts import Pause, Planned
from device.attendance.timesheet.stays import Span
from device.attendance.timesheet.worksite import Site


@dataclass(frozen=True)
class Breaks:
    """In minutes."""

    taken: int
    paid: int  # of those taken, what counts as work
    deducted: int


def breaks_of(spans: Sequence[Span], planned: Planned, site: Site) -> Breaks:
    """First the shift's break, then what the site's minimum breaks still ask for."""
    worked = sum(span.minutes for span in spans if span.kind == "work")
    breaks = [span for span in spans if span.kind == "break"]
    taken = sum(span.minutes for span in breaks)
    counting = sum(span.minutes for span in breaks if span.minutes >= site.minimum_break_part)
    pause = planned.pause
    within = sum(_inside(span, pause) for span in breaks) if pause else 0
    paid = min(within, pause.minutes) if pause and pause.paid else 0
    planned_off = _not_taken(pause, within, worked, spans, planned.due_minutes) if pause and pause.automatic and not pause.paid else 0
    return Breaks(taken, paid, planned_off + deduction(worked - planned_off, counting + planned_off, site.minimum_breaks))


def _not_taken(pause: Pause, taken: int, worked: int, spans: Sequence[Span], due: int) -> int:
    """What is missing of the shift's break: at most the work within its window or, without one, the work beyond half of what is due."""
    at_most = sum(_inside(span, pause) for span in spans if span.kind == "work") if pause.window else worked - due // 2
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
