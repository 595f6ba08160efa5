"""Flags of working-time law: a rule set per country. A flag refuses nothing and changes no minute; whether a rule was broken, people decide.

Sources: Germany, ArbZG (BGBl. I 1994, 1170): section 3 (10 h a day, 48 h a week on average over 24 weeks), 4 (30 minutes of break after 6 h, in parts
of 15), 5 (11 h of rest), 9 (Sundays and holidays). European Union, directive 2003/88/EC: articles 3 (11 h of rest), 4 (a break after 6 h),
6 and 16 (48 h a week on average over four months).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device.attendance.timesheet.workday import WorkDay


@dataclass(frozen=True)
class WorkingTimeLaw:
    """The limits of one country; None: it has no such limit."""

    name: str
    rest_hours: int | None = None  # between the work of two days
    day_hours: int | None = None  # of work on one day
    unbroken_hours: int | None = None  # of work without a break of `break_part` minutes
    break_part: int = 15
    week_hours: int | None = None  # of work in a week, on average over `average_weeks`
    average_weeks: int = 1
    sundays: bool = False  # work on Sundays and holidays is told


LAWS = {
    "de": WorkingTimeLaw("Germany (ArbZG)", 11, 10, 6, 15, 48, 24, sundays=True),
    "eu": WorkingTimeLaw("European Union (2003/88/EC)", 11, None, 6, 15, 48, 17),
}
NONE = WorkingTimeLaw("none")


def flags_of(day: WorkDay, before: WorkDay | None, law: WorkingTimeLaw) -> tuple[str, ...]:
    """What a day shows of a law; `before` is the day before it."""
    found = []
    if law.rest_hours is not None and before is not None and _rest(before, day) < law.rest_hours * 60:
        found.append(f"rest below {law.rest_hours} h")
    if law.day_hours is not None and day.worked_minutes > law.day_hours * 60:
        found.append(f"over {law.day_hours} h")
    if law.unbroken_hours is not None and _unbroken(day, law.break_part) > law.unbroken_hours * 60:
        found.append(f"{law.unbroken_hours} h without a break")
    if law.sundays and day.spans and (day.day.weekday() == 6 or day.planned.kind == "holiday"):
        found.append("Sunday or holiday")
    return tuple(found)


def of_a_law(flag: str) -> bool:
    """Whether a flag is one of these."""
    return any(flag in _all(law) for law in LAWS.values())


def _all(law: WorkingTimeLaw) -> tuple[str, ...]:
    return f"rest below {law.rest_hours} h", f"over {law.day_hours} h", f"{law.unbroken_hours} h without a break", "Sunday or holiday"


def _rest(before: WorkDay, day: WorkDay) -> float:
    """Minutes from the end of one day's work to the begin of the next one's; unlimited where either is not known."""
    if not before.stamps or not day.stamps or before.stamps[-1].step != "out" or day.stamps[0].step != "in":
        return float("inf")
    return day.stamps[0].at - before.stamps[-1].at


def _unbroken(day: WorkDay, part: int) -> int:
    """The longest work of a day between two breaks that count. A planned break that is deducted without being punched is taken for one."""
    if any(planned.pause is not None and planned.pause.automatic for planned in day.planned.parts):
        return 0
    longest = running = 0
    for span in day.spans:
        running = running + span.minutes if span.kind == "work" else 0 if span.minutes >= part else running
        longest = max(longest, running)
    return longest


def weekly_average(days: Sequence[WorkDay], law: WorkingTimeLaw) -> int:
    """Minutes worked per week on average over the days of `average_weeks`, absences and holidays included as days without work."""
    return sum(day.worked_minutes for day in days) // law.average_weeks
