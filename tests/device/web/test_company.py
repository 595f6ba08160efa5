"""The pages of a company's desk: every device and what is wrong with it, filters by site and department, nothing of a kiosk."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from device.fleet.courier import Link
from device.fleet.membership import MEMBERSHIP, Membership, as_json
from device.storage import findings
from device.storage.audit import Action
from device.storage.fleet_state import DeviceState, devices
from device.storage.groups import Belonging, Selection, groups, places, set_place
from device.storage.records import LastPunch, PunchDraft
from device.system.clock import ClockState
from device.web.app import pages
from device.web.live import Live
from tests.device.web.conftest import START, Desk
from tests.refused import refused

NORTH, SOUTH = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def told(name: str, site: str | None, ago: float = 5.0, **more: Any) -> dict[str, Any]:
    """A device as the company's database tells of it."""
    seen = datetime.fromtimestamp(START - ago, timezone.utc).isoformat()
    health = {"waiting": 0, "camera": "ok", "clock_set": True, "clock_ahead": 0.1, **more.pop("health", {})}
    fixed = {"kind": "terminal", "joined_at": seen, "revoked_at": None, "continued_as": None, "heads": {"punches": 7}, "faults": None, "erasures_open": 0}
    names = {"site_id": site, "site": {NORTH: "Plant north", SOUTH: "Plant south"}.get(site or "")}
    return {"id": f"id of {name}", "name": name, **names, **fixed, "last_seen": seen, "health": health, **more}


FORK = [{"chain": "punches", "id": 5, "fault": "fork"}]
DEVICES = (told("Gate A", NORTH), told("Gate B", SOUTH, faults=FORK))


@pytest.fixture
def company(desk: Desk) -> Desk:
    """A desk with a person at each site and one at both."""
    with desk.store() as store:
        people = [store.add_person(name, code).id for name, code in (("Ada Kern", "E1"), ("Bob Lind", "E2"), ("Cyd Moor", "E3"))]
        with store.transaction() as db:
            member = Membership("f", "Head office", "", "h", 1, "d", "disable", "", "r", "d", kind="desk")
            db.execute("INSERT INTO fleet VALUES (?, ?)", [MEMBERSHIP, as_json(member)])
            db.execute("INSERT INTO fleet_sites VALUES (?, 'Plant north'), (?, 'Plant south')", [NORTH, SOUTH])
            for one in DEVICES:
                db.execute("INSERT INTO fleet_devices VALUES (?, ?)", [one["id"], json.dumps(one)])
        for person, sites, department in zip(people, ((NORTH,), (SOUTH,), None), ("Assembly", "", "Assembly"), strict=True):
            set_place(store, person, Belonging(sites, department))
        for person, device in zip(people, ("Gate A", "Gate B", "Gate B"), strict=True):
            store.record_punch(PunchDraft(person, START - 600, "in", device, "pin", ClockState(True, "boot", 1)))
    return Desk(replace(desk.terminal, desk=True), desk.clock)


@pytest.mark.parametrize("page", ["/people", "/log", "/today", "/timesheets", "/timesheets/day", "/exports/log?format=json", "/exports/timesheet?format=json"])
def test_pages_filter_by_site_and_department(company: Desk, page: str) -> None:
    browser, mark = company.browser("hr"), "&" if "?" in page else "?"

    def names(query: str) -> set[str]:
        answer = browser.get(f"{page}{mark}{query}")
        assert answer.status_code == 200
        main = answer.text.partition("<main")[2] or answer.text
        return set(re.findall("Ada Kern|Bob Lind|Cyd Moor", main))

    of_device = page in ("/log", "/exports/log?format=json")  # there the site is that of the device
    assert names("") == {"Ada Kern", "Bob Lind", "Cyd Moor"}
    assert names(f"site={NORTH}") == {"Ada Kern"} | (set() if of_device else {"Cyd Moor"})
    assert names("department=assembly") == {"Ada Kern", "Cyd Moor"}
    assert names(f"site={SOUTH}&department=Assembly") == {"Cyd Moor"} and names("site=nowhere") <= {"Cyd Moor"}


def test_a_terminal_shows_no_filters_of_a_company(desk: Desk) -> None:
    text = desk.browser("hr").get("/people").text
    assert 'name="site"' not in text and 'name="department"' not in text


def test_health_shows_every_device_and_a_fault_is_accepted_by_an_admin(company: Desk) -> None:
    text = company.browser("hr").get("/health").text
    assert "Gate A" in text and "punches are not sent from row 5 on" in text and "Accept and go on" not in text
    admin = company.browser("admin")
    assert admin.post("/health/accept", "/health", {"device": "id of Gate A"}).status_code == 404
    assert admin.post("/health/accept", "/health", {"device": "id of Gate B"}).status_code == 303
    with company.store() as store, store.reading() as db:
        assert db.execute("SELECT kind, key FROM fleet_changes WHERE kind = 'accept'").fetchall() == [("accept", "id of Gate B")]
        details = db.execute("SELECT details FROM audit WHERE action = ?", [Action.FLEET_FAULT_ACCEPTED.value]).fetchone()[0]
    assert json.loads(details) == {"device": "id of Gate B", "rows": [["punches", 5, "fork"]]}


