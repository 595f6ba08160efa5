"""Today: where everybody is, kept up to date by reading only what is new.

One `Board` is shared by all pages of a terminal: however many browsers ask, each punch or correction is read once, and
only that person's days are computed again. The same holds for a person who is added or changed. After a change that may
concern everybody, such as a holiday or the rules of the site, everything is read again.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from sqlite_utils import Database

from device.attendance.locked import periods_of
from device.attendance.planning import Schedules, read_schedules, read_site
from device.attendance.reading import entries_of
from device.attendance.sheets import EMPLOYED
from device.attendance.timesheet.periods import days_of
from device.attendance.timesheet.presence import Presence, State, presence
from device.attendance.timesheet.workday import WorkDay
from device.attendance.timesheet.worksite import Site, minute
from device.storage.audit import CHANGES_NOBODY, CHANGES_ONE_PERSON, sql_list
from device.storage.store import Store

EXPECTED = f"p.active AND {EMPLOYED}"


@dataclass(frozen=True)
class Line:
    """One person on the page."""

    person_id: int
    name: str
    code: str | None
    presence: Presence
    days: tuple[WorkDay, WorkDay]  # yesterday and today


@dataclass(frozen=True)
class Picture:
    """Everybody's presence at one moment."""

    site: Site
    day: date
    moment: int
    lines: tuple[Line, ...]  # by name
    last_punch_id: int
    serial: int  # higher in each new picture

    @property
    def counts(self) -> Counter[State]:
        return Counter(line.presence.state for line in self.lines)


@dataclass(frozen=True)
class _Mark:
    """How far the database was read: rows with a higher id are new."""

    punch: int
    correction: int
    door: int  # a punch at another door of the fleet
    door_correction: int  # a correction made there
    audit: int  # each change of plans, people or rules has a row there
    refusal: int  # refused attempts are counted on the page
    day: date


class Board:
    """The presence of everybody, kept up to date. `clock` gives s since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._mark: _Mark | None = None
        self._days: dict[int, tuple[WorkDay, WorkDay]] = {}
        self._names: dict[int, tuple[str, str | None]] = {}
        self._schedules = Schedules({})
        self._site = Site()
        self._picture: Picture | None = None
        self.whole_reads = 0  # how often everybody was read, which is slow with thousands of people

    def picture(self, store: Store) -> Picture:
        """Everybody's presence as of now."""
        assert not store.departments, "one picture serves all pages: it is read with a store that shows everybody"
        moment = minute(self._clock())
        with self._lock:
            with store.reading() as db:
                changed = self._refresh(db, moment)
            if self._picture is None or changed or self._picture.moment != moment:
                self._picture = self._new_picture(moment)
            return self._picture

    def _refresh(self, db: Database, moment: int) -> bool:
        """Read what is new; returns whether anything was."""
        old = self._mark
        changed = _changed_people(db, old.audit) if old and self._site.day_of(moment) == old.day else None
        if old is None or changed is None:
            self._read_all(db, moment)
        else:
            for person in changed:
                self._read_person(db, person, old.day)
            changed |= _recorded_people(db, old)
            for person in changed & self._names.keys():
                self._read_days(db, person, old.day, moment)
        self._mark = _mark(db, self._site.day_of(moment))
        return old is None or changed is None or bool(changed) or self._mark.refusal != old.refusal

    def _read_all(self, db: Database, moment: int) -> None:
        self.whole_reads += 1
        self._site, self._schedules = read_site(db), read_schedules(db)
        day = self._site.day_of(moment)
        expected = db.execute(f"SELECT id, name, code FROM people p WHERE {EXPECTED}", {"first": str(day), "last": str(day)})
        self._names = {number: (name, code) for number, name, code in expected}
        days = self._two(day)
        periods = periods_of(db, days)
        entries = entries_of(db, days, self._schedules, self._site, periods)
        self._days = {}
        for person in self._names:
            yesterday, today = days_of(entries.get(person, []), days, self._schedules[person], self._site, moment, periods[person])
            self._days[person] = (yesterday, today)

    def _read_person(self, db: Database, person: int, day: date) -> None:
        """Read a person's name, code and schedule, but not their days."""
        values = {"person": person, "first": str(day), "last": str(day)}
        row = db.execute(f"SELECT name, code FROM people p WHERE id = :person AND {EXPECTED}", values).fetchone()
        if row is None:
            self._names.pop(person, None)
        else:
            self._names[person] = (row[0], row[1])
            self._schedules[person] = read_schedules(db, person)[person]

    def _read_days(self, db: Database, person: int, day: date, moment: int) -> None:
        days = self._two(day)
        periods = periods_of(db, days, person)
        entries = entries_of(db, days, self._schedules, self._site, periods, person).get(person, [])
        yesterday, today = days_of(entries, days, self._schedules[person], self._site, moment, periods[person])
        self._days[person] = (yesterday, today)

    def _two(self, day: date) -> list[date]:
        return [day - timedelta(days=1), day]

    def _new_picture(self, moment: int) -> Picture:
        lines = [Line(person, *self._names[person], presence(*self._days[person], self._site, moment), self._days[person]) for person in self._names]
        assert self._mark is not None
        serial = self._picture.serial + 1 if self._picture else 1
        lines.sort(key=lambda line: (line.name.casefold(), line.person_id))
        return Picture(self._site, self._mark.day, moment, tuple(lines), self._mark.punch, serial)


def _mark(db: Database, day: date) -> _Mark:
    ids = (("punches", "id"), ("corrections", "id"), ("door_punches", "rowid"), ("door_corrections", "rowid"), ("audit", "id"), ("refusals", "id"))
    punch, correction, door, there, audit, refusal = (db.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").fetchone()[0] for table, column in ids)
    return _Mark(punch, correction, door, there, audit, refusal, day)


def _changed_people(db: Database, since: int) -> set[int] | None:
    """Ids of people who were added or changed, or whose plan changed, after an audit row; None: it may concern everybody."""
    sql = f"""SELECT DISTINCT action IN {sql_list(CHANGES_ONE_PERSON)}, json_extract(details, '$.person_id') FROM audit
        WHERE id > ? AND action NOT IN {sql_list(CHANGES_NOBODY)}"""
    rows = db.execute(sql, [since]).fetchall()
    return {person for _, person in rows} if all(one and person is not None for one, person in rows) else None


def _recorded_people(db: Database, since: _Mark) -> set[int]:
    """Ids of people who have a punch, at any door, or a correction after the mark."""
    sql = """SELECT person_id FROM punches WHERE id > ? UNION SELECT person_id FROM corrections WHERE id > ?
        UNION SELECT person_id FROM door_punches WHERE rowid > ? UNION SELECT person_id FROM door_corrections WHERE rowid > ?"""
    return {row[0] for row in db.execute(sql, [since.punch, since.correction, since.door, since.door_correction])}
