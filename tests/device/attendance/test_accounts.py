"""Overtime that counts once it is approved, accounts that are carried, and what a lock keeps of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from device.attendance import overtime
from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.sheets import company_sheets, person_sheet
from device.attendance.timesheet.accounting import Accounting
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site, month_days
from device.storage.audit import Action
from device.storage.records import Direction
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from tests.refused import refused

OCTOBER, NOVEMBER = month_days("2026-10"), month_days("2026-11")
NOW = datetime(2026, 12, 15, 12, tzinfo=ZoneInfo("UTC")).timestamp()
AS_OF = int(NOW // 60)
RULES = Accounting(overtime_approval="yes")
SITE = Site("Europe/Berlin", accounting=RULES)
OFFICE = Shift("office", time(8), time(17), 60)
WORKDAYS = [day for day in OCTOBER if day.weekday() < 5]


def punch(store: Store, day: date, clock: str, direction: Direction, person: int = 1) -> None:
    at = datetime.combine(day, time.fromisoformat(clock), ZoneInfo("Europe/Berlin")).timestamp()
    store.record_punch(PunchDraft(person, at, direction, "door", "manual", ClockState(True, "boot", 1)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Ann and Bob have office hours from October on; Ann works an hour more on each Thursday of October, and leaves half an hour early on Fridays."""
    with Store.open(tmp_path / "clockface.db") as store:
        planning = Planning(store)
        planning.set_site(SITE, "test")
        for number, name in enumerate(("Ann", "Bob"), 1):
            store.add_person(name, f"E{number}")
        plan = planning.add_plan("office", [planning.add_shift(OFFICE, "test")] * 5 + [None, None], date(2026, 10, 5), "test")
        for person in (1, 2):
            planning.assign(person, plan, OCTOBER[0], "test")
        for day in WORKDAYS:
            punch(store, day, "08:00", "in")
            punch(store, day, {3: "18:00", 4: "16:30"}.get(day.weekday(), "17:00"), "out")
        yield store


def counting(store: Store, days: list[date] = OCTOBER) -> int:
    return sum(day.counting_minutes for day in person_sheet(store, 1, days, AS_OF)[1].days)


def test_overtime_counts_once_it_is_approved(store: Store) -> None:
    """Five Thursdays and five Fridays: -2:30 without approval, +2:30 with it."""
    sheets = company_sheets(store, OCTOBER, AS_OF)[1]
    waiting = overtime.waiting(sheets)
    assert [(person, day.day.weekday(), day.overtime_minutes) for person, day in waiting] == [(1, 3, 60)] * 5 and counting(store) == -150
    assert overtime.approve(store, 1, OCTOBER[0], "test", NOW) == 60 and counting(store) == -90
    assert overtime.approve(store, 1, OCTOBER[0], "test", NOW, 20) == 20 and counting(store) == -130
    assert overtime.approve(store, 1, OCTOBER[0], "test", NOW, 0) == 0 and counting(store) == -150
    for _, day in waiting:
        overtime.approve(store, 1, day.day, "test", NOW)
    assert counting(store) == 150 and not overtime.waiting(company_sheets(store, OCTOBER, AS_OF)[1])
    with refused("store.overtime", "expected 0 to 60"):
        overtime.approve(store, 1, OCTOBER[0], "test", NOW, 61)
    Planning(store).set_site(replace(SITE, accounting=Accounting()), "test")
    assert counting(store) == 150 and not overtime.waiting(company_sheets(store, OCTOBER, AS_OF)[1])


def test_what_a_correction_adds_is_not_approved(store: Store) -> None:
    overtime.approve(store, 1, OCTOBER[0], "test", NOW)
    punch(store, OCTOBER[0], "19:00", "in")
    punch(store, OCTOBER[0], "20:00", "out")
    day = person_sheet(store, 1, OCTOBER[:1], AS_OF)[1].days[0]
    assert (day.overtime_minutes, day.approved_minutes, day.counting_minutes) == (180, 60, 60)  # the hour away is the break now


def test_four_eyes_hold_for_overtime(store: Store) -> None:
    """Ann may not approve her own, nor a login of whom nobody knows whose it is; the audit tells."""
    with store.transaction() as db:
        sql = "INSERT INTO users (id, login, role, password_hash, must_change, created_at, person_id, elsewhere) VALUES (?, ?, 'hr', '', 0, 0, ?, ?)"
        for values in ([7, "ann", 1, 0], [8, "unknown", None, 0], [9, "hr", None, 1]):
            db.execute(sql, values)
    for by, code in (("user:7", "correction.own_times"), ("user:8", "correction.no_person")):
        with refused(code):
            overtime.approve(store, 1, OCTOBER[0], by, NOW)
    assert overtime.approve(store, 1, OCTOBER[0], "user:9", NOW) == 60
    with store.reading() as db:
        actions = [tuple(row) for row in db.execute("SELECT actor, action FROM audit ORDER BY id DESC LIMIT 3")]
    assert actions == [("user:9", Action.OVERTIME_APPROVED), ("user:8", Action.APPROVAL_DENIED), ("user:7", Action.APPROVAL_DENIED)]
    Planning(store).set_site(replace(SITE, four_eyes=False), "test")
    assert overtime.approve(store, 1, OCTOBER[7], "user:7", NOW) == 60


def test_a_locked_period_takes_no_approval(store: Store) -> None:
    overtime.approve(store, 1, OCTOBER[0], "test", NOW)
    Desk(store, NOW).lock(OCTOBER[0], OCTOBER[-1], "boss")
    before = person_sheet(store, 1, OCTOBER, AS_OF)[1]
    assert before.totals.approved == 60
    with refused("store.period_locked"):
        overtime.approve(store, 1, OCTOBER[7], "test", NOW)
    Planning(store).set_site(Site("Europe/Berlin"), "test")
    assert person_sheet(store, 1, OCTOBER, AS_OF)[1] == before and counting(store) == -90
    for sql in ("UPDATE overtime_approvals SET minutes = 0", "DELETE FROM overtime_approvals"):
        with closing(sqlite3.connect(store.path)) as raw, pytest.raises(sqlite3.IntegrityError, match="add a new row"):
            raw.execute(sql)
