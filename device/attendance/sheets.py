"""Timesheets from the store, for one person or for everybody. This reads what the pure rules in `device/attendance/timesheet/` need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from sqlite_utils import Database

from device.attendance.locked import periods_of, write
from device.attendance.planning import read_schedules, read_site, site_from_json
from device.attendance.reading import entries_of
from device.attendance.timesheet.periods import freeze
from device.attendance.timesheet.sheet import Sheet, sheet
from device.attendance.timesheet.sums import wide
from device.attendance.timesheet.workday import WorkDay
from device.attendance.timesheet.worksite import Site, minute
from device.storage.corrections import CorrectionDraft
from device.storage.effective import Entry, supposing
from device.storage.store import Store, StoreError


def person_sheet(store: Store, person_id: int, days: Sequence[date], as_of: int) -> tuple[Site, Sheet]:
    """One person's timesheet for consecutive days, and the rules it was computed with."""
    with store.reading() as db:
        site = site_on(db, days[0], days[-1])
        return site, sheet_within(db, person_id, days, site, as_of)


def company_sheets(store: Store, days: Sequence[date], as_of: int, members: Collection[int] | None = None) -> tuple[Site, dict[int, Sheet]]:
    """The same for everybody who is employed on one of the days or has a punch, by person id; of `members` alone, where they are given."""
    with store.reading() as db:
        site = site_on(db, days[0], days[-1])
        schedules, periods = read_schedules(db), periods_of(db, wide(days, site))
        entries = entries_of(db, wide(days, site), schedules, site, periods)
        people = [person for person in listed(db, days, site) if members is None or person in members]
        approved = approvals(db, days)
    found = {person: sheet(person, entries.get(person, []), days, schedules[person], site, as_of, periods[person]) for person in people}
    return site, {person: with_approved(one, approved[person]) for person, one in found.items()}


EMPLOYED = """(CASE WHEN EXISTS (SELECT 1 FROM employments e WHERE e.person_id = p.id) THEN EXISTS (SELECT 1 FROM employments e
    WHERE e.person_id = p.id AND (e.last_day IS NOT NULL OR p.active) AND coalesce(e.first_day, '') <= :last AND coalesce(e.last_day, '9999') >= :first)
    ELSE p.active END)"""  # whether a person `p` is employed on one of the days from :first to :last
PUNCHED = " OR ".join(
    f"EXISTS (SELECT 1 FROM {table} t WHERE t.person_id = p.id AND t.occurred_at >= :since AND t.occurred_at < :until)"
    for table in ("punches", "corrections", "door_punches")
)
LISTED = f"({EMPLOYED} OR {PUNCHED})"  # whom the pages and exports of these days name


def listing(days: Sequence[date], site: Site) -> dict[str, Any]:
    """What LISTED asks for."""
    since, until = site.begins(days[0]) * 60_000, site.begins(days[-1] + timedelta(days=1)) * 60_000
    return {"first": days[0].isoformat(), "last": days[-1].isoformat(), "since": since, "until": until}


def listed(db: Database, days: Sequence[date], site: Site) -> list[int]:
    return [row[0] for row in db.execute(f"SELECT id FROM people p WHERE {LISTED} ORDER BY id", listing(days, site))]


def with_and_without(store: Store, draft: CorrectionDraft, moments: Sequence[float], as_of: int) -> list[tuple[WorkDay, WorkDay]]:
    """The days that a correction would change: each as it is and as it would be.

    Args:
        moments: the times that the correction concerns, s since the epoch.
    """
    with store.reading() as db:
        site = read_site(db)
        near = sorted({site.day_of(minute(at)) + timedelta(days=offset) for at in moments for offset in (-1, 0, 1)})
        schedules, periods = read_schedules(db, draft.person_id), periods_of(db, wide(near, site), draft.person_id)
        entries = entries_of(db, wide(near, site), schedules, site, periods, draft.person_id).get(draft.person_id, [])
        schedule, frozen = schedules[draft.person_id], periods[draft.person_id]
    about = Entry(0.0, "auto", draft.punch_id, 0, draft.amends, draft.door)
    replacement = replace(about, occurred_at=draft.replacement.occurred_at, direction=draft.replacement.direction) if draft.replacement else None
    corrected = supposing(entries, None if draft.punch_id is None and draft.amends is None else about, replacement)
    both = [sheet(draft.person_id, counting, near, schedule, site, as_of, frozen).days for counting in (entries, corrected)]
    return [(before, after) for before, after in zip(*both, strict=True) if _hours(before) != _hours(after)]


