"""Several calendars of holidays: the site's own, and further ones by name for the people of a plan or for single people.

The calendar of a person counts before that of the plan in force on a day, and both before the site's own; one takes the place of the other as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlite_utils import Database

from device.contract import phrase
from device.storage.audit import Action
from device.storage.database import StoreError
from device.storage.records import clean_text
from device.storage.store import Store

LONGEST = 80  # characters of a name
Days = Mapping[date, str]
Since = tuple[date, int | None]  # from when, which plan


@dataclass(frozen=True)
class Calendars:
    """All of them, and whose they are."""

    own: Days  # the site's
    further: Mapping[str, Days]
    of_plan: Mapping[int, str]
    of_person: Mapping[int, str]

    def of(self, person_id: int, assigned: Sequence[Since]) -> Days:
        """The holidays of a person; `assigned`: the plans in the order in which they take each other's place."""
        name = self.of_person.get(person_id)
        if name:
            return self.further.get(name, {})
        if not any(plan in self.of_plan for _, plan in assigned):
            return self.own
        found = {day: words for day, words in self.own.items() if day < assigned[0][0]}
        ends = [*(since for since, _ in assigned[1:]), date.max]
        for (since, plan), end in zip(assigned, ends, strict=True):
            name = self.of_plan.get(plan, "") if plan is not None else ""
            days = self.further.get(name, {}) if name else self.own
            found |= {day: words for day, words in days.items() if since <= day < end}
        return found


def read(db: Database) -> Calendars:
    own = {date.fromisoformat(day): name for day, name in db.execute("SELECT day, name FROM holidays ORDER BY day")}
    further = defaultdict[str, dict[date, str]](dict)
    for calendar, day, name in db.execute("SELECT calendar, day, name FROM calendar_days ORDER BY calendar, day"):
        further[calendar][date.fromisoformat(day)] = name
    plans, people = (
        {number: name for number, name in db.execute(f"SELECT {column}, calendar FROM {table} WHERE calendar <> ''").fetchall()}
        for column, table in (("plan_id", "plan_calendars"), ("person_id", "person_calendars"))
    )
    return Calendars(own, dict(further), plans, people)


def set_day(store: Store, day: date, name: str, calendar: str, by: str) -> None:
    """Name a holiday; `calendar` "": the site's own.

    Raises:
        StoreError: a name cannot be one, or the day is locked.
    """
    calendar, words = _named(calendar), clean_text("name", name, LONGEST)
    with store.transaction() as db:
        if calendar:
            sql = "INSERT INTO calendar_days (calendar, day, name) VALUES (?, ?, ?) ON CONFLICT (calendar, day) DO UPDATE SET name = excluded.name"
            db.execute(sql, [calendar, day.isoformat(), words])
        else:
            db.execute("INSERT INTO holidays (day, name) VALUES (?, ?) ON CONFLICT (day) DO UPDATE SET name = excluded.name", [day.isoformat(), words])
        store.note_by(by, Action.HOLIDAY_SET, day=day.isoformat(), **({"calendar": calendar} if calendar else {}))


def remove_day(store: Store, day: date, calendar: str, by: str) -> None:
    """Raises:
    StoreError: it is no holiday there, or the day is locked.
    """
    calendar = _named(calendar)
    sql = "DELETE FROM calendar_days WHERE day = ? AND calendar = ?" if calendar else "DELETE FROM holidays WHERE day = ?"
    with store.transaction() as db:
        if not db.execute(sql, [day.isoformat(), *([calendar] if calendar else [])]).rowcount:
            of = f" of {calendar}" if calendar else ""
            raise StoreError(phrase("holiday.none", "{day} is not a holiday{of}", day=day, of=of), code="store.no_such")
        store.note_by(by, Action.HOLIDAY_REMOVED, day=day.isoformat(), **({"calendar": calendar} if calendar else {}))


def choose(store: Store, calendar: str, by: str, *, person_id: int | None = None, plan_id: int | None = None) -> None:
    """Let a calendar count for a person or for the people of a plan; "": again the one that counts without it. Days of locked periods stay as they are.

    Raises:
        StoreError: no such calendar, person or plan.
    """
    calendar = _named(calendar)
    table, column, number = ("person_calendars", "person_id", person_id) if person_id is not None else ("plan_calendars", "plan_id", plan_id)
    with store.transaction() as db:
        if calendar and not db.execute("SELECT 1 FROM calendar_days WHERE calendar = ?", [calendar]).fetchone():
            raise StoreError(phrase("calendar.unknown", "there is no calendar {name!r}; enter its days first", name=calendar), code="store.no_such")
        if not db.execute(f"SELECT 1 FROM {'people' if person_id is not None else 'plans'} WHERE id = ?", [number]).fetchone():
            raise StoreError(f"there is no {column.removesuffix('_id')} {number}", code="store.no_such")
        sql = f"INSERT INTO {table} ({column}, calendar) VALUES (?, ?) ON CONFLICT ({column}) DO UPDATE SET calendar = excluded.calendar"
        db.execute(sql, [number, calendar])
        store.note_by(by, Action.CALENDAR_CHOSEN, **{column: number, "calendar": calendar})


def _named(calendar: str) -> str:
    return clean_text("calendar", calendar, LONGEST) if calendar.strip() else ""
