"""One's own times at the kiosk: with code and PIN, for a minute, and never somebody else's."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from device.attendance.planning import Planning
from device.attendance.review import Desk as Locks
from device.attendance.timesheet.worksite import Site
from device.storage.store import PunchDraft
from device.system.clock import ClockState
from device.web.access import pins
from device.web.access.kiosk_sessions import IDLE_SECONDS, MOST, Tickets
from device.web.messages import Messages
from tests.device.web.conftest import START, Browser, Clock, Desk

PIN = "270819"
ASKED = {"day": "2026-09-20", "target": "punch:2", "direction": "out", "hour": "17", "minute": "05", "next_day": "", "reason": "pressed", "action": "replace"}


def at(clock: str) -> float:
    return datetime.fromisoformat(f"2026-09-20T{clock}").replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()


@pytest.fixture
def staffed(desk: Desk) -> Desk:
    """Ann with a PIN, in 08:00 and out 19:00 yesterday; Ben, in 09:00."""
    with desk.store() as store:
        Planning(store).set_site(Site("Europe/Berlin"), "test")
        for name, code in (("Ann", "E1"), ("Ben", "E2")):
            store.add_person(name, code)
        pins.set_pin(store, 1, PIN)
        for person, clock, direction in ((1, "08:00", "in"), (1, "19:00", "out"), (2, "09:00", "in")):
            store.record_punch(PunchDraft(person, at(clock), direction, "door", "manual", ClockState(True, "boot", 1)))  # type: ignore[arg-type]
    return desk


def signed_in(desk: Desk) -> Browser:
    browser = desk.browser()
    assert browser.post("/kiosk/own", "/kiosk/own", {"code": "E1", "pin": PIN}).headers["location"] == "/kiosk/own"
    return browser


def ask(browser: Browser, **changed: str) -> Any:
    return browser.post("/kiosk/own/correct", "/kiosk/own/correct?day=2026-09-20", {**ASKED, **changed})


def test_asked_at_the_kiosk_approved_at_the_desk(staffed: Desk) -> None:
    ann = signed_in(staffed)
    days = ann.get("/kiosk/own").text
    assert "Ann" in days and "08:00" in days and "19:00" in days and "11:00" in days and "09:00" not in days  # 11 hours; nothing of Ben
    assert ask(ann).status_code == 303
    assert "1 request waits for HR" in ann.get("/kiosk/own").text and "11:00" in ann.get("/kiosk/own").text  # nothing counts yet
    hr = staffed.browser("hr")
    page = hr.get("/corrections/1").text
    assert "17:05" in page and "Recorded by mistake" in page and "Ann" in page
    assert hr.post("/corrections/1/decision", "/corrections/1", {"decision": "approve"}).status_code == 303
    after = ann.get("/kiosk/own").text
    assert "17:05" in after and "9:05" in after and "19:00" not in after and "Waiting" not in after
    with staffed.store() as store:
        assert [punch.occurred_at for punch in store.punches(person_id=1)] == [at("08:00"), at("19:00")]  # as recorded
        with store.reading() as db:
            assert db.execute("SELECT actor FROM audit WHERE action = 'correction requested'").fetchall() == [("person:1",)]


def test_a_punch_is_added_for_the_day_after(staffed: Desk) -> None:
    ann = signed_in(staffed)
    assert ask(ann, target="new", hour="01", minute="30", next_day="1", reason="forgotten").status_code == 303
    with staffed.store() as store, store.reading() as db:
        found = db.execute("SELECT punch_id, occurred_at, reason FROM correction_requests").fetchone()
    assert found == (None, round((at("01:30") + 86400) * 1000), "Forgotten")


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"target": "punch:3"}, "own.no_choice"),  # Ben's
        ({"target": "punch:x"}, "own.no_choice"),
        ({"direction": "sideways"}, "own.no_choice"),
        ({"hour": "24"}, "own.no_choice"),
        ({"reason": "because"}, "own.no_choice"),
        ({"target": "new", "action": "remove"}, "own.no_choice"),
        ({"hour": "19", "minute": "00"}, "own.same"),
    ],
)
def test_what_cannot_be_asked_for_is_said_in_the_kiosks_language(staffed: Desk, changed: dict[str, str], said: str, language: str) -> None:
    ann = signed_in(staffed)
    ann.post("/kiosk/language", "/kiosk", {"language": language})
    answer = ask(ann, **changed)
    problem = answer.text.partition('role="alert">')[2].partition("<")[0]
    assert answer.status_code == 400 and problem == Messages.load(language).text(said)
    with staffed.store() as store, store.reading() as db:
        assert db.execute("SELECT count(*) FROM correction_requests").fetchone()[0] == 0


def test_a_day_that_is_settled_is_for_hr(staffed: Desk) -> None:
    with staffed.store() as store:
        Locks(store, staffed.clock.now).lock(date(2026, 9, 1), date(2026, 9, 20), "Hr")
    ann = signed_in(staffed)
    ann.post("/kiosk/language", "/kiosk", {"language": "de"})
    assert Messages.load("de").text("own.locked") in ask(ann).text


def test_guessing_a_pin_is_slow(staffed: Desk) -> None:
    browser = staffed.browser()
    for _ in range(5):
        assert browser.post("/kiosk/own", "/kiosk/own", {"code": "E1", "pin": "111222"}).status_code == 403
    assert browser.post("/kiosk/own", "/kiosk/own", {"code": "E1", "pin": PIN}).status_code == 429


def test_without_code_and_pin_there_is_nothing_to_see(staffed: Desk) -> None:
    stranger = staffed.browser()
    assert "Ann" not in stranger.get("/kiosk/own").text
    assert stranger.get("/kiosk/own/correct?day=2026-09-20").headers["location"] == "/kiosk/own"
    assert stranger.post("/kiosk/own/correct", "/kiosk/own", ASKED).headers["location"] == "/kiosk/own"


def test_who_walks_away_or_is_done_is_forgotten(staffed: Desk) -> None:
    ann = signed_in(staffed)
    staffed.clock.now += IDLE_SECONDS + 1
    assert "Ann" not in ann.get("/kiosk/own").text
    ann = signed_in(staffed)
    assert ann.post("/kiosk/own/end", "/kiosk/own").headers["location"] == "/kiosk"
    assert "Ann" not in ann.get("/kiosk/own").text


def test_who_is_deactivated_meanwhile_is_out(staffed: Desk) -> None:
    ann = signed_in(staffed)
    with staffed.store() as store:
        store.deactivate(1)
    assert "Ann" not in ann.get("/kiosk/own").text


def test_a_ticket_lasts_while_it_is_used_and_the_clock_goes_forward() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    token = tickets.give(7)
    for _ in range(5):
        clock.now += IDLE_SECONDS - 1
        assert tickets.find(token) == 7
    clock.now -= 3600
    assert tickets.find(token) is None and tickets.find("") is None
    held = [tickets.give(person) for person in range(MOST + 1)]
    assert tickets.find(held[0]) is None and tickets.find(held[-1]) == MOST and clock.now < START
