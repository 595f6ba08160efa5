"""Many assignments, absences and holidays from one list: all rows or none, and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from device.__main__ import main
from device.attendance.imports.schedule_import import carry_out_list, read
from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.timesheet.absences import Absence
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site
from device.storage.store import Store

TODAY = date(2026, 11, 24)
NOW = 1_796_000_000.0  # of that day
LISTS = {
    "assignments": "Personalnummer;Schichtplan;ab\nE1;week;01.12.2026\nE2;.;01.12.2026\n",
    "absences": "code,first,last,kind,half\nE1,2026-12-01,2026-12-05,Urlaub,\nE2,2026-12-02,2026-12-02,sick,first\n",
    "holidays": "day\tname\n25.12.2026\tChristmas\n26.12.2026\tBoxing Day\n",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "clockface.db") as opened:
        planning = Planning(opened)
        planning.set_site(Site("Europe/Berlin"), "test")
        planning.add_plan("week", [planning.add_shift(Shift("flexible", minutes=480), "test")], date(2026, 1, 5), "test")
        for name, code in (("Ann", "E1"), ("Bob", "E2")):
            opened.add_person(name, code)
        yield opened


def imported(store: Store, tmp_path: Path, kind: str, text: str, check: bool = False) -> tuple[list[str], bool]:
    file = tmp_path / "list"
    file.write_text(text, encoding="utf-8")
    result = carry_out_list(store, read(kind, file, TODAY), "test", check=check)
    return [row.fate for row in result.rows], result.written


def state(store: Store) -> tuple[object, ...]:
    with store.reading() as db:
        assigned = db.execute("SELECT person_id, plan_id, since FROM assignments ORDER BY id").fetchall()
    planning = Planning(store)
    return assigned, [(row.person_id, row.absence) for row in planning.absences(date.min, date.max)], planning.holidays()


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_is_written_once(store: Store, tmp_path: Path, kind: str) -> None:
    before = state(store)
    assert imported(store, tmp_path, kind, LISTS[kind], check=True) == (["added", "added"], False) and state(store) == before
    assert imported(store, tmp_path, kind, LISTS[kind]) == (["added", "added"], True)
    half = Absence(date(2026, 12, 2), date(2026, 12, 2), "sick", "first")
    wanted = {
        "assignments": ([(1, 1, "2026-12-01"), (2, None, "2026-12-01")], [], {}),
        "absences": ([], [(1, Absence(date(2026, 12, 1), date(2026, 12, 5), "vacation")), (2, half)], {}),
        "holidays": ([], [], {date(2026, 12, 25): "Christmas", date(2026, 12, 26): "Boxing Day"}),
    }[kind]
    assert state(store) == wanted
    assert imported(store, tmp_path, kind, LISTS[kind]) == (["present", "present"], True) and state(store) == wanted


@pytest.mark.parametrize(
    ("kind", "line"),
    [("assignments", "E9;week;01.12.2026"), ("assignments", "E1;nights;01.12.2026"), ("assignments", "E1;week;"), ("assignments", "E1;week;30.10.2026"),
     ("absences", "E1,2026-12-03,2026-12-04,training,"), ("absences", "E1,2026-12-09,2026-12-08,sick,"), ("absences", "E1,2026-12-09,2026-12-09,idle,"),
     ("holidays", "31.02.2026\tx"), ("holidays", "27.12.2026\t"), ("holidays", "31.10.2026\tReformation")],
)  # fmt: skip
def test_one_refused_row_keeps_all_from_being_written(store: Store, tmp_path: Path, kind: str, line: str) -> None:
    Desk(store, NOW).lock(date(2026, 10, 1), date(2026, 10, 31), "test")
    before = state(store)
    assert imported(store, tmp_path, kind, f"{LISTS[kind]}{line}\n") == (["added", "added", "refused"], False)
    assert state(store) == before and store.verify_chain("audit").ok


def test_a_calendar_of_holidays(store: Store, tmp_path: Path) -> None:
    lines = ["BEGIN:VCALENDAR", "BEGIN:VEVENT", "DTSTART;VALUE=DATE:20261225", "SUMMARY:Christmas", "DESCRIPTION:Public holiday", "END:VEVENT", "BEGIN:VEVENT",
             "DTSTART;VALUE=DATE:20261206", "SUMMARY:Nicholas", "DESCRIPTION:Observance", "END:VEVENT", "END:VCALENDAR", ""]  # fmt: skip
    assert imported(store, tmp_path, "holidays", "\r\n".join(lines)) == (["added", "left_out"], True)
    assert Planning(store).holidays() == {date(2026, 12, 25): "Christmas"}
    lines[3] = "SUMMARY:Christmas Day"
    assert imported(store, tmp_path, "holidays", "\r\n".join(lines)) == (["changed", "left_out"], True)


def test_the_command(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "list.csv"
    file.write_text(LISTS["absences"], encoding="utf-8")
    assert main(["schedule", "import", "absences", str(file), "--check", "--json", "--db", str(store.path)]) == 0
    assert json.loads(capsys.readouterr().out)["written"] is False and Planning(store).absences(date.min, date.max) == []
    assert main(["schedule", "import", "absences", str(file), "--db", str(store.path)]) == 0
    assert "line 2: E1 2026-12-01 2026-12-05: added: Ann" in capsys.readouterr().out
    file.write_text(LISTS["absences"] + "E7,2026-12-01,2026-12-02,sick,\n", encoding="utf-8")
    assert main(["schedule", "import", "absences", str(file), "--db", str(store.path)]) == 1
    assert "nothing was written" in capsys.readouterr().out


def test_the_rules_of_a_site_may_come_first(tmp_path: Path) -> None:
    assert main(["schedule", "site", "--zone", "Asia/Kathmandu", "--db", str(tmp_path / "new.db")]) == 0
    with Store.open(tmp_path / "new.db", must_exist=True) as opened:
        assert Planning(opened).site().zone == "Asia/Kathmandu"
