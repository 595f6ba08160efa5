"""A list of people: who is new is added, who is here already gets the department, days of employment and plan that the list says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from device.attendance.imports.moments import ImportRefused, Order, day, order_of
from device.attendance.imports.rows import Cells, Fate, Result, carry_out
from device.attendance.planning import Planning
from device.attendance.timesheet.absences import Employment
from device.contract import phrase, phrases
from device.storage.groups import Belonging, places, set_place
from device.storage.records import Person
from device.storage.store import Store
from device.system.table_file import NAME_PARTS, whole_name
from device.system.table_stream import TableStream, stream

COLUMNS = {  # our name -> what the header may say, best first; as Hikvision's and ZKTeco's programs write them, too
    "code": (
        "person id", "employee id", "employee code", "emp code", "emp id", "user id", "userid", "ac-no.", "ac no.", "badge number", "pin", "personalnummer",
        "ausweisnummer", "nummer", "matricule", "código", "sicil no", "id", "no.",
    ),
    "name": (
        "person name", "employee name", "full name", "employee", "person", "mitarbeiter", "mitarbeiterin", "vor- und nachname", "nombre", "nom", "ad soyad",
    ),
    **NAME_PARTS,
    "first_day": ("first day", "hire date", "date of hire", "hired date", "entry date", "joining date", "eintritt", "eintrittsdatum", "start date"),
    "last_day": ("last day", "leaving date", "resign date", "exit date", "termination date", "austritt", "austrittsdatum", "end date"),
    "department": ("organization", "dept", "dept.", "department name", "abteilung", "departamento", "service", "bölüm"),
    "plan": ("shift plan", "schichtplan", "schichtmodell", "schedule"),
}  # fmt: skip


def read(path: Path) -> TableStream:
    """Raises:
    ListError: it is no list with columns for code and name, or first and last name.
    """
    return stream(path, COLUMNS, ("code", "name"))


@dataclass(frozen=True)
class How:
    """How a list is imported."""

    check: bool = False  # tell the fate of each row and write nothing
    whole: bool = False  # write nothing if one row is refused
    rename: bool = False  # take the list's names for people who are here under another name
    order: Order | None = None  # what stands first in 02/12/2026, where the list does not tell


def import_people(store: Store, table: TableStream, today: date, by: str, how: How) -> Result:
    """Add and change people as a list says; in one transaction.

    An empty cell, and a column that the list does not have, leaves everything as it is. A row is refused that gives somebody else's code.

    Args:
        by: the author in the audit.

    Raises:
        ImportRefused, WrongTime: too many rows; days are written in two ways.
    """
    days = (cells.get(name, "") for _, cells in table.rows() for name in ("first_day", "last_day"))
    act = _People(store, today, by, how.rename, how.order or order_of(days))
    rows = ((line, {**cells, "name": whole_name(cells)}) for line, cells in table.rows())
    return carry_out(store, rows, ("code", "name"), act, check=how.check, whole=how.whole)


class _People:
    """What becomes of each row of a list."""

    def __init__(self, store: Store, today: date, by: str, rename: bool, order: Order | None) -> None:
        self.store, self.today, self.by, self.rename, self.order = store, today, by, rename, order
        self.planning = Planning(store)
        self.plans = {plan.name.casefold(): number for number, plan in self.planning.plans().items()}

    def __call__(self, cells: Cells) -> tuple[Fate, str]:
        code, name = cells.get("code", ""), cells.get("name", "")
        if not code:
            raise ImportRefused(phrase("import.no_code", "no code"))
        person = self._known(code)
        if person is None:
            person = self.store.add_person(name, code)
            return "added", phrases("; ", self._changes(person, cells))
        renamed = [phrase("import.was", "was {before}", before=person.name)] if name and name != person.name else []
        if renamed and not self.rename:
            english = "the code {code} belongs to {name}; --rename gives them the list's name"
            raise ImportRefused(phrase("import.other_name", english, code=code, name=person.name))
        if renamed:
            self.store.rename(person.id, name)
        changes = [*renamed, *self._changes(person, cells)]
        return ("changed" if changes else "present"), phrases("; ", changes)

    def _known(self, code: str) -> Person | None:
        with self.store.reading() as db:
            row = db.execute("SELECT id FROM people WHERE code = ?", [code]).fetchone()
        return self.store.person(int(row[0])) if row else None

    def _changes(self, person: Person, cells: Cells) -> Iterator[str]:
        yield from self._department(person, cells.get("department", ""))
        first, last = (day(text, self.order) if (text := cells.get(name, "")) else None for name in ("first_day", "last_day"))
        yield from self._employment(person, first, last)
        yield from self._plan(person, cells.get("plan", ""), first or self.today)

    def _department(self, person: Person, name: str) -> Iterator[str]:
        with self.store.reading() as db:
            before = places(db)[person.id]
        if name and name != before.department:
            set_place(self.store, person.id, Belonging(before.sites, name))
            yield phrase("import.department", "department {name}", name=name)

    def _employment(self, person: Person, first: date | None, last: date | None) -> Iterator[str]:
        before = self.planning.employment(person.id)
        wanted = Employment(first or before.first, last or before.last)
        if wanted != before:
            self.planning.set_employment(person.id, wanted, self.by)
            yield phrases(" ", self._days(first, last))
        if wanted.last and wanted.last < self.today and person.active:
            self.store.deactivate(person.id, wanted.last)
            yield phrase("import.left", "not active any more")

    def _days(self, first: date | None, last: date | None) -> Iterator[str]:
        yield phrase("import.employed", "employed")
        if first:
            yield phrase("import.first", "from {day}", day=f"{first}")
        if last:
            yield phrase("import.last", "to {day}", day=f"{last}")

    def _plan(self, person: Person, name: str, since: date) -> Iterator[str]:
        if not name:
            return
        number = self.plans.get(name.casefold())
        if number is None:
            raise ImportRefused(phrase("import.no_plan", "there is no plan named {plan!r}; add it first", plan=name[:80]))
        with self.store.reading() as db:
            latest = db.execute("SELECT plan_id FROM assignments WHERE person_id = ? ORDER BY since DESC, id DESC LIMIT 1", [person.id]).fetchone()
        if latest is None or latest[0] != number:
            self.planning.assign(person.id, number, since, self.by)
            yield phrase("import.plan", "plan {plan} from {day} on", plan=name, day=f"{since}")


