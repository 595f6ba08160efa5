"""Open matters about people: days on which a punch is missing, and requests that nobody has decided.

Every hour yesterday and today are computed for everybody, with the days that passed while nobody looked. A day with a fault stays a matter until a correction
settles it, its period is locked, or it lies more than OLDEST_DAYS back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta

from sqlite_utils import Database

from device.attendance.planning import read_site
from device.attendance.sheets import company_sheets, person_sheet
from device.attendance.timesheet.worksite import minute
from device.storage.matters import FoundMatter
from device.storage.store import Store

KINDS = ("missed", "request")
OLDEST_DAYS = 31
EVERY_SECONDS = 3600.0
LOOKED = "missed_until"  # the row of table settings with the last day before which everything was looked at

Day = tuple[int, date]  # a person's
HELD = """SELECT 1 FROM people WHERE id = :person AND erased_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM period_locks WHERE lifted_at IS NULL AND :day BETWEEN first_day AND last_day)"""


class Missed:
    """Looks for them; kept from look to look. `clock`: s since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._found: dict[Day, list[str]] = {}
        self._whole_at = float("-inf")  # when everybody was computed last
        self._mark: tuple[int, ...] = ()

    def look(self, store: Store) -> list[FoundMatter]:
        """What is open now. Days that were found earlier are known from the matters that stand in the store."""
        now = self._clock()
        with store.reading() as db:
            requests, mark, known = list(_requests(db)), _mark(db), _noted(db)
            today = read_site(db).day_of(minute(now))
            until = _looked(db)
        oldest = today - timedelta(days=OLDEST_DAYS)
        whole = not 0 <= now - self._whole_at < EVERY_SECONDS
        if whole or mark != self._mark:
            first = max(oldest, min(until or today, today - timedelta(days=1)))
            fresh = self._everybody(store, first, today) if whole else {}
            again = {*known, *self._found} - fresh.keys()
            self._found = {day: faults for day in again if day[1] >= oldest and (faults := self._one(store, day))} | fresh
            self._whole_at, self._mark = now if whole else self._whole_at, mark
        if whole and until != (yesterday := today - timedelta(days=1)):
            with store.transaction() as db:
                db.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", [LOOKED, json.dumps(yesterday.isoformat())])
        return [*(_missing(day, faults) for day, faults in self._found.items()), *requests]

    def _everybody(self, store: Store, first: date, last: date) -> dict[Day, list[str]]:
        days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
        _, sheets = company_sheets(store, days, minute(self._clock()))
        found = {(person, day.day): [str(fault) for fault in day.faults] for person, sheet in sheets.items() for day in sheet.days if day.faults}
        return {day: faults for day, faults in found.items() if _held(store, day)}

    def _one(self, store: Store, day: Day) -> list[str]:
        if not _held(store, day):
            return []
        _, sheet = person_sheet(store, day[0], [day[1]], minute(self._clock()))
        return [str(fault) for fault in sheet.days[0].faults]


def _held(store: Store, day: Day) -> bool:
    """Whether somebody could settle it: the person is there, the period is not locked."""
    with store.reading() as db:
        return db.execute(HELD, {"person": day[0], "day": day[1].isoformat()}).fetchone() is not None


def _missing(day: Day, faults: list[str]) -> FoundMatter:
    return FoundMatter("missed", f"missed:{day[0]}:{day[1]}", day[0], {"day": day[1].isoformat(), "faults": faults})


def _requests(db: Database) -> Iterator[FoundMatter]:
    sql = "SELECT id, person_id FROM correction_requests WHERE id NOT IN (SELECT request_id FROM correction_decisions) ORDER BY id"
    for number, person in db.execute(sql).fetchall():
        yield FoundMatter("request", f"request:{number}", person, {"number": number})


def _noted(db: Database) -> set[Day]:
    rows = db.execute("SELECT person_id, json_extract(details, '$.day') FROM matters WHERE kind = 'missed' AND over_at IS NULL").fetchall()
    return {(person, date.fromisoformat(day)) for person, day in rows}


def _mark(db: Database) -> tuple[int, ...]:
    """Changes with every correction, every punch that comes from another door, every lock and every erasure."""
    tables = ("corrections", "door_corrections", "door_punches")
    newest = tuple(int(db.execute(f"SELECT coalesce(max(rowid), 0) FROM {table}").fetchone()[0]) for table in tables)
    locks = db.execute("SELECT count(*), coalesce(sum(lifted_at IS NOT NULL), 0) FROM period_locks").fetchone()
    erased = db.execute("SELECT count(*) FROM people WHERE erased_at IS NOT NULL").fetchone()[0]
    return *newest, int(locks[0]), int(locks[1]), int(erased)


def _looked(db: Database) -> date | None:
    row = db.execute("SELECT value FROM settings WHERE key = ?", [LOOKED]).fetchone()
    return date.fromisoformat(json.loads(row[0])) if row else None
