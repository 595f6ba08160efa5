"""Planning: the site's rules, shifts, plans, who works which plan from which day, holidays and absences.

Shifts, plans and assignments are added and never changed, so that a new plan changes nothing before its first day.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from datetime import time as clock_time
from typing import Any

from sqlite_utils import Database

from device.attendance import calendars
from device.attendance.calendars import Calendars, Days, Since
from device.attendance.plans import LAYERS, Plan, PlanDay, insert_plan, insert_shift, read_plans, read_shifts, shift_ids, shifts_of
from device.attendance.timesheet import accounting
from device.attendance.timesheet.absences import Absence, Employment, employed
from device.attendance.timesheet.shifts import Assignment, Schedule, Shift, misfit
from device.attendance.timesheet.windows import Windows
from device.attendance.timesheet.worksite import PAIRINGS, Pairing, Site, TimesheetError
from device.contract import phrase
from device.storage.audit import Action
from device.storage.database import StoreError
from device.storage.records import clean_text
from device.storage.site_clock import SITE
from device.storage.store import Store
from device.system.clock import to_ms
from device.system.time_zones import system_zone

LATER_RULES = ("rounding", "rounding_of", "check_out", "accounting")  # left out where nobody set them: earlier versions in a fleet know none
LONGEST = 80  # characters of a name
ABSENCE = "first_day, last_day, kind, half, from_time, to_time"
# Of two assignments from one day the later one holds; in a fleet, the one that reached the company's database later, so that all terminals agree.
LATER_HOLDS = """since, coalesce((SELECT max(arrived) FROM fleet_records WHERE kind = 'assignments' AND row = json_array(a.id)), 9e18), id"""


@dataclass(frozen=True)
class AbsenceRow:
    """A stored absence."""

    id: int
    person_id: int
    absence: Absence


class Planning:
    """The planning tables of an open store. `by` is the actor in the audit."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # the site

    def site(self) -> Site:
        """The rules in force; until they are set, the defaults in the board's own time zone."""
        with self.store.reading() as db:
            return read_site(db)

    def set_site(self, site: Site, by: str) -> None:
        with self.store.transaction() as db:
            db.execute("INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", [SITE, site_json(site)])
            self.store.note_by(by, Action.SITE_RULES_CHANGED, **json.loads(site_json(site)))

    # shifts and plans

    def shifts(self) -> dict[int, Shift]:
        with self.store.reading() as db:
            return read_shifts(db)

    def add_shift(self, shift: Shift, by: str) -> int:
        """Returns its id.

        Raises:
            StoreError: the name is taken. A shift is never changed; add one under another name.
        """
        name = clean_text("name", shift.name, LONGEST)
        with self.store.transaction() as db:
            self._refuse_duplicate(db, "shifts", name)
            number = insert_shift(db, name, shift)
            self.store.note_by(by, Action.SHIFT_ADDED, shift_id=number)
        return number

    def plans(self) -> dict[int, Plan]:
        with self.store.reading() as db:
            return {plan.id: plan for plan in read_plans(db)}

    def add_plan(self, name: str, cycle: Sequence[PlanDay], anchor: date, by: str, pairing: Pairing | None = None) -> int:
        """Returns its id. The first entry of the cycle falls on `anchor`.

        Raises:
            StoreError: the name is taken, a shift is missing, or one has not ended when the next begins.
        """
        name = clean_text("name", name, LONGEST)
        if pairing not in (None, *PAIRINGS):
            raise StoreError(f"plan: pairing expected one of {', '.join(PAIRINGS)}, got {str(pairing)[:20]!r}", code="store.plan")
        with self.store.transaction() as db:
            self._refuse_duplicate(db, "plans", name)
            shifts = read_shifts(db)
            days = [shift_ids(day) for day in cycle]
            missing = {number for day in days for number in day} - set(shifts)
            if missing or not 1 <= len(cycle) <= 366 or max(map(len, days)) > LAYERS:
                words = "plan: expected 1 to 366 days of at most {layers} shifts, got {days}, missing {missing}"
                raise StoreError(phrase("plan.length", words, layers=LAYERS, days=len(cycle), missing=str(sorted(missing))), code="store.plan")
            if why := misfit([tuple(shifts[number] for number in day) for day in days]):
                raise StoreError(phrase("plan.misfit", "plan: {why}", why=why), code="store.plan")
            number = insert_plan(db, name, days, anchor, pairing)
            self.store.note_by(by, Action.PLAN_ADDED, plan_id=number)
        return number

    def _refuse_duplicate(self, db: Database, table: str, name: str) -> None:
        if db.execute(f"SELECT 1 FROM {table} WHERE name = ?", [name]).fetchone():
            words = "the name {name!r} is taken; {table} are never changed, so add a new one under another name"
            raise StoreError(phrase("plan.name_taken", words, name=name, table=table), code="store.name_taken")

    # people

    def assign(self, person_id: int, plan_id: int | None, since: date, by: str) -> None:
        """Assign a plan to a person from a day on; None: no plan from then on.

        Raises:
            StoreError: no such person or plan, or the day lies in or before a locked period.
        """
        self.store.person(person_id)
        with self.store.transaction() as db:
            if plan_id is not None and not db.execute("SELECT 1 FROM plans WHERE id = ?", [plan_id]).fetchone():
                words = "there is no plan {number}; `python -m device schedule show` lists them"
                raise StoreError(phrase("plan.unknown", words, number=plan_id), code="store.no_such")
            db.execute("INSERT INTO assignments (person_id, plan_id, since) VALUES (?, ?, ?)", [person_id, plan_id, since.isoformat()])
            self.store.note_by(by, Action.PLAN_ASSIGNED, person_id=person_id, plan_id=plan_id, since=since.isoformat())

    def add_absence(self, person_id: int, absence: Absence, by: str) -> int:
        """Returns its id. The audit does not record the kind, because illness is private.

        Raises:
            StoreError: no such person, another absence has some of the days, or the person is not employed on any of them.
        """
        name = self.store.person(person_id).name
        with self.store.transaction() as db:
            if not employed(_employments(db, person_id)[person_id], absence.first, absence.last):
                words = "{name} is not employed between {first} and {last}"
                raise StoreError(phrase("absence.not_employed", words, name=name, first=absence.first, last=absence.last), code="store.not_employed")
            for number, other in ((row.id, row.absence) for row in _absences(db, absence.first, absence.last) if row.person_id == person_id):
                if absence.conflicts(other):
                    what = f"absence {number}, {other.kind} from {other.first} to {other.last}{', ' if other.when else ''}{other.when}"
                    words = "{name} has {what}; cancel or shorten it first"
                    raise StoreError(phrase("absence.overlaps", words, name=name, what=what, first=other.first, last=other.last), code="store.absence_overlaps")
            values = [person_id, absence.first.isoformat(), absence.last.isoformat(), absence.kind, absence.half, _text(absence.since), _text(absence.until)]
            number = int(db.execute(f"INSERT INTO absences (person_id, {ABSENCE}) VALUES (?, ?, ?, ?, ?, ?, ?)", values).lastrowid or 0)
            self.store.note_by(by, Action.ABSENCE_ADDED, person_id=person_id, absence_id=number)
        return number

    def cancel_absence(self, absence_id: int, by: str) -> date | None:
        """Cancel an absence; of one that reaches beyond a locked period, what lies after it. Returns its last day if some of it stays."""
        with self.store.transaction() as db:
            absence = _one_absence(db, absence_id)
            sql = "SELECT max(last_day) FROM period_locks WHERE lifted_at IS NULL AND first_day <= ? AND last_day >= ? AND last_day < ?"
            locked = db.execute(sql, [absence.last.isoformat(), absence.first.isoformat(), absence.last.isoformat()]).fetchone()[0]
            if locked:
                self._shorten(db, absence_id, date.fromisoformat(locked), by)
                return date.fromisoformat(locked)
            db.execute("UPDATE absences SET cancelled_at = ? WHERE id = ?", [to_ms(time.time()), absence_id])
            self.store.note_by(by, Action.ABSENCE_CANCELLED, absence_id=absence_id)
            return None

    def shorten_absence(self, absence_id: int, last: date, by: str) -> None:
        """Let an absence end earlier.

        Raises:
            StoreError: no such absence, the day is none of its days, or the days that it would lose are locked.
        """
        with self.store.transaction() as db:
            absence = _one_absence(db, absence_id)
            if not absence.first <= last < absence.last:
                words = "absence {number} can end between {first} and the day before {last}, not on {day}"
                raise StoreError(phrase("absence.end", words, number=absence_id, first=absence.first, last=absence.last, day=last), code="store.absence")
            self._shorten(db, absence_id, last, by)

    def _shorten(self, db: Database, absence_id: int, last: date, by: str) -> None:
        db.execute("UPDATE absences SET last_day = ? WHERE id = ?", [last.isoformat(), absence_id])
        self.store.note_by(by, Action.ABSENCE_SHORTENED, absence_id=absence_id, last=last.isoformat())

    def absences(self, first: date, last: date) -> list[AbsenceRow]:
        """All absences that overlap these days and were not cancelled."""
        with self.store.reading() as db:
            return _absences(db, first, last)

    def employment(self, person_id: int) -> Employment:
        """The latest one."""
        with self.store.reading() as db:
            return next(iter(_employments(db, person_id)[person_id][::-1]), Employment())

    def set_employment(self, person_id: int, employment: Employment, by: str) -> None:
        """Change a person's latest employment, or begin another one after its end; a locked period keeps its sheets."""
        before = self.employment(self.store.person(person_id).id)
        days = [day.isoformat() if day else None for day in (employment.first, employment.last)]
        with self.store.transaction() as db:
            if before == Employment() or (before.last and employment.first and employment.first > before.last):
                db.execute("INSERT INTO employments (person_id, first_day, last_day) VALUES (?, ?, ?)", [person_id, *days])
            else:
                newest = "id = (SELECT max(id) FROM employments WHERE person_id = ?)"
                db.execute(f"UPDATE employments SET first_day = ?, last_day = ? WHERE {newest}", [*days, person_id])
            self.store.note_by(by, Action.EMPLOYMENT_SET, person_id=person_id, first=days[0], last=days[1])

    # holidays

    def set_holiday(self, day: date, name: str, by: str) -> None:
        """A holiday of the site's own calendar; further ones: `calendars.py`."""
        calendars.set_day(self.store, day, name, "", by)

    def remove_holiday(self, day: date, by: str) -> None:
        calendars.remove_day(self.store, day, "", by)

    def holidays(self) -> dict[date, str]:
        return dict(self.calendars().own)

    def calendars(self) -> Calendars:
        with self.store.reading() as db:
            return calendars.read(db)

    # all of these for each person

    def schedules(self, person_id: int | None = None) -> Schedules:
        """The schedules of one person or of everybody, read in one transaction."""
        with self.store.reading() as db:
            return read_schedules(db, person_id)


    def windows(self, person_id: int) -> Windows:
        """What a person is planned to work, and from when to when each of their days lasts."""
        with self.store.reading() as db:
            return Windows(read_schedules(db, person_id)[person_id], read_site(db))


