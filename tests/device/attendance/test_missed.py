"""Missing punches and undecided requests as open matters: found, kept over days, settled by corrections, locks and erasures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from device.attendance.missed import EVERY_SECONDS, KINDS, OLDEST_DAYS, Missed
from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site
from device.storage.corrections import CorrectionDraft
from device.storage.matters import note
from device.storage.records import LastPunch
from device.storage.store import Store
from tests.device.attendance.test_today import DAY, Clock, at, punch

NEXT = DAY + timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Ann and Bob work from 8 to 16; Ann forgot to check out on DAY, Bob did not."""
    with Store.open(tmp_path / "clockface.db") as opened:
        planning = Planning(opened)
        planning.set_site(Site("Europe/Berlin"), "test")
        plan = planning.add_plan("day", [planning.add_shift(Shift("day", minutes=480), "test")], date(2026, 11, 2), "test")
        for name in ("Ann", "Bob"):
            planning.assign(opened.add_person(name, name[0]).id, plan, date(2026, 11, 1), "test")
        punch(opened, 1, "08:00", "in")
        punch(opened, 2, "08:00", "in")
        punch(opened, 2, "16:00", "out")
        yield opened


def look(store: Store, watching: Missed, clock: Clock, now: float) -> list[str]:
    """The keys of what is open, noted as the terminal does it."""
    clock.now = now
    found = watching.look(store)
    with store.transaction() as db:
        note(db, KINDS, found, int(now * 1000))
    return sorted(one.key for one in found)


def add_out(store: Store, day: date = DAY) -> None:
    store.correct(1, None, LastPunch(at("16:00", day), "out"), "forgot", "hr")


def test_a_forgotten_check_out_is_open_until_a_correction_settles_it(store: Store) -> None:
    clock = Clock(0)
    watching = Missed(clock)
    assert look(store, watching, clock, at("17:00")) == [], "it may still come"
    key = f"missed:1:{DAY}"
    assert look(store, watching, clock, at("10:00", NEXT)) == [key]
    assert look(store, watching, clock, at("10:01", NEXT + timedelta(days=5))) == [key], "an older day stays"
    assert look(store, Missed(clock), clock, at("10:02", NEXT + timedelta(days=5))) == [key], "and after a restart"
    add_out(store)
    assert look(store, watching, clock, at("10:03", NEXT + timedelta(days=5))) == [], "at once, not after the hour"


def test_a_day_that_passed_while_the_terminal_was_off_is_found(store: Store) -> None:
    clock = Clock(0)
    assert look(store, Missed(clock), clock, at("12:00")) == []
    assert look(store, Missed(clock), clock, at("07:00", DAY + timedelta(days=4))) == [f"missed:1:{DAY}"]


def test_what_was_before_the_first_look_is_not_told(store: Store) -> None:
    clock = Clock(0)
    assert look(store, Missed(clock), clock, at("07:00", DAY + timedelta(days=4))) == []


def test_a_lock_an_erasure_and_age_end_it(store: Store) -> None:
    clock = Clock(0)
    watching, key = Missed(clock), f"missed:1:{DAY}"
    late = at("10:00", DAY + timedelta(days=3))
    look(store, watching, clock, at("12:00"))
    assert look(store, watching, clock, late) == [key]
    desk = Desk(store, late)
    lock = desk.lock(DAY, DAY, "hr")
    assert look(store, watching, clock, late + 60) == []
    desk.lift(lock.id, "hr")
    assert look(store, watching, clock, late + EVERY_SECONDS + 120) == [], "a day before yesterday is not searched again"
    punch(store, 2, "09:00", "in", DAY + timedelta(days=3))
    key = f"missed:2:{DAY + timedelta(days=3)}"
    assert look(store, watching, clock, at("10:00", DAY + timedelta(days=4))) == [key]
    assert look(store, watching, clock, at("10:00", DAY + timedelta(days=3 + OLDEST_DAYS))) == [key]
    assert look(store, watching, clock, at("10:00", DAY + timedelta(days=4 + OLDEST_DAYS))) == []


def test_nobody_is_named_who_was_erased(store: Store) -> None:
    clock = Clock(0)
    watching = Missed(clock)
    look(store, watching, clock, at("12:00"))
    store.erase(1)
    assert look(store, watching, clock, at("10:00", NEXT)) == []


def test_requests_are_open_until_they_are_decided(store: Store) -> None:
    clock = Clock(0)
    watching = Missed(clock)
    desk = Desk(store, at("17:00"))
    request = desk.request(CorrectionDraft(1, None, None, LastPunch(at("16:00"), "out"), "forgot"), "person:1")
    assert look(store, watching, clock, at("17:00")) == [f"request:{request.id}"]
    desk.decide(request.id, False, "hr")
    assert look(store, watching, clock, at("17:01")) == []
