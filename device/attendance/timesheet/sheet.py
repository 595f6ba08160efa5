"""A timesheet: one person over several days, with totals; and the rows that other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date
from typing import Any

from device.attendance.timesheet.buckets import Buckets, added
from device.attendance.timesheet.periods import Frozen, days_of
from device.attendance.timesheet.shifts import Schedule
from device.attendance.timesheet.sums import summed, wide
from device.attendance.timesheet.workday import KeptTimes, WorkDay
from device.attendance.timesheet.worksite import Site
from device.storage.effective import Entry

COLUMNS = (  # stable: other programs read them (docs/timesheets.md)
    "date", "person_id", "name", "code", "kind", "planned", "planned_start", "planned_end", "due_minutes", "first_in", "last_out", "worked_minutes",
    "break_minutes", "deducted_minutes", "credited_minutes", "late_minutes", "early_minutes", "overtime_minutes", "short_minutes", "balance_minutes",
    "missing", "corrected", "state", "core_minutes", "flags", "shifts", "absence",
    "night_minutes", "saturday_minutes", "sunday_minutes", "holiday_minutes", "overtime_day_minutes", "overtime_week_minutes", "overtime_period_minutes",
    "overtime_approved_minutes", "uncounted_minutes", "attendance",
)  # fmt: skip


@dataclass(frozen=True)
class Totals:
    """Sums over the days of a sheet, in minutes."""

    due: int
    worked: int
    breaks: int
    credited: int
    late: int
    early: int
    overtime: int
    balance: int
    absent_days: int
    days_with_faults: int
    days_with_flags: int
    buckets: Buckets
    approved: int
    half_days: int
    uncounted: int


@dataclass(frozen=True)
class Sheet:
    """Consecutive days of one person."""

    person_id: int
    days: tuple[WorkDay, ...]

    @property
    def totals(self) -> Totals:
        days = self.days
        return Totals(
            due=sum(day.planned.due_minutes for day in days),
            worked=sum(day.worked_minutes for day in days),
            breaks=sum(day.break_minutes + day.deducted_minutes for day in days),
            credited=sum(day.planned.credited_minutes for day in days),
            late=sum(day.late_minutes for day in days),
            early=sum(day.early_minutes for day in days),
            overtime=sum(day.overtime_minutes for day in days),
            balance=sum(day.balance_minutes for day in days),
            absent_days=sum(day.absent for day in days),
            days_with_faults=sum(bool(day.faults) for day in days),
            days_with_flags=sum(bool(day.flags) for day in days),
            buckets=added(day.buckets for day in days),
            approved=sum(day.approved_minutes for day in days),
            half_days=sum(day.attendance == "half day" for day in days),
            uncounted=sum(day.uncounted_minutes for day in days),
        )


def sheet(
    person_id: int, entries: Sequence[Entry], days: Sequence[date], schedule: Schedule, site: Site, as_of: int, periods: Sequence[Frozen] = ()
) -> Sheet:
    """The timesheet of one person over consecutive days; `entries` in order of time, as `device/attendance/reading.py` reads them for `wide` days."""
    locked = {day for period in periods for day in wide(days, site) if period.first <= day <= period.last}
    found = summed(days_of(entries, wide(days, site), schedule, site, as_of, periods), site, locked)
    return Sheet(person_id, found[-len(days) :])


def row(person_id: int, name: str, code: str | None, day: WorkDay) -> dict[str, Any]:
    """A day as a row with the names of COLUMNS; times are local, with their offset from UTC."""
    site = day.site
    first = day.stamps[0] if day.stamps and day.stamps[0].step == "in" else None
    out = day.stamps[-1].at if day.stamps and day.stamps[-1].step == "out" else day.check_out if day.state == "out" else None
    start, end = day.planned.span or (None, None)
    values = (
        day.day.isoformat(), person_id, name, code, day.planned.kind, day.planned.title, _clock(start, site), _clock(end, site), day.planned.due_minutes,
        _clock(first.at if first else None, site), _clock(out, site), day.worked_minutes, day.break_minutes, day.deducted_minutes,
        day.planned.credited_minutes, day.late_minutes, day.early_minutes, day.overtime_minutes, day.short_minutes, day.balance_minutes,
        "; ".join(day.faults) or ("absent" if day.absent else ""), day.corrected, day.state,
        day.core_minutes, "; ".join(day.flags), shifts(day), "; ".join(f"{one.kind} {one.when}".strip() for one in day.planned.off),
        *astuple(day.buckets), day.approved_minutes, day.uncounted_minutes, day.attendance,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def shifts(day: WorkDay) -> str:
    """How each shift of a day with several was kept: "morning 08:00-12:00; evening 16:00-20:00 10 min late"; "" for a day with one."""
    if len(day.kept) < 2:
        return ""
    return "; ".join(" ".join([part.title, _times(part.span, day.site), *_remarks(kept)]) for part, kept in zip(day.planned.parts, day.kept, strict=True))


def _times(span: tuple[int, int] | None, site: Site) -> str:
    return "-".join(f"{site.local(moment):%H:%M}" for moment in span or ())


def _remarks(kept: KeptTimes) -> list[str]:
    said = [f"{minutes} min {word}" for word, minutes in (("late", kept.late_minutes), ("early", kept.early_minutes)) if minutes]
    return ["missed"] if kept.missed else said


def _clock(moment: int | None, site: Site) -> str | None:
    return None if moment is None else site.local(moment).isoformat(timespec="minutes")


def hours(minutes: int) -> str:
    """-75 -> "-1:15", as a timesheet prints it."""
    return f"{'-' if minutes < 0 else ''}{abs(minutes) // 60}:{abs(minutes) % 60:02}"
