"""Four eyes are those of two people, however many logins and PINs they have."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from device.attendance.planning import Planning
from device.attendance.review import Desk as Review
from device.attendance.timesheet.worksite import Site
from device.commands import users as command
from device.maintenance.people_check import check_logins
from device.storage.corrections import CorrectionDraft
from device.storage.records import LastPunch
from device.storage.store import PunchDraft
from device.system.clock import ClockState
from device.web.access import accounts, pins
from tests.device.web.conftest import START, Desk
from tests.refused import refused

PIN = "270819"
ANN, EVE = 1, 2
HR, ADMIN = 3, 4  # users
DAY = 86400.0


@pytest.fixture
def office(desk: Desk) -> Desk:
    """Ann, and Eve who is the HR login, each with a punch."""
    with desk.store() as store:
        Planning(store).set_site(Site("Europe/Berlin"), "test")
        for name, code in (("Ann", "E1"), ("Eve", "E2")):
            person = store.add_person(name, code)
            store.record_punch(PunchDraft(person.id, START - DAY, "in", "door", "manual", ClockState(True, "boot", 1)))
        accounts.set_owner(store, HR, EVE)
    return desk


def asked(desk: Desk, person: int, by: str) -> int:
    with desk.store() as store:
        draft = CorrectionDraft(person, None, None, LastPunch(START - DAY + 3600, "out"), "forgotten")
        return Review(store, desk.clock.now).request(draft, by).id


def approved(desk: Desk, request: int, role: str = "hr") -> Any:
    return desk.browser(role).post(f"/corrections/{request}/decision", f"/corrections/{request}", {"decision": "approve"})


def denials(desk: Desk) -> list[str]:
    with desk.store() as store, store.reading() as db:
        return [row[0] for row in db.execute("SELECT json_extract(details, '$.reason') FROM audit WHERE action = 'approval denied' ORDER BY id")]


def test_an_hr_login_does_not_approve_what_it_asked_for_at_the_kiosk(office: Desk) -> None:
    """The attack itself: Eve gives herself a PIN, asks with it at the kiosk, approves at the desk."""
    hr = office.browser("hr")
    page = hr.post(f"/people/{EVE}/pin", f"/people/{EVE}").text
    pin = page.partition('class="secret"><code>')[2].partition("<")[0]
    kiosk = office.browser()
    assert kiosk.post("/kiosk/own", "/kiosk/own", {"code": "E2", "pin": pin}).headers["location"] == "/kiosk/own"
    form = {"day": "2026-09-20", "target": "new", "direction": "out", "hour": "17", "minute": "05", "next_day": "", "reason": "forgotten", "action": "replace"}
    assert kiosk.post("/kiosk/own/correct", "/kiosk/own/correct?day=2026-09-20", form).status_code == 303
    assert "disabled" in hr.get("/corrections/1").text
    assert approved(office, 1).status_code == 400
    assert denials(office) == ["correction.own"]
    assert approved(office, 1, "admin").status_code == 303  # somebody else's login


def test_nobody_approves_their_own_times_whoever_asked(office: Desk) -> None:
    assert approved(office, asked(office, EVE, f"user:{ADMIN}")).status_code == 400
    assert denials(office) == ["correction.own_times"]


def test_two_logins_of_one_person_are_two_eyes(office: Desk) -> None:
    with office.store() as store:
        accounts.set_owner(store, ADMIN, EVE)
    request = asked(office, ANN, f"user:{HR}")
    assert approved(office, request, "admin").status_code == 400
    with office.store() as store:
        accounts.set_owner(store, ADMIN, None)
    assert approved(office, request, "admin").status_code == 303
    assert denials(office) == ["correction.own"]


@pytest.mark.parametrize(("days", "status"), [(0.0, 400), (6.9, 400), (7.1, 303)])
def test_a_pin_asks_for_nothing_that_its_issuer_approves(office: Desk, days: float, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.storage.store.time.time", lambda: START)
    with office.store() as store:
        store.act_as(f"user:{HR}")
        pins.set_pin(store, ANN, PIN)
    office.clock.now += days * DAY
    request = asked(office, ANN, f"person:{ANN}")
    assert approved(office, request).status_code == status
    assert denials(office) == (["correction.own_pin"] if status == 400 else [])
    if status == 400:
        assert approved(office, request, "admin").status_code == 303


def test_a_login_whose_person_is_not_known_approves_nothing(office: Desk) -> None:
    with office.store() as store, store.transaction() as db:
        db.execute("UPDATE users SET person_id = NULL, elsewhere = 0 WHERE id = ?", [HR])
    request = asked(office, ANN, f"person:{ANN}")
    answer = approved(office, request)
    assert answer.status_code == 400 and "Users and roles" in answer.text and denials(office) == ["correction.no_person"]
    with office.store() as store:
        accounts.set_owner(store, HR, None)
    assert approved(office, request).status_code == 303


def test_an_administrator_sees_which_logins_approve_nothing_yet(office: Desk) -> None:
    """As after an update from a version that did not ask: on every page, at the corrections and in `doctor`."""
    with office.store() as store, store.transaction() as db:
        db.execute("UPDATE users SET person_id = NULL, elsewhere = 0")
    admin, hr = office.browser("admin"), office.browser("hr")
    page = admin.get("/corrections").text
    assert "admin, hr" in page and re.search(r'href="/users".*<span class="badge warn"[^>]*>2</span>', page)
    assert 'class="problem"' not in hr.get("/corrections").text  # only an administrator can say it
    found = check_logins(office.terminal.database)
    assert found.state == "warning" and "admin, hr" in found.words
    with office.store() as store:
        for number in (HR, ADMIN):
            accounts.set_owner(store, number, None)
    page = admin.get("/corrections").text
    assert 'class="problem"' not in page and not re.search(r'href="/users".*<span class="badge warn"', page)
    assert check_logins(office.terminal.database).state == "ok"


def test_a_site_without_four_eyes_asks_nothing(office: Desk) -> None:
    with office.store() as store:
        Planning(store).set_site(replace(Planning(store).site(), four_eyes=False), "test")
    assert approved(office, asked(office, EVE, f"user:{HR}")).status_code == 303


def test_refusing_is_always_possible(office: Desk) -> None:
    request = asked(office, EVE, f"user:{HR}")
    form = {"decision": "refuse"}
    assert office.browser("hr").post(f"/corrections/{request}/decision", f"/corrections/{request}", form).status_code == 303


def test_an_administrator_says_whose_a_login_is(office: Desk) -> None:
    admin = office.browser("admin")
    with office.store() as store, store.transaction() as db:
        db.execute("UPDATE users SET person_id = NULL, elsewhere = 0")
    assert "not said" in admin.get("/users").text
    for form in ({}, {"person": "E1", "elsewhere": "1"}, {"person": "nobody"}):
        assert admin.post(f"/users/{HR}/person", "/users", form).status_code == 400
    assert admin.post(f"/users/{HR}/person", "/users", {"person": "E2"}).status_code == 303
    assert admin.post(f"/users/{ADMIN}/person", "/users", {"elsewhere": "1"}).status_code == 303
    assert admin.post(f"/users/{ADMIN}/person", "/users", {"person": "E1"}).status_code == 400  # one's own, once said
    with office.store() as store:
        found = accounts.owners(store)
    assert found[HR] == accounts.Owner(EVE, "Eve", False) and found[ADMIN].elsewhere
    with office.store() as store, store.reading() as db:
        noted = db.execute("SELECT json_extract(details, '$.person_id') FROM audit WHERE action = 'user is person' AND actor = 'user:4'").fetchall()
    assert noted == [(EVE,), (None,)]


def test_the_command_says_it_too(office: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    database = ["--db", str(office.terminal.database)]
    assert command.run(parser.parse_args(["person", "admin", "E1", *database])) == 0
    with office.store() as store:
        assert accounts.owners(store)[ADMIN].name == "Ann"
    assert command.run(parser.parse_args(["person", "admin", *database])) == 0
    with office.store() as store:
        assert accounts.owners(store)[ADMIN].elsewhere
    with refused("store.nobody"):
        command.run(parser.parse_args(["person", "admin", "E77", *database]))
    assert "admin: E1" in capsys.readouterr().out
