"""From when a punch counts: margins around the shifts, then rounding (docs/timesheets.md)."""

from __future__ import annotations

from collections.abc import Sequence

from device.attendance.timesheet.directions import Step
from device.attendance.timesheet.shifts import Planned
from device.attendance.timesheet.worksite import Site

BEGINS = ("in", "break_end")  # work begins with them


def counted(punches: Sequence[tuple[int, Step]], planned: Planned, site: Site, margins: bool = True) -> list[int]:
    """The moments from which the punches of a day count, in order, none before the one that goes before it."""
    found: list[int] = []
    for moment, step in punches:
        planned_time = _planned_time(moment, step, planned) if margins else None
        own = site.rounded(moment, step in BEGINS) if planned_time is None else planned_time
        found.append(max(own, found[-1]) if found else own)
    return found


def _planned_time(moment: int, step: Step, planned: Planned) -> int | None:
    """The start or the end of the shift, for who comes a little before the one or leaves a little after the other."""
    part = planned.parts[planned.part_at(moment)] if planned.parts else None
    span = part.boundaries if part and planned.kind == "work" else None
    if part is None or span is None:
        return None
    if step == "in" and span[0] - part.before_minutes <= moment < span[0]:
        return span[0]
    return span[1] if step == "out" and span[1] < moment <= span[1] + part.after_minutes else None