class Schedules(defaultdict[int, Schedule]):
    """person id -> schedule; a person without a plan has only the holidays."""

    def __init__(self, holidays: Days) -> None:
        super().__init__(lambda: Schedule((), holidays, ()))


def read_schedules(db: Database, person_id: int | None = None) -> Schedules:
    """The same as `Planning.schedules`, inside the caller's transaction."""
    shifts, plans, holidays = read_shifts(db), {plan.id: plan for plan in read_plans(db)}, calendars.read(db)
    mine = "(:person IS NULL OR person_id = :person)"
    assignments, absences = defaultdict[int, list[Assignment]](list), defaultdict[int, list[Absence]](list)
    works = defaultdict[int, list[Since]](list)
    for person, plan_id, since in db.execute(f"SELECT person_id, plan_id, since FROM assignments a WHERE {mine} ORDER BY {LATER_HOLDS}", {"person": person_id}):
        plan = plans.get(plan_id)
        cycle = tuple(shifts_of(day, shifts) for day in plan.cycle) if plan else ()
        first, pairing = date.fromisoformat(since), plan.pairing if plan else None
        works[person].append((first, plan_id))
        assignments[person].append(Assignment(first, cycle, plan.anchor if plan else first, pairing))
    sql = f"SELECT person_id, {ABSENCE} FROM absences WHERE cancelled_at IS NULL AND {mine} ORDER BY first_day, id"
    for person, *rest in db.execute(sql, {"person": person_id}):
        absences[person].append(_absence(rest))
    employments = _employments(db, person_id)
    schedules = Schedules(holidays.own)
    for person in {*assignments, *absences, *employments, *holidays.of_person}:
        days = holidays.of(person, works[person])
        schedules[person] = Schedule(tuple(assignments[person]), days, tuple(absences[person]), tuple(employments[person]))
    return schedules