def _hours(day: WorkDay) -> tuple[object, ...]:
    return [(stamp.at, stamp.step) for stamp in day.stamps], day.spans, day.faults, day.worked_minutes, day.late_minutes, day.early_minutes


def locked_days_changed(db: Database, person_id: int, before: Sequence[Sheet], as_of: int) -> Iterator[date]:
    """Days whose timesheet has changed; called inside the transaction that may have changed them."""
    for old in before:
        days = [day.day for day in old.days]
        new = sheet_within(db, person_id, days, site_on(db, days[0], days[-1]), as_of)
        yield from (was.day for was, is_now in zip(old.days, new.days, strict=True) if was != is_now)


def site_on(db: Database, first: date, last: date) -> Site:
    """The rules for these days: those stored with the lock if all the days lie in one locked period, otherwise those in force now."""
    sql = "SELECT site FROM period_locks WHERE lifted_at IS NULL AND first_day <= ? AND last_day >= ?"
    row = db.execute(sql, [first.isoformat(), last.isoformat()]).fetchone()
    return site_from_json(row[0]) if row else read_site(db)


def sheet_within(db: Database, person_id: int, days: Sequence[date], site: Site, as_of: int) -> Sheet:
    schedules, periods = read_schedules(db, person_id), periods_of(db, wide(days, site), person_id)
    entries = entries_of(db, wide(days, site), schedules, site, periods, person_id).get(person_id, [])
    found = sheet(person_id, entries, days, schedules[person_id], site, as_of, periods[person_id])
    return with_approved(found, approvals(db, days, person_id)[person_id])


def approvals(db: Database, days: Sequence[date], person_id: int | None = None) -> dict[int, dict[date, int]]:
    """person id -> day -> so many minutes of its overtime are approved."""
    sql = "SELECT person_id, day, minutes FROM overtime_approvals WHERE day BETWEEN ? AND ? AND (? IS NULL OR person_id = ?) ORDER BY id"
    found = defaultdict[int, dict[date, int]](dict)
    for person, day, minutes in db.execute(sql, [days[0].isoformat(), days[-1].isoformat(), person_id, person_id]):
        found[person][date.fromisoformat(day)] = minutes
    return found


def with_approved(found: Sheet, approved: Mapping[date, int]) -> Sheet:
    """A sheet with what is approved of its overtime, where the site asks for that."""
    if not approved:
        return found
    days = [
        replace(day, approved_minutes=min(day.overtime_minutes, approved.get(day.day, 0))) if day.site.accounting.approves else day for day in found.days
    ]
    return Sheet(found.person_id, tuple(days))


def freeze_period(db: Database, lock_id: int, first: date, last: date, as_of: int, accounts: Mapping[int, tuple[int | None, int]]) -> None:
    """Keep everybody's sheets of a period that is being locked, and what is on their accounts when it begins and ends.

    Raises:
        StoreError: a day is not over for somebody, who may still be at work.
    """
    site, days = read_site(db), [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    schedules, periods = read_schedules(db), periods_of(db, wide(days, site))
    entries = entries_of(db, wide(days, site), schedules, site, periods)
    parts = {}
    for person in (row[0] for row in db.execute("SELECT id FROM people ORDER BY id").fetchall()):
        parts[person] = freeze(entries.get(person, []), first, last, schedules[person], site, as_of, periods[person])
        if not all(day.over for day in parts[person].days.values()):
            raise StoreError(f"{last} is not over yet for person {person}, who may still be at work; lock the period later", code="store.period_open")
    write(db, lock_id, parts, accounts)
