"""One day of one person: hours, breaks, late, early, overtime, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Literal

from device.attendance.timesheet.breaks import breaks_of
from device.attendance.timesheet.buckets import NONE, Buckets, premiums
from device.attendance.timesheet.check_out import check_out_of, checked_out
from device.attendance.timesheet.directions import DOOR_MINUTES
from device.attendance.timesheet.parts import Part
from device.attendance.timesheet.shifts import Planned
from device.attendance.timesheet.stays import Fault, Span, Stamp, Stay, at, stays
from device.attendance.timesheet.stays import spans as spans_of
from device.attendance.timesheet.windows import SLACK_MINUTES, Windows
from device.attendance.timesheet.worksite import Site
from device.storage.effective import Entry

USUAL_BREAK = 60  # minutes, where neither the shift nor the site states one
Flag = Literal["implausible", "core time", "not employed", "automatic check-out"]
Attendance = Literal["", "present", "half day", "absent", "incomplete"]


@dataclass(frozen=True)
class KeptTimes:
    """How a person kept the times of one part of a planned day."""

    late_minutes: int
    early_minutes: int
    missed: bool  # the day is over and nobody came for it


@dataclass(frozen=True)
class WorkDay:
    """A day of a timesheet; durations in minutes, moments in minutes since the epoch."""

    day: date
    planned: Planned
    stamps: tuple[Stamp, ...]  # the punches that count
    spans: tuple[Span, ...]
    faults: tuple[Fault, ...]
    worked_minutes: int  # `deducted_minutes` already subtracted, paid breaks included
    break_minutes: int  # taken, but not paid
    deducted_minutes: int  # breaks that were due and not taken
    late_minutes: int
    early_minutes: int
    state: str  # "in", "break", "out", or "" before the first punch
    over: bool  # only a correction can still change it
    site: Site  # the rules it was computed with
    core_minutes: int = 0  # absent within the core time, beyond late, early and the break
    flags: tuple[str, ...] = ()  # to be looked at; they change no minute
    corrected: bool = False  # a correction added, moved or removed one of its punches
    kept: tuple[KeptTimes, ...] = ()  # one for each part of a working day
    buckets: Buckets = NONE  # what of the work is told apart
    approved_minutes: int = 0  # of its overtime, where the site asks for approval
    uncounted_minutes: int = 0  # of work, before the start and after the end of shifts, that their margins do not count
    check_out: int | None = None  # when the last stay ended, or will end, without a departure; None: it has one, or no time is stated

    @property
    def balance_minutes(self) -> int:
        """Worked minus due minutes of a day that is over and has a plan, otherwise 0; so is a little overtime where the site counts none."""
        balance = self.worked_minutes - self.planned.due_minutes if self.over and self.planned.plan else 0
        return 0 if 0 < balance < self.site.accounting.overtime_least else balance

    @property
    def counting_minutes(self) -> int:
        """What of the balance counts towards the person's account."""
        return min(self.balance_minutes, self.approved_minutes) if self.site.accounting.approves else self.balance_minutes

    @property
    def overtime_minutes(self) -> int:
        return max(0, self.balance_minutes)

    @property
    def short_minutes(self) -> int:
        return max(0, -self.balance_minutes)

    @property
    def attendance(self) -> Attendance:
        """Of a day that is over and on which shifts were planned; "incomplete" where something is missing, so that nobody knows the hours."""
        if not self.over or self.planned.kind != "work":
            return ""
        if not self.stamps or (not self.faults and self.worked_minutes < sum(part.absent_minutes for part in self.planned.parts)):
            return "absent"
        if self.faults:
            return "incomplete"
        return "half day" if self.worked_minutes < sum(part.half_day_minutes for part in self.planned.parts) else "present"

    @property
    def absent(self) -> bool:
        """Shifts were planned, and there is no punch or less work than they ask for."""
        return self.attendance == "absent"


def work_days(entries: Sequence[Entry], days: Sequence[date], windows: Windows, as_of: int) -> tuple[WorkDay, ...]:
    """The given days, in order.

    Args:
        entries: in order of time, from where directions are settled (`device/attendance/reading.py`) to two days after the last day.
        as_of: the moment for which the days are computed; nothing is missing from a stay that may still end.
    """
    found = checked_out(stays([entry for entry in entries if not entry.struck], windows), windows, as_of)
    corrected = {windows.day_of(at(entry).moment) for entry in entries if entry.correction_id is not None}
    newest = found[-1] if found else None
    running = newest if newest and newest.open and as_of - newest.stamps[0].at <= windows.longest_stay(newest.stamps[0].at) else None
    result = []
    for day in days:
        own = [stay for stay in found if stay.day == day]
        still_there = running is not None and running.day == day
        over = not still_there and as_of >= windows.ends(day)
        found_day = _assessed(windows.planned(day), own, still_there, over, day in corrected, windows.site)
        if still_there:
            found_day = replace(found_day, check_out=check_out_of(own[-1], windows))
        special = premiums(found_day.planned, found_day.spans, found_day.worked_minutes, windows.site, partial(_is_holiday, windows))
        result.append(replace(found_day, buckets=special) if special != NONE else found_day)
    return tuple(result)


