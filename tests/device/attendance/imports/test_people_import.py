"""A list of people: who is added, changed, there already, refused; all in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from device.attendance.imports import rows
from device.attendance.imports.people_import import How, import_people, read
from device.attendance.planning import Planning
from device.attendance.timesheet.shifts import Employment, Shift
from device.storage.groups import places
from device.storage.store import Store
from tests.refused import refused

TODAY = date(2026, 11, 24)
HIKVISION = "".join(f"{n}.A rule of the template.,,\r\n" for n in range(1, 9)) + (
    "*Person ID,*Organization,*Person Name,*Gender,Contact,Email,Effective Time,Expiry Time,Card No.,Room No.,Floor No.\r\n"
    "'0017,Company/Line 1,Jürgen Müller,Male,,,2020-01-01,2030-01-01,,,\r\n"
)
OWN = """code;name;first_day;last_day;department;plan
E1;Ann;01.02.2026;;Line 1;week
E2;Bob;2020-01-01;2026-10-31;Office;
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        planning = Planning(opened)
        planning.add_plan("week", [planning.add_shift(Shift("flexible", minutes=480), "test")], date(2026, 1, 5), "test")
        yield opened


def imported(store: Store, tmp_path: Path, text: str, encoding: str = "utf-8", **choices: Any) -> list[tuple[int, str]]:
    file = tmp_path / "people.csv"
    file.write_bytes(text.encode(encoding))
    return [(row.line, row.fate) for row in import_people(store, read(file), TODAY, "test", How(**choices)).rows]


@pytest.mark.parametrize(
    "text",
    ["Nachname;Vorname;Personalnummer\nKern;Ada;E17\n", "Personalnummer;Name;Vorname\nE17;Kern;Ada\n", "Employee ID,Full name,Last name\nE17,Ada Kern,Kern\n",
     "MATRICULE;NOM;PRENOM\nE17;Kern;Ada\n"],
)  # fmt: skip
def test_a_name_in_two_columns_is_one(store: Store, tmp_path: Path, text: str) -> None:
    assert imported(store, tmp_path, text) == [(2, "added")]
    assert [(person.name, person.code) for person in store.people()] == [("Ada Kern", "E17")]


def test_a_quotation_mark_that_is_never_closed_leaves_nobody_out(store: Store, tmp_path: Path) -> None:
    with refused("list.unreadable", "line 2"):
        imported(store, tmp_path, 'code;name;department\nE1;Ann;"Line 1\nE2;Bob;Office\n')
    assert store.people() == []


def state(store: Store) -> list[tuple[str, str | None, bool, str, Employment, date | None]]:
    with store.reading() as db:
        belongs = places(db)
        since = {person: date.fromisoformat(day) for person, day in db.execute("SELECT person_id, since FROM assignments")}
    planning = Planning(store)
    return [(p.name, p.code, p.active, belongs[p.id].department, planning.employment(p.id), since.get(p.id)) for p in store.people()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_people_with_all_that_the_list_says(store: Store, tmp_path: Path, encoding: str) -> None:
    assert imported(store, tmp_path, OWN, encoding) == [(2, "added"), (3, "added")]
    first = date(2026, 2, 1)
    assert state(store) == [
        ("Ann", "E1", True, "Line 1", Employment(first, None), first),
        ("Bob", "E2", False, "Office", Employment(date(2020, 1, 1), date(2026, 10, 31)), None),
    ]
    before = store.verify_chain("audit").count
    assert imported(store, tmp_path, OWN, encoding) == [(2, "present"), (3, "present")]
    assert store.verify_chain("audit").count == before, "a second import changes nothing"


def test_the_template_of_hikvision(store: Store, tmp_path: Path) -> None:
    assert imported(store, tmp_path, HIKVISION, "utf-8-sig") == [(10, "added")]
    assert state(store)[0][:4] == ("Jürgen Müller", "0017", True, "Company/Line 1")


def test_what_the_list_leaves_empty_stays(store: Store, tmp_path: Path) -> None:
    imported(store, tmp_path, OWN)
    before = state(store)
    assert imported(store, tmp_path, "code,name,department\nE1,Ann,\n") == [(2, "present")]
    assert imported(store, tmp_path, "code,name,department,last_day\nE1,Ann,Line 2,2027-01-31\n") == [(2, "changed")]
    assert state(store) == [("Ann", "E1", True, "Line 2", Employment(date(2026, 2, 1), date(2027, 1, 31)), date(2026, 2, 1)), before[1]]


REFUSED = "code,name,first_day,plan\n,Nobody,,\nE3,,,\nE1,Somebody else,,\nE4,Di,2026-02-30,\nE5,Ed,,nights\nE6,Flo,,week\ne6,Flo,,\n"


def test_each_refused_row_is_told_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    imported(store, tmp_path, OWN)
    before = state(store)
    fates = [(2, "refused"), (3, "refused"), (4, "refused"), (5, "refused"), (6, "refused"), (7, "added"), (8, "present")]
    assert imported(store, tmp_path, REFUSED, check=True) == fates and state(store) == before, "a check writes nothing"
    assert imported(store, tmp_path, REFUSED, whole=True) == fates and state(store) == before, "all or nothing"
    assert imported(store, tmp_path, REFUSED) == fates and [one[0] for one in state(store)] == ["Ann", "Bob", "Flo"]
    assert store.verify_chain("audit").ok


def test_another_name_is_taken_where_that_is_asked_for(store: Store, tmp_path: Path) -> None:
    imported(store, tmp_path, OWN)
    assert imported(store, tmp_path, "code,name\nE1,Ann Kern\n", rename=True) == [(2, "changed")]
    assert state(store)[0][0] == "Ann Kern"


def test_a_list_that_is_too_long_is_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_ROWS", 1)
    with refused("import.too_many"):
        imported(store, tmp_path, OWN)
    assert store.people() == []


def test_what_fails_in_between_undoes_all(store: Store) -> None:
    """Operations of the store that join one transaction are written together or not at all."""
    with pytest.raises(ZeroDivisionError), store.together():
        store.add_person("Ann", "E1")
        assert store.person("E1").name == "Ann"
        raise ZeroDivisionError
    assert store.people() == []
    store.add_person("Bob", "E2")
    assert [person.name for person in store.people()] == ["Bob"]
