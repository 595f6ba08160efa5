"""What days show of a working-time law (`law.py`)."""

from __future__ import annotations

from collections.abc import Sequence

from device.attendance.timesheet.law import LAWS, WorkingTimeLaw
from device.attendance.timesheet.workday import WorkDay


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
