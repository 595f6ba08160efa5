"""One day of one person: hours, breaks, late, early, overtime, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from device.attendance.timesheet.shifts import Planned
from device.attendance.timesheet.stays import Fault, Span, Stamp, stays
from device.attendance.timesheet.stays import spans as spans_of
from device.attendance.timesheet.worksite import Site
from device.storage.effective import Entry

SLACK_MINUTES = 120  # punches so long before the start or after the end of a shift still belong to its day


@dataclass(frozen=True)
class WorkDay:
    """A day of a timesheet; durations in minutes, moments in minutes since the epoch."""

    day: date
    planned: Planned
    stamps: tuple[Stamp, ...]  # the punches that count
    spans: tuple[Span, ...]
    faults: tuple[Fault, ...]
    worked_minutes: int  # `deducted_minutes` already subtracted
    break_minutes: int  # taken
    deducted_minutes: int  # breaks that were due and not taken
    late_minutes: int
    early_minutes: int
    state: str  # "in", "break", "out", or "" before the first punch
    over: bool  # only a correction can still change it

    @property
    def balance_minutes(self) -> int:
        """Worked minus due minutes of a day that is over, otherwise 0."""
        return self.worked_minutes - self.planned.due_minutes if self.over else 0

    @property
    def overtime_minutes(self) -> int:
        return max(0, self.balance_minutes)

    @property
    def short_minutes(self) -> int:
        return max(0, -self.balance_minutes)

    @property
    def absent(self) -> bool:
        """A shift was planned and there is no punch."""
        return self.over and self.planned.kind == "work" and not self.stamps


def begins(day: date, planned: Callable[[date], Planned], site: Site) -> int:
    """The moment from which an arrival belongs to a day.

    The site's day start, moved away from shifts that lie across it: to two hours after the end of the previous day's
    shift or two hours before the start of the day's own; half-way where there is less time between them.
    """
    before, own = planned(day - timedelta(days=1)).span, planned(day).span
    moment = site.begins(day)
    earliest = before[1] + SLACK_MINUTES if before else moment
    latest = own[0] - SLACK_MINUTES if own else moment
    if before and own and earliest > latest:
        return (before[1] + own[0]) // 2
    return min(max(moment, earliest), latest) if own else max(moment, earliest)


def work_days(entries: Sequence[Entry], days: Sequence[date], planned: Callable[[date], Planned], site: Site, as_of: int) -> tuple[WorkDay, ...]:
    """The given days, in order.

    Args:
        entries: what counts, in order of time, from a day before the first day to a day after the last.
        as_of: the moment for which the days are computed; nothing is missing from a stay that may still end.
    """

    def day_of(moment: int) -> date:
        day = site.day_of(moment)
        if moment < begins(day, planned, site):
            return day - timedelta(days=1)
        return day + timedelta(days=1) if moment >= begins(day + timedelta(days=1), planned, site) else day

    found = stays(entries, site, day_of)
    newest = found[-1] if found else None
    running = newest if newest and newest.open and as_of - newest.stamps[0].at <= site.longest_stay_hours * 60 else None
    result = []
    for day in days:
        own = [stay for stay in found if stay.day == day]
        still_there = running is not None and running.day == day
        spans, faults = spans_of(own, site, still_there)
        stamps = tuple(stamp for stay in own for stamp in stay.stamps)
        over = not still_there and as_of >= begins(day + timedelta(days=1), planned, site)
        result.append(_assessed(planned(day), stamps, spans, faults, over, site))
    return tuple(result)


def _assessed(planned: Planned, stamps: tuple[Stamp, ...], spans: Sequence[Span], faults: Sequence[Fault], over: bool, site: Site) -> WorkDay:
    worked = sum(span.minutes for span in spans if span.kind == "work")
    taken = sum(span.minutes for span in spans if span.kind == "break")
    deducted = deduction(worked, taken, site.minimum_breaks)
    late, early = _late_and_early(planned, stamps, over)
    state = {"in": "in", "break_end": "in", "break_start": "break", "out": "out"}[stamps[-1].step] if stamps else ""
    return WorkDay(planned.day, planned, stamps, tuple(spans), tuple(faults), worked - deducted, taken, deducted, late, early, state, over)


def deduction(worked: int, taken: int, minimum_breaks: Sequence[tuple[int, int]]) -> int:
    """Minutes of break that were due and not taken; at most the minutes worked beyond those after which the break is due."""
    short = 0
    for after, due in minimum_breaks:
        short = max(short, min(due - taken, worked - after))
    return short


def _late_and_early(planned: Planned, stamps: Sequence[Stamp], over: bool) -> tuple[int, int]:
    """Beyond the grace period all minutes count; 0 where the first "in" or the last "out" is missing, and early only once the day is over."""
    if planned.kind != "work" or planned.span is None or not stamps:
        return 0, 0
    late = stamps[0].at - planned.span[0] if stamps[0].step == "in" else 0
    early = planned.span[1] - stamps[-1].at if over and stamps[-1].step == "out" else 0
    return late if late > planned.grace_minutes else 0, early if early > planned.grace_minutes else 0