def _is_holiday(windows: Windows, day: date) -> bool:
    return windows.planned(day).kind == "holiday"


def _assessed(planned: Planned, own: Sequence[Stay], still_there: bool, over: bool, corrected: bool, site: Site) -> WorkDay:
    spans, faults = spans_of(own, planned, site, still_there)
    stamps = tuple(stamp for stay in own for stamp in stay.stamps)
    breaks = breaks_of(spans, planned, site)
    counted = sum(span.minutes for span in spans if span.kind == "work")
    margins = any(part.before_minutes or part.after_minutes for part in planned.parts)
    plain = spans_of(own, planned, site, still_there, margins=False)[0] if margins else spans
    uncounted = sum(span.minutes for span in plain if span.kind == "work") - counted
    worked = site.rounded_day(counted - breaks.deducted + breaks.paid)
    kept = tuple(_kept(part, _stays_of(number, own, planned), over) for number, part in enumerate(planned.parts)) if planned.kind == "work" else ()
    late, early = sum(part.late_minutes for part in kept), sum(part.early_minutes for part in kept)
    core = _core(planned, spans, site) if over else 0
    state = {"in": "in", "break_end": "in", "break_start": "break", "out": "out"}[own[-1].steps[-1][1]] if stamps else ""
    flags = _flags(planned, own, spans, core, site)
    corrected = corrected or any(stamp.entry.correction_id is not None for stamp in stamps)
    return WorkDay(
        planned.day, planned, stamps, tuple(spans), tuple(faults), worked, breaks.taken - breaks.paid, breaks.deducted, late, early, state, over, site, core,
        flags, corrected, kept, uncounted_minutes=uncounted, check_out=own[-1].check_out if own else None,
    )  # fmt: skip


def _stays_of(number: int, own: Sequence[Stay], planned: Planned) -> list[Stay]:
    """The stays that belong to a part: those within its times, and those nearer to it than to any other."""
    span = planned.parts[number].span
    if len(planned.parts) == 1 or span is None:
        return list(own)
    found = []
    for stay in own:
        begin, end = stay.stamps[0].at, stay.stamps[-1].at
        if (begin < span[1] and end > span[0]) or planned.part_at(begin) == planned.part_at(end) == number:
            found.append(stay)
    return found


def _kept(part: Part, own: Sequence[Stay], over: bool) -> KeptTimes:
    """Beyond the grace period all minutes count; 0 where the first "in" or the last "out" is missing, and early only once the day is over."""
    if part.span is None or not own:
        return KeptTimes(0, 0, over and not own)
    first, last = own[0].stamps[0], own[-1].stamps[-1]
    late = first.at - part.span[0] if first.step == "in" else 0
    early = part.span[1] - last.at if over and last.step == "out" else 0
    return KeptTimes(late if late > part.late_grace_minutes else 0, early if early > part.early_grace_minutes else 0, False)


def _core(planned: Planned, spans: Sequence[Span], site: Site) -> int:
    """Minutes of the core time that a person who had come was away, beyond the break of the shift or, without one, the site's longest."""
    cores = [part for part in planned.parts if part.flexible and part.span is not None]
    if not cores or planned.kind != "work":
        return 0
    times = [part.span for part in cores if part.span is not None]
    away = sum(max(0, min(end, span.end) - max(start, span.start)) for start, end in times for span in spans if span.kind == "break")
    allowed = sum(part.pause.minutes for part in cores if part.pause) or max((due for _, due in site.minimum_breaks), default=USUAL_BREAK)
    return max(0, away - allowed)


def _flags(planned: Planned, own: Sequence[Stay], spans: Sequence[Span], core: int, site: Site) -> tuple[Flag, ...]:
    found: list[Flag] = []
    longest = max(site.rest_hours * 60, planned.longest + 2 * SLACK_MINUTES if planned.longest else 0)
    short = [stay for stay in own if len(stay.stamps) > 1 and not stay.open and stay.stamps[-1].at - stay.stamps[0].at < DOOR_MINUTES]
    if any(span.minutes > longest for span in spans if span.kind != "gap") or (short and len(own) > 1):
        found.append("implausible")
    if core:
        found.append("core time")
    if any(stay.check_out is not None for stay in own):
        found.append("automatic check-out")
    if own and not planned.employed:
        found.append("not employed")
    return tuple(found)
