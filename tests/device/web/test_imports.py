"""Lists through the page: a preview writes nothing and says the fate of each row, the same form imports."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from device.attendance.planning import Planning
from device.attendance.timesheet.absences import Absence
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site
from device.storage.groups import Belonging, set_place
from device.web.desk import imports
from tests.device.web.conftest import Desk

PEOPLE = "code;name;department\nE1;Jürgen Müller;Line 1\n;Nobody;\n"
LOG = "code,time,direction\nE1,2026-09-18 08:00,in\nE1,2026-09-18 17:00,out\nE9,2026-09-18 08:00,in\n"


@pytest.fixture
def office(desk: Desk) -> Desk:
    with desk.store() as store:
        Planning(store).set_site(Site("Europe/Berlin"), "test")
        store.add_person("Ann", "E1")
    return desk


def sent(desk: Desk, path: str, kind: str, content: str, role: str = "hr", **more: str) -> Any:
    browser = desk.browser(role)
    form = {"form_token": browser.token("/password"), "kind": kind, **more}
    return browser.http.post(path, data=form, files={"file": ("list.csv", content.encode("cp1252"))}, headers={"accept": "application/json"})


def stored(desk: Desk) -> tuple[list[str], int]:
    with desk.store() as store:
        return [person.name for person in store.people()], len(store.punches())


def test_people(desk: Desk) -> None:
    shown = sent(desk, "/import/preview", "people", PEOPLE).json()
    assert (shown["counts"], shown["written"], shown["problems"]) == ({"added": 1, "refused": 1}, False, 1) and stored(desk) == ([], 0)
    assert shown["read_as"] == "Windows-1252, separated by ;" and shown["rows"][0]["words"] == "no code"
    assert not sent(desk, "/import", "people", PEOPLE, whole="1").json()["written"] and stored(desk) == ([], 0)
    assert sent(desk, "/import", "people", PEOPLE).json()["written"] and stored(desk) == (["Jürgen Müller"], 0)
    with desk.store() as store, store.reading() as db:
        assert db.execute("SELECT DISTINCT actor FROM audit WHERE action = 'person added'").fetchall() == [("user:3",)]


@pytest.mark.parametrize("apart", [False, True])
def test_log(office: Desk, apart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "LONG_BYTES", 10 if apart else 10_000)
    shown = sent(office, "/import/preview", "log", LOG).json()
    assert (shown["counts"], shown["written"], shown["usable"]) == ({"imported": 2, "unknown person": 1}, False, 2) and stored(office)[1] == 0
    assert "Europe/Berlin" in shown["read_as"] and [row["line"] for row in shown["rows"]] == [4, 2, 3]
    assert not sent(office, "/import", "log", LOG, whole="1").json()["written"] and stored(office)[1] == 0
    assert sent(office, "/import", "log", LOG, open_directions="1").json()["written"] and stored(office)[1] == 2
    assert sent(office, "/import", "log", LOG).json()["counts"] == {"already there": 2, "unknown person": 1} and stored(office)[1] == 2
    with office.store() as store:
        assert {punch.direction for punch in store.punches()} == {"auto"} and store.verify_chain().ok


@pytest.mark.parametrize(("kind", "content", "code"), [("log", "a,b\n1,2\n", "list.no_column"), ("nonsense", LOG, "request"), ("people", "", "list.no_column")])
def test_what_cannot_be_read_is_told(office: Desk, kind: str, content: str, code: str) -> None:
    answer = sent(office, "/import/preview", kind, content)
    assert answer.status_code == 400 and answer.json()["code"] == code


def test_a_form_without_a_file(office: Desk) -> None:
    answer = office.browser("hr").post("/import/preview", "/password", {"kind": "log"}, headers={"accept": "application/json"})
    assert answer.status_code == 400 and "Choose a file" in answer.text


def test_a_list_for_the_schedule_is_taken_whole_or_not_at_all(office: Desk) -> None:
    text = "code,first,last,kind\nE1,2026-09-28,2026-09-29,vacation\nE8,2026-09-28,2026-09-29,vacation\n"
    shown = sent(office, "/import/preview", "absences", text).json()
    assert (shown["counts"], shown["usable"], shown["written"]) == ({"added": 1, "refused": 1}, 0, False) and "refused" in shown["remark"]
    assert not sent(office, "/import", "absences", text).json()["written"]
    assert sent(office, "/import", "absences", text.rpartition("E8")[0]).json()["written"]
    calendar = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20270815\nSUMMARY:Day\nDESCRIPTION:Public holiday in Bavaria\nEND:VEVENT\nEND:VCALENDAR\n"
    assert sent(office, "/import", "holidays", calendar).json()["counts"] == {"left out": 1}
    assert sent(office, "/import", "holidays", calendar, region="Bavaria").json()["counts"] == {"added": 1}


def test_plans_and_absences_for_a_department_and_for_everybody(office: Desk) -> None:
    with office.store() as store:
        planning = Planning(store)
        planning.add_plan("week", [planning.add_shift(Shift("flexible", minutes=480), "test")], date(2026, 1, 5), "test")
        for name in ("Bob", "Cy", "Di"):
            set_place(store, store.add_person(name).id, Belonging(None, "Line 1"))
        store.deactivate(4)
        planning.add_absence(2, Absence(date(2026, 10, 5), date(2026, 10, 5), "sick"), "test")
    hr = office.browser("hr")

    def entered(what: str, **fields: str) -> int:
        return int(hr.post(f"/schedule/{what}", "/schedule", fields).status_code)

    def rows(table: str) -> list[int]:
        with office.store() as store, store.reading() as db:
            return [row[0] for row in db.execute(f"SELECT person_id FROM {table} ORDER BY id").fetchall()]

    assert entered("assignments", person="", everybody_of="line 1", plan="1", since="2026-10-01") == 303 and rows("assignments") == [2, 3]
    assert entered("assignments", person="", everybody_of="*", plan="", since="2026-11-01") == 303 and rows("assignments") == [2, 3, 1, 2, 3]
    absent = {"person": "", "first": "2026-10-05", "last": "2026-10-06", "kind": "training"}
    assert entered("absences", everybody_of="*", **absent) == 400 and rows("absences") == [2], "one who is sick then holds all back"
    assert entered("absences", everybody_of="*", **{**absent, "first": "2026-10-06"}) == 303 and rows("absences") == [2, 1, 2, 3]
    assert entered("absences", everybody_of="", **absent) == 400 and entered("absences", everybody_of="Nowhere", **absent) == 400


def test_calendars_on_the_page(office: Desk) -> None:
    hr = office.browser("hr")
    fields = {"day": "2026-08-14", "name": "Assumption", "calendar": "South"}
    assert hr.post("/schedule/holidays", "/schedule", fields).status_code == 303
    page = hr.get("/schedule").text
    assert "Assumption" in page and "It counts for nobody yet" in page
    assert hr.post("/schedule/calendars", "/schedule", {"calendar": "South", "plan": "", "person": "E1", "everybody_of": ""}).status_code == 303
    assert "Of Ann." in hr.get("/schedule").text
    assert hr.post("/schedule/holidays/remove", "/schedule", {"day": "2026-08-14", "calendar": "South"}).status_code == 303
    assert "Assumption" not in hr.get("/schedule").text
