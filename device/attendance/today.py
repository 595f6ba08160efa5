"""Today: where everybody is, kept up to date by reading only what is new.

One board is shared by all pages of a terminal: however many browsers ask, a punch or a correction is read once and one
person's day computed anew. Plans, people and rules change rarely; after one of them everything is read again.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from sqlite_utils import Database

from device.attendance.planning import Schedules, read_schedules, read_site
from device.attendance.sheets import reach
from device.attendance.timesheet.presence import Presence, State, presence
from device.attendance.timesheet.sheet import sheet
from device.attendance.timesheet.workday import WorkDay
from device.attendance.timesheet.worksite import Site, minute
from device.storage import corrections
from device.storage.store import Store

HARMLESS = (  # actions of the audit after which everybody is where they were; whatever is not named here counts as a change of plans
    "logged in", "logged out", "wrong password", "wrong pin", "failed attempts forgiven", "password set", "pin set", "pin removed", "biometrics read",
    "log exported", "timesheet exported", "correction requested", "correction approved", "correction refused",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One person on the board."""

    person_id: int
    name: str
    code: str | None
    presence: Presence
    days: tuple[WorkDay, WorkDay]  # yesterday and today


@dataclass(frozen=True)
class Picture:
    """Everybody at one moment."""

    site: Site
    day: date
    moment: int
    lines: tuple[Line, ...]  # by name
    last_punch_id: int
    serial: int  # grows with every other picture

    @property
    def counts(self) -> Counter[State]:
        return Counter(line.presence.state for line in self.lines)


@dataclass(frozen=True)
class _Mark:
    """How far the database was read: what is beyond is new."""

    punch: int
    correction: int
    audit: int  # plans, people and rules never change without a row there; up to here only HARMLESS ones followed
    day: date


class Board:
    """`clock` gives s since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._mark: _Mark | None = None
        self._days: dict[int, tuple[WorkDay, WorkDay]] = {}
        self._names: dict[int, tuple[str, str | None]] = {}
        self._schedules: Schedules | None = None
        self._site = Site()
        self._picture: Picture | None = None

    def picture(self, store: Store) -> Picture:
        """As of now."""
        moment = minute(self._clock())
        with self._lock:
            with store.reading() as db:
                changed = self._refresh(db, moment)
            if self._picture is None or changed or self._picture.moment != moment:
                self._picture = self._drawn(moment)
            return self._picture

    def _refresh(self, db: Database, moment: int) -> bool:
        old = self._mark
        site = self._site if old else read_site(db)
        punch, correction, audit = (db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0] for table in ("punches", "corrections", "audit"))
        if old is None or site.day_of(moment) != old.day or self._plans_changed(db, old.audit):
            self._read_all(db, moment)
        elif (punch, correction) != (old.punch, old.correction):
            new = "SELECT person_id FROM punches WHERE id > ? UNION SELECT person_id FROM corrections WHERE id > ?"
            for (person,) in db.execute(new, [old.punch, old.correction]).fetchall():
                self._read_one(db, person, old.day, moment)
        else:
            self._mark = replace(old, audit=audit)
            return False
        self._mark = _Mark(punch, correction, audit, self._site.day_of(moment))
        return True

    def _plans_changed(self, db: Database, since: int) -> bool:
        marks = ", ".join("?" * len(HARMLESS))
        return db.execute(f"SELECT 1 FROM audit WHERE id > ? AND action NOT IN ({marks}) LIMIT 1", [since, *HARMLESS]).fetchone() is not None

    def _read_all(self, db: Database, moment: int) -> None:
        self._site, self._schedules = read_site(db), read_schedules(db)
        people = db.execute("SELECT id, name, code FROM people WHERE active = 1").fetchall()
        self._names = {row[0]: (row[1], row[2]) for row in sorted(people, key=lambda row: (row[1].casefold(), row[0]))}
        days = self._two(self._site.day_of(moment))
        entries = corrections.entries(db, *reach(days, self._site))
        self._days = {}
        for person in self._names:
            yesterday, today = sheet(person, entries.get(person, []), days, self._schedules[person], self._site, moment).days
            self._days[person] = (yesterday, today)

    def _read_one(self, db: Database, person: int, day: date, moment: int) -> None:
        if person not in self._names or self._schedules is None:
            return
        days = self._two(day)
        entries = corrections.entries(db, *reach(days, self._site), person).get(person, [])
        yesterday, today = sheet(person, entries, days, self._schedules[person], self._site, moment).days
        self._days[person] = (yesterday, today)

    def _two(self, day: date) -> list[date]:
        return [day - timedelta(days=1), day]

    def _drawn(self, moment: int) -> Picture:
        lines = [Line(person, *self._names[person], presence(*self._days[person], self._site, moment), self._days[person]) for person in self._names]
        assert self._mark is not None
        serial = self._picture.serial + 1 if self._picture else 1
        return Picture(self._site, self._mark.day, moment, tuple(lines), self._mark.punch, serial)