@pytest.mark.parametrize(
    ("more", "level", "words"),
    [
        ({}, "good", ""),
        ({"ago": 300.0}, "warn", "not heard of for 5 min"),
        ({"ago": 7200.0}, "bad", "not heard of for 2 h"),
        ({"health": {"camera": "frozen"}}, "bad", "camera: frozen picture"),
        ({"health": {"clock_ahead": -90.0}}, "bad", "its clock is 90 s behind"),
        ({"health": {"clock_set": False}}, "warn", "its clock is not synchronised"),
        ({"health": {"waiting": 900}}, "warn", "900 rows wait to be sent"),
        ({"erasures_open": 2}, "warn", "2 erasures not confirmed yet"),
        ({"faults": FORK}, "bad", "punches are not sent from row 5 on: it goes on differently from what was sent before, as after a restored back-up"),
        ({"faults": FORK, "revoked_at": "2026-09-01T00:00:00+00:00"}, "off", ""),
        ({"health": None, "joined_at": None, "last_seen": None}, "off", ""),
    ],
)
def test_what_is_wrong_with_a_device(more: dict[str, Any], level: str, words: str) -> None:
    row = told("Gate", NORTH, **{key: value for key, value in more.items() if value is not None})
    state = DeviceState({**row, **{key: None for key, value in more.items() if value is None}}, START)
    assert (state.level, "; ".join(found for _, found in state.problems)) == (level, words)


def test_trouble_comes_first(company: Desk) -> None:
    with company.store() as store, store.reading() as db:
        assert [one.name for one in devices(db, START)] == ["Gate B", "Gate A"]


def test_a_desk_has_no_kiosk_and_takes_no_pictures(company: Desk) -> None:
    paths = {page.path for page in pages(desk=True)}
    assert not any(path.startswith("/kiosk") or path.startswith("/people/bulk") for path in paths) and "/people" in paths
    text = company.browser("admin").get("/people/1").text
    assert 'type="file"' not in text and "/pictures" not in text and "May enter at" in text


def test_a_person_gets_a_department_and_more_sites(company: Desk) -> None:
    browser = company.browser("hr")
    fields = {"name": "Ada Kern", "code": "E1", "department": "Logistics", "site": [SOUTH, "unknown"]}
    assert browser.post("/people/1", "/people/1", fields).status_code == 303
    with company.store() as store, store.reading() as db:
        assert places(db)[1] == Belonging((NORTH, SOUTH), "Logistics") and groups(db).departments == ("Assembly", "Logistics")
        assert Selection(SOUTH).members(db) == {1, 2, 3}
    assert browser.post("/people/1", "/people/1", {**fields, "department": "x" * 101}).status_code == 400


def test_a_department_is_a_plain_text(desk: Desk) -> None:
    with desk.store() as store, refused("store.text"):
        set_place(store, store.add_person("Ada").id, Belonging(None, "a\nb"))


def test_two_records_are_merged_at_a_desk_without_keys(company: Desk) -> None:
    assert company.browser("hr").post("/people/1/merge", "/people/1", {"other": "E2"}).status_code == 303
    with company.store() as store:
        assert not store.person("E2").active and store.keys.everyone() == {}
        assert store.last_punch(1) == LastPunch(START - 600, "in")


def test_one_face_under_two_names_is_decided_by_hr(company: Desk) -> None:
    with company.store() as store, store.transaction() as db:
        uuids = [row[0] for row in db.execute("SELECT uuid FROM people WHERE id <= 2")]
        findings.tell(db, *uuids, 0.71, "Gate A")
    assert "One face, two names" not in company.browser("viewer").get("/people").text
    browser = company.browser("hr")
    text = browser.get("/people").text
    assert "One face, two names" in text and "score 0.71" in text and "merge into Ada Kern" in text
    assert browser.post("/people/two", "/people", {"key": findings.key_of(*uuids)}).status_code == 303
    assert "One face, two names" not in browser.get("/people").text
    assert browser.post("/people/two", "/people", {"key": "x"}).status_code == 400


def test_health_of_a_terminal_tells_of_the_exchange(desk: Desk) -> None:
    assert "Other doors" not in desk.browser("hr").get("/health").text
    with desk.store() as store, store.transaction() as db:
        db.execute("INSERT INTO fleet VALUES (?, ?)", [MEMBERSHIP, as_json(Membership("f", "Gate A", "Plant north", "h", 1, "d", "disable", "", "r", "d"))])
        db.execute("INSERT INTO fleet VALUES ('trouble', 'the database cannot be reached: no route'), ('fault.punches', 'gap')")
    text = desk.browser("hr").get("/health").text
    assert "the database cannot be reached: no route; never connected yet" in text and "Punches not sent" in text




def test_the_kiosk_says_since_when_it_has_not_heard_of_the_other_doors() -> None:
    live = Live(now=lambda: START)
    assert live.view().alone == ""
    for ago, trouble, said in ((500.0, "", False), (60.0, "no route", False), (500.0, "no route", True)):
        live.fleet = Link(START - ago, trouble)
        assert live.view().alone == (datetime.fromtimestamp(START - 500).strftime("%H:%M") if said else "")
