"""Presence: whether a person is in, out, late, absent or on a break at a moment, computed from two days of a timesheet. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from device.attendance.timesheet.windows import SLACK_MINUTES
from device.attendance.timesheet.workday import WorkDay
from device.attendance.timesheet.worksite import Site

State = Literal["in", "break", "out", "late", "absent", "expected", "away", "off"]
STATES: dict[State, str] = {  # in the order in which the page shows them
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
    """A person's state at a moment."""

    state: State
    since: int | None  # moment of the last punch
    day: WorkDay  # the day it belongs to: today, or yesterday for a person who is still in
    first_in: int | None


def presence(yesterday: WorkDay, today: WorkDay, site: Site, as_of: int) -> Presence:
    """A stay that began yesterday still counts while it is open and not longer than the longest stay."""
    for day in (today, yesterday):
        if day.stamps and day.state != "out" and not day.over and as_of - day.stamps[0].at <= _longest(day, site) and not _gone(day, as_of):
            return Presence("break" if day.state == "break" else "in", day.stamps[-1].at, day, _first_in(day))
    if today.stamps:
        return Presence(_after(today, as_of), today.check_out or today.stamps[-1].at, today, _first_in(today))
    return Presence(_without_punches(today, as_of), None, today, None)


def _gone(day: WorkDay, as_of: int) -> bool:
    """Whether the time of the automatic check-out has come since the day was computed."""
    return day.check_out is not None and as_of >= day.check_out


def _longest(day: WorkDay, site: Site) -> int:
    longest = day.planned.longest
    return max(site.longest_stay_hours * 60, longest + 2 * SLACK_MINUTES if longest else 0)


def _first_in(day: WorkDay) -> int | None:
    return day.stamps[0].at if day.stamps[0].step == "in" else None


def _without_punches(today: WorkDay, as_of: int) -> State:
    planned = today.planned
    if planned.kind == "absence":
        return "away"
    if planned.kind != "work":
        return "off"
    part = planned.parts[planned.part_at(as_of)]
    if part.span is None or as_of <= part.span[0] + part.late_grace_minutes:
        return "expected"
    return "late" if as_of < part.span[1] else "absent"


def _after(today: WorkDay, as_of: int) -> State:
    """Of somebody who left: whether a later shift of the day has begun without them."""
    planned = today.planned
    number = planned.part_at(as_of)
    if planned.kind != "work" or planned.part_at(today.stamps[-1].at) >= number:
        return "out"
    span = planned.parts[number].span
    return "late" if span and span[0] + planned.parts[number].late_grace_minutes < as_of < span[1] else "out"
