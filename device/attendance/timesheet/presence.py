"""Who is in, out, late, absent, on a break: what two days of a sheet say at a moment. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from device.attendance.timesheet.workday import WorkDay
from device.attendance.timesheet.worksite import Site

State = Literal["in", "break", "out", "late", "absent", "expected", "away", "off"]
STATES: dict[State, str] = {  # in the order a desk asks for them
    "in": "in",
    "break": "on break",
    "out": "gone",
    "late": "late, not here yet",
    "absent": "absent",
    "expected": "expected",
    "away": "planned absence",
    "off": "not planned",
}


@dataclass(frozen=True)
class Presence:
    """Where somebody is."""

    state: State
    since: int | None  # moment of the last punch
    day: WorkDay  # the day it belongs to: today, or yesterday for somebody who is still in
    first_in: int | None


def presence(yesterday: WorkDay, today: WorkDay, site: Site, as_of: int) -> Presence:
    """Somebody who came yesterday and is still in within the longest stay counts as in."""
    longest = site.longest_stay_hours * 60
    for day in (today, yesterday):
        if day.stamps and day.state != "out" and as_of - day.stamps[0].at <= longest:
            return Presence("break" if day.state == "break" else "in", day.stamps[-1].at, day, _first_in(day))
    if today.stamps:
        return Presence("out", today.stamps[-1].at, today, _first_in(today))
    return Presence(_without_punches(today, as_of), None, today, None)


def _first_in(day: WorkDay) -> int | None:
    return day.stamps[0].at if day.stamps[0].step == "in" else None


def _without_punches(today: WorkDay, as_of: int) -> State:
    planned = today.planned
    if planned.kind == "absence":
        return "away"
    if planned.kind != "work":
        return "off"
    if planned.span is None or as_of <= planned.span[0] + planned.grace_minutes:
        return "expected"
    return "late" if as_of < planned.span[1] else "absent"