def read_site(db: Database) -> Site:
    row = db.execute("SELECT value FROM settings WHERE key = ?", [SITE]).fetchone()
    return site_from_json(row[0]) if row else Site(system_zone())


def site_json(site: Site) -> str:
    texts = {"day_start": _text(site.day_start), "check_out": _text(site.check_out), "accounting": accounting.texts(site.accounting)}
    values = {name: value for name, value in dataclasses.asdict(site).items() if name not in LATER_RULES or getattr(site, name) != getattr(Site(), name)}
    return json.dumps(values | {name: text for name, text in texts.items() if name in values}, sort_keys=True)


def site_from_json(text: str) -> Site:
    values: dict[str, Any] = json.loads(text)
    breaks = tuple((after, minutes) for after, minutes in values.pop("minimum_breaks"))
    check_out = clock(text) if (text := values.pop("check_out", None)) else None
    sums = accounting.from_texts(accounting.Accounting(), values.get("accounting", {}))
    return Site(**{**values, "day_start": clock(values["day_start"]), "minimum_breaks": breaks, "accounting": sums}, check_out=check_out)


clock, day = accounting.time_from, accounting.day_from


def breaks(text: str) -> tuple[tuple[int, int], ...]:
    """ "360:30,540:45" -> ((360, 30), (540, 45)).

    Raises:
        TimesheetError: the text has another form.
    """
    if text.strip() in ("none", ""):
        return ()
    try:
        return tuple((int(after), int(length)) for after, length in (pair.split(":") for pair in text.split(",")))
    except ValueError as error:
        raise TimesheetError(
            f"minimum breaks: expected work:break in minutes, such as 360:30,540:45, or none, got {text[:60]!a}", code="timesheet.text"
        ) from error


