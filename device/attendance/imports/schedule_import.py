"""Lists for the schedule: who works which plan from when, absences, holidays. All rows are written, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import get_args

from device.attendance import calendars, planning
from device.attendance.imports import calendar_file
from device.attendance.imports.moments import ImportRefused, Order, day, order_of
from device.attendance.imports.rows import Cells, Fate, Result, carry_out
from device.attendance.planning import Planning
from device.attendance.timesheet.absences import Absence, Half
from device.contract import phrase
from device.storage.store import Store
from device.system.table_stream import stream

PERSON = ("person id", "employee id", "employee code", "user id", "personalnummer", "nummer", "matricule", "código", "person", "mitarbeiter", "name", "id")
COLUMNS: Mapping[str, Mapping[str, Sequence[str]]] = {  # kind of list -> our name -> what the header may say
    "assignments": {"code": PERSON, "plan": ("schichtplan", "shift plan"), "since": ("from", "ab", "von", "valid from", "start")},
    "absences": {
        "code": PERSON, "first": ("first day", "from", "von", "start", "beginn"), "last": ("last day", "to", "bis", "end", "ende"),
        "kind": ("type", "leave type", "art", "grund"), "half": ("half day",), "since": ("from time",), "until": ("to time",),
    },
    "holidays": {"day": ("date", "datum", "tag", "fecha"), "name": ("holiday", "feiertag", "summary", "nombre", "description")},
}  # fmt: skip
NEEDED = {"assignments": ("code", "plan", "since"), "absences": ("code", "first", "last", "kind"), "holidays": ("day", "name")}
ABOUT = {"assignments": ("code", "plan", "since"), "absences": ("code", "first", "last"), "holidays": ("day", "name")}
DAYS = {"assignments": ("since",), "absences": ("first", "last"), "holidays": ("day",)}
SPOKEN = {"urlaub": "vacation", "krank": "sick", "unbezahlt": "unpaid", "weiterbildung": "training", "zeitausgleich": "compensation"}
HALVES: tuple[Half, ...] = get_args(Half)
NO_PLAN = ("", ".", "none")


@dataclass(frozen=True)
class ScheduleList:
    """A list of one kind, as it was read."""

    kind: str
    rows: tuple[tuple[int, Cells], ...]
    told: str


def read(kind: str, path: Path, today: date, region: str = "") -> ScheduleList:
    """Read a list; holidays may be a calendar file (.ics).

    Raises:
        ListError, ImportRefused: it is no such list.
    """
    if kind == "holidays" and _is_calendar(path):
        found = calendar_file.read(path, today, region)
        rows = ({"day": one.day.isoformat() if one.day else "", "name": one.name, "problem": one.problem, "left out": one.left_out} for one in found)
        return ScheduleList(kind, tuple(zip((one.line for one in found), rows, strict=True)), phrase("read.calendar", "a calendar"))
    table = stream(path, COLUMNS[kind], NEEDED[kind])
    return ScheduleList(kind, tuple(table.rows()), table.told)


def _is_calendar(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"BEGIN:VCALENDAR" in file.read(200).replace(b"\0", b"").upper()
    except OSError as error:
        words = phrase("list.no_file", "{file} cannot be read ({why}); name a list", file=path.name, why=f"{error.strerror}")
        raise ImportRefused(words) from error


def carry_out_list(store: Store, listed: ScheduleList, by: str, *, check: bool = False, order: Order | None = None, calendar: str = "") -> Result:
    """Write all rows of a list, or none if one of them is refused; a row that is here already changes nothing. `by`: the author in the audit;
    `calendar`: into which one holidays go, "" into the site's own.

    Raises:
        ImportRefused, WrongTime: too many rows; days are written in two ways.
    """
    days = (cells.get(name, "") for _, cells in listed.rows for name in DAYS[listed.kind])
    act = ACTS[listed.kind](store, by, order or order_of(days), calendar.strip())
    return carry_out(store, listed.rows, ABOUT[listed.kind], act, check=check, whole=True)


class _Act:
    def __init__(self, store: Store, by: str, order: Order | None, calendar: str) -> None:
        self.store, self.by, self.order, self.calendar, self.planning = store, by, order, calendar, Planning(store)

    def day(self, cells: Cells, name: str) -> date:
        return day(cells.get(name, ""), self.order)


class _Assign(_Act):
    def __call__(self, cells: Cells) -> tuple[Fate, str]:
        person, since = self.store.person(cells.get("code", "")), self.day(cells, "since")
        numbers = {plan.name.casefold(): number for number, plan in self.planning.plans().items()}
        name = cells.get("plan", "").casefold()
        if name not in NO_PLAN and name not in numbers:
            known = ", ".join(numbers) or phrase("none", "none")
            raise ImportRefused(phrase("import.plans", "there is no plan named {plan!r}; there are: {known}", plan=cells["plan"][:80], known=known))
        plan = None if name in NO_PLAN else numbers[name]
        with self.store.reading() as db:
            sql = "SELECT plan_id FROM assignments WHERE person_id = ? AND since = ? ORDER BY id DESC LIMIT 1"
            same = db.execute(sql, [person.id, since.isoformat()]).fetchone()
        if same is not None and same[0] == plan:
            return "present", person.name
        self.planning.assign(person.id, plan, since, self.by)
        return "added", person.name


class _Absent(_Act):
    def __call__(self, cells: Cells) -> tuple[Fate, str]:
        person, kind = self.store.person(cells.get("code", "")), cells.get("kind", "").casefold()
        half = next((half for half in HALVES if half == cells.get("half", "").casefold()), None)
        if cells.get("half") and half is None:
            words = {"allowed": ", ".join(HALVES), "typed": cells["half"][:20]}
            raise ImportRefused(phrase("import.half", "half: expected one of {allowed}, got {typed!r}", **words))
        since, until = (planning.clock(text) if (text := cells.get(name, "")) else None for name in ("since", "until"))
        absence = Absence(self.day(cells, "first"), self.day(cells, "last"), SPOKEN.get(kind, kind), half, since, until)
        near = self.planning.absences(absence.first, absence.last)
        if any(row.person_id == person.id and row.absence == absence for row in near):
            return "present", person.name
        self.planning.add_absence(person.id, absence, self.by)
        return "added", person.name


class _Holiday(_Act):
    def __call__(self, cells: Cells) -> tuple[Fate, str]:
        if cells.get("problem"):
            raise ImportRefused(cells["problem"])
        if cells.get("left out"):
            return "left_out", cells["left out"]
        on, name = self.day(cells, "day"), cells.get("name", "")
        known = self.planning.calendars()
        before = (known.further.get(self.calendar, {}) if self.calendar else known.own).get(on)
        if before == name:
            return "present", ""
        calendars.set_day(self.store, on, name, self.calendar, self.by)
        return ("added", "") if before is None else ("changed", phrase("import.was", "was {before}", before=before))


ACTS: Mapping[str, Callable[[Store, str, Order | None, str], Callable[[Cells], tuple[Fate, str]]]] = {
    "assignments": _Assign,
    "absences": _Absent,
    "holidays": _Holiday,
}
