"""What days follow from the days before them: overtime of a week and of a pay period, flags of the law. Days of locked periods stay as they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, timedelta

from device.attendance.timesheet.law import LAWS, WorkingTimeLaw
from device.attendance.timesheet.law_flags import flags_of
from device.attendance.timesheet.workday import WorkDay
from device.attendance.timesheet.worksite import Site


def wide(days: Sequence[date], site: Site) -> list[date]:
    """Consecutive days with those before them that they depend on."""
    first = site.accounting.lead(days[0])
    return [*(first + timedelta(days=offset) for offset in range((days[0] - first).days)), *days]


def summed(days: Sequence[WorkDay], site: Site, locked: Collection[date] = ()) -> tuple[WorkDay, ...]:
    """Consecutive days, from where sums begin, with their overtime."""
    rules = site.accounting
    days = _flagged(days, LAWS[rules.law], locked) if rules.law != "none" else tuple(days)
    if rules.overtime_day is None and rules.overtime_week is None and rules.overtime_period is None:
        return days
    found: list[WorkDay] = []
    week = period = 0  # minutes that were no overtime yet
    for day in days:
        week = 0 if rules.first_of_week(day.day) == day.day else week
        period = 0 if rules.first_of_period(day.day) == day.day else period
        found.append(day if day.day in locked else _with_overtime(day, site, week, period))
        daily = found[-1].worked_minutes - found[-1].buckets.overtime_day if found[-1].over else 0
        week, period = week + daily, period + daily - found[-1].buckets.overtime_week
    return tuple(found)


def _flagged(days: Sequence[WorkDay], law: WorkingTimeLaw, locked: Collection[date]) -> tuple[WorkDay, ...]:
    """The days with the flags of a law."""
    pairs = zip([None, *days], days, strict=False)
    return tuple(day if day.day in locked else replace(day, flags=(*day.flags, *flags_of(day, before, law))) for before, day in pairs)


def _with_overtime(day: WorkDay, site: Site, week: int, period: int) -> WorkDay:
    """A day with its overtime, after so many minutes of its week and its pay period."""
    rules, left = site.accounting, day.worked_minutes if day.over else 0
    daily = _beyond(rules.overtime_day, 0, left)
    weekly = _beyond(rules.overtime_week, week, left := left - daily)
    by_period = _beyond(rules.overtime_period, period, left - weekly)
    return replace(day, buckets=replace(day.buckets, overtime_day=daily, overtime_week=weekly, overtime_period=by_period))


def _beyond(threshold: int | None, before: int, minutes: int) -> int:
    """How many of the minutes that follow `before` lie beyond a threshold."""
    return 0 if threshold is None else max(0, before + minutes - max(threshold, before))
