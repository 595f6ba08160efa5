"""Which punches a timesheet needs: from the last one before its days at which directions are settled, whatever days are asked for.

Mostly two days before the first are enough. Where punches without a direction follow each other with neither a rest nor a planned shift
between them, more is read until one is found that begins a new stay in any case (`timesheet/directions.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from sqlite_utils import Database

from device.attendance.timesheet.directions import begins_anew
from device.attendance.timesheet.periods import Frozen, gap_of, within
from device.attendance.timesheet.shifts import Schedule
from device.attendance.timesheet.stays import at
from device.attendance.timesheet.windows import Windows
from device.attendance.timesheet.worksite import Site
from device.storage import corrections
from device.storage.effective import Entry

MARGIN_DAYS = 2  # read before and after the days wanted; no stay is longer
FURTHER = 8  # times as many days are read at each further attempt


def entries_of(
    db: Database, days: Sequence[date], schedules: Mapping[int, Schedule], site: Site, periods: Mapping[int, Sequence[Frozen]], person_id: int | None = None
) -> dict[int, list[Entry]]:
    """What one person or everybody has punched, by person and time, as far as consecutive days depend on it."""
    since, until = reach(days, site, MARGIN_DAYS)
    found = corrections.entries(db, since, until, person_id, with_struck=True)
    for person, entries in found.items():
        gap, margin = gap_of(days[0], periods[person]), MARGIN_DAYS
        windows = Windows(schedules[person], site, gap)
        while not settled(within(entries, gap), windows, days[0]) and _earlier(db, person, reach(days, site, margin)[0]):
            margin *= FURTHER
            entries = corrections.entries(db, reach(days, site, margin)[0], until, person, with_struck=True)[person]
        found[person] = entries
    return found


def settled(entries: Sequence[Entry], windows: Windows, day: date) -> bool:
    """Whether directions from a day on are the same with or without what lies before the entries; these begin at least two days before it."""
    since = windows.gap.from_ms
    if since is not None and since > windows.site.begins(day - timedelta(days=MARGIN_DAYS)) * 60_000:
        return True  # a locked period ends there
    begin, before = windows.begins(day), None
    for punch in (at(entry) for entry in entries if not entry.struck):
        if windows.planned(windows.day_of(punch.moment)).pairing == "first_last":
            return True
        if before is not None and begins_anew(before, punch, windows):
            return True
        if punch.moment >= begin:
            return before is None  # nothing in two days
        before = punch
    return True


def _earlier(db: Database, person: int, before: float) -> bool:
    """Whether a person has punches from before a moment (s since the epoch)."""
    sql = """SELECT EXISTS (SELECT 1 FROM punches WHERE person_id = :person AND occurred_at < :before)
        OR EXISTS (SELECT 1 FROM corrections WHERE person_id = :person AND occurred_at < :before)
        OR EXISTS (SELECT 1 FROM door_punches WHERE person_id = :person AND occurred_at < :before)"""
    return bool(db.execute(sql, {"person": person, "before": before * 1000}).fetchone()[0])


def reach(days: Sequence[date], site: Site, margin: int) -> tuple[float, float]:
    """From when until when (s since the epoch) punches are read for these days."""
    first = max(days[0], date.min + timedelta(days=margin + 2)) - timedelta(days=margin)
    return site.begins(first) * 60.0, site.begins(days[-1] + timedelta(days=MARGIN_DAYS + 1)) * 60.0