def _text(at: clock_time | None) -> str | None:
    return None if at is None else f"{at:%H:%M}"


def _employments(db: Database, person_id: int | None) -> dict[int, list[Employment]]:
    found = defaultdict[int, list[Employment]](list)
    sql = "SELECT person_id, first_day, last_day FROM employments WHERE :person IS NULL OR person_id = :person ORDER BY id"
    for person, *days in db.execute(sql, {"person": person_id}):
        found[person].append(Employment(*(date.fromisoformat(text) if text else None for text in days)))
    return found


def _absences(db: Database, first: date, last: date) -> list[AbsenceRow]:
    touching = "cancelled_at IS NULL AND first_day <= ? AND last_day >= ? ORDER BY first_day, id"
    sql = f"SELECT id, person_id, {ABSENCE} FROM absences WHERE {touching}"
    return [AbsenceRow(row[0], row[1], _absence(row[2:])) for row in db.execute(sql, [last.isoformat(), first.isoformat()])]


def _one_absence(db: Database, absence_id: int) -> Absence:
    row = db.execute(f"SELECT {ABSENCE} FROM absences WHERE id = ? AND cancelled_at IS NULL", [absence_id]).fetchone()
    if row is None:
        raise StoreError(phrase("absence.gone", "there is no absence {number}, or it was already cancelled", number=absence_id), code="store.no_such")
    return _absence(row)


def _absence(row: Sequence[Any]) -> Absence:
    first, last, kind, half, *times = row
    since, until = (clock(text) if text else None for text in times)
    return Absence(date.fromisoformat(first), date.fromisoformat(last), kind, half, since, until)
