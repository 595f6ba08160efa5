"""Overtime that counts once it is approved, accounts that are carried, and what a lock keeps of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from device.attendance import overtime
from device.attendance.accounts import Booking, Statement, amount_from, book, grant, statement
from device.attendance.law_report import report
from device.attendance.leave import LeaveYear, leave
from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.sheets import company_sheets, person_sheet
from device.attendance.timesheet.absences import Absence
from device.attendance.timesheet.accounting import Accounting
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site, month_days
from device.storage.audit import Action
from device.storage.store import Store
from tests.device.attendance.test_locked import punch
from tests.refused import refused

OCTOBER, NOVEMBER = month_days("2026-10"), month_days("2026-11")
NOW = datetime(2026, 12, 15, 12, tzinfo=ZoneInfo("UTC")).timestamp()
AS_OF = int(NOW // 60)
RULES = Accounting(overtime_approval="yes")
SITE = Site("Europe/Berlin", accounting=RULES)
OFFICE = Shift("office", time(8), time(17), 60)
WORKDAYS = [day for day in OCTOBER if day.weekday() < 5]


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


def test_many_days_are_approved_together_or_not_at_all(store: Store) -> None:
    """The second day has been approved by nobody where the third cannot be, and the refusal is noted."""
    with store.transaction() as db:
        db.execute("INSERT INTO users (id, login, role, password_hash, must_change, created_at, person_id) VALUES (7, 'ann', 'hr', '', 0, 0, 1)")
    rows = "SELECT count(*) FROM overtime_approvals"
    for days, by, code in (
        ([(1, OCTOBER[0]), (99, OCTOBER[0])], "test", "store.nobody"), ([(2, OCTOBER[0]), (1, OCTOBER[0])], "user:7", "correction.own_times"),
    ):  # fmt: skip
        with refused(code):
            overtime.approve_days(store, days, by, NOW)
    Desk(store, NOW).lock(OCTOBER[7], OCTOBER[13], "boss")
    with refused("store.period_locked"):
        overtime.approve_days(store, [(1, OCTOBER[0]), (1, OCTOBER[7])], "test", NOW)
    with store.reading() as db:
        assert db.execute(rows).fetchone()[0] == 0
        assert [row[0] for row in db.execute("SELECT action FROM audit WHERE action = ?", [Action.APPROVAL_DENIED])] == [Action.APPROVAL_DENIED]
    assert overtime.approve_days(store, [(1, OCTOBER[0]), (1, OCTOBER[1])], "test", NOW)[0] == 60


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


def booked(store: Store, day: date, minutes: int, kind: str = "opening", person: int = 1, account: str = "time") -> int:
    return book(store, Booking(0, person, account, kind, day, minutes, "a reason", "test", NOW))


def of(store: Store, days: list[date], person: int = 1) -> Statement | None:
    with store.reading() as db:
        return statement(db, person, days, AS_OF)


def plain(store: Store, **rules: object) -> None:
    """Overtime counts as it is worked."""
    Planning(store).set_site(Site("Europe/Berlin", accounting=Accounting(**rules)), "test")  # type: ignore[arg-type]


def test_an_account_is_carried_over(store: Store) -> None:
    """Ann has 10:00 on 1 October, works 2:30 more in October, is absent for the 21 working days of November, and is paid 5:00."""
    plain(store)
    assert of(store, OCTOBER) is None
    booked(store, OCTOBER[0], 600)
    booked(store, OCTOBER[20], -300, "payout")
    missing = -21 * 480
    assert of(store, OCTOBER) == Statement(600, 150, -300) and of(store, NOVEMBER) == Statement(450, missing, 0)
    assert of(store, OCTOBER[:10]) == Statement(600, 60, 0)  # two Thursdays of an hour, two Fridays less half an hour
    assert of(store, month_days("2026-09")) is None and of(store, OCTOBER, 2) is None
    whole, parts = of(store, [*OCTOBER, *NOVEMBER]), [of(store, days) for days in (OCTOBER[:7], OCTOBER[7:], NOVEMBER)]
    assert whole == Statement(600, 150 + missing, -300)
    assert whole.earned == sum(part.earned for part in parts if part)
    assert all(one.after == two.before for one, two in zip(parts, parts[1:], strict=False) if one and two)


def test_the_site_says_since_when_there_are_accounts(store: Store) -> None:
    plain(store, account_since=OCTOBER[7])
    assert of(store, OCTOBER) == Statement(0, 150 - 30, 0)  # the first Thursday and Friday of October lie before it
    booked(store, OCTOBER[14], 1000)  # an opening balance takes the place of what was there
    assert of(store, OCTOBER) == Statement(0, 90, 1000) and of(store, OCTOBER[14:]) == Statement(1000, 90, 0)


def test_only_approved_overtime_is_earned(store: Store) -> None:
    booked(store, OCTOBER[0], 0)
    assert of(store, OCTOBER) == Statement(0, -150, 0)
    overtime.approve(store, 1, OCTOBER[0], "test", NOW)
    assert of(store, OCTOBER) == Statement(0, -90, 0)


def test_a_locked_account_never_changes(store: Store) -> None:
    """Neither later rules, plans, bookings nor the account's begin change what was carried; what follows goes on from there."""
    plain(store)
    booked(store, OCTOBER[0], 600)
    Desk(store, NOW).lock(OCTOBER[0], OCTOBER[-1], "boss")
    before, after = of(store, OCTOBER), of(store, NOVEMBER)
    assert before == Statement(600, 150, 0) and after is not None and after.before == 750
    for kind, day in (("opening", OCTOBER[0]), ("correction", OCTOBER[20]), ("payout", date(2026, 9, 1))):
        with refused("store.period_locked"):
            booked(store, day, 60, kind)
    plain(store, overtime_least=240, overtime_approval="yes", account_since=date(2026, 1, 1))
    punch(store, OCTOBER[20], "20:00", "in")
    punch(store, OCTOBER[20], "23:00", "out")
    assert of(store, OCTOBER) == before and of(store, OCTOBER[3:5]) == Statement(600 + 30, 0, 0)
    assert of(store, NOVEMBER) == after
    booked(store, NOVEMBER[5], 30, "correction")
    assert of(store, NOVEMBER) == replace(after, booked=30)
    Desk(store, NOW).lift(1, "boss")
    changed = of(store, OCTOBER)
    assert changed is not None and changed != before


def test_a_mistaken_booking_is_refused(store: Store) -> None:
    for account, kind, amount, code in (("time", "gift", 1, "store.booking"), ("money", "payout", 1, "store.booking"), ("time", "payout", 0, "store.booking")):
        with refused(code):
            booked(store, OCTOBER[0], amount, kind, account=account)
    with refused("store.booking", "too large"):
        booked(store, OCTOBER[0], 10**9, "payout")
    with refused("store.nobody"):
        booked(store, OCTOBER[0], 60, person=9)
    with store.transaction() as db:
        db.execute("INSERT INTO users (id, login, role, password_hash, must_change, created_at, person_id) VALUES (7, 'ann', 'hr', '', 0, 0, 1)")
    with refused("correction.own_times"):
        book(store, Booking(0, 1, "time", "correction", OCTOBER[0], 60, "for me", "user:7", NOW))
    assert [amount_from("time", text) for text in ("-2:30", "+1", "0:05")] == [-150, 60, 5]
    assert [amount_from("leave", text) for text in ("-2.5", "30", "0,25")] == [-250, 3000, 25]
    with refused("timesheet.text"):
        amount_from("leave", "many")


def of_year(store: Store, year: int, today: date) -> LeaveYear | None:
    with store.reading() as db:
        return leave(db, 1, year, today)


def test_leave_is_carried_taken_and_planned(store: Store) -> None:
    """From Thursday 29 October to Sunday 8 November seven working days, one of them a holiday; half a day in December, and two weekend days."""
    planning = Planning(store)
    assert of_year(store, 2026, OCTOBER[0]) is None
    booked(store, date(2026, 1, 1), 3000, "entitlement", account="leave")
    booked(store, date(2026, 2, 1), 150, "carried", account="leave")
    planning.add_absence(1, Absence(OCTOBER[28], NOVEMBER[7], "vacation"), "test")
    planning.set_holiday(NOVEMBER[1], "All Souls", "test")
    planning.add_absence(1, Absence(date(2026, 12, 1), date(2026, 12, 1), "vacation", "first"), "test")
    planning.add_absence(1, Absence(date(2026, 12, 5), date(2026, 12, 6), "vacation"), "test")
    planning.add_absence(1, Absence(date(2026, 12, 8), date(2026, 12, 8), "vacation", None, time(8), time(10)), "test")
    planning.add_absence(1, Absence(date(2026, 12, 9), date(2026, 12, 9), "sick"), "test")
    assert of_year(store, 2026, OCTOBER[29]) == LeaveYear(2026, 0, 3150, 200, 400 + 50 + 25)
    year = of_year(store, 2026, date(2026, 12, 31))
    assert year == LeaveYear(2026, 0, 3150, 675, 0) and year.left == 2475
    assert of_year(store, 2027, date(2027, 1, 1)) == LeaveYear(2027, 2475, 0, 0, 0)
    booked(store, date(2027, 3, 31), -475, "forfeited", account="leave")
    assert grant(store, [1, 2], 2027, 2800, "test", NOW) == (2, 0) and grant(store, [1, 2], 2027, 2800, "test", NOW) == (0, 2)
    assert of_year(store, 2027, date(2027, 1, 1)) == LeaveYear(2027, 2475, 2800 - 475, 0, 0)


def test_flags_of_the_law(store: Store) -> None:
    """Monday from 08:00 to 20:30 without a punched break, Tuesday from 06:00; the same hours are worked whatever the law says."""
    monday = NOVEMBER[1]
    for day, start, end in ((monday, "08:00", "20:30"), (monday + timedelta(days=1), "06:00", "11:00"), (NOVEMBER[7], "10:00", "12:00")):
        punch(store, day, start, "in", 2)
        punch(store, day, end, "out", 2)
    plain(store)
    before = person_sheet(store, 2, NOVEMBER, AS_OF)[1]
    with store.reading() as db:
        assert report(db, [1, 2], NOVEMBER, AS_OF) == []
    plain(store, law="de")
    after = person_sheet(store, 2, NOVEMBER, AS_OF)[1]
    assert [day.flags for day in after.days[1:3]] == [("over 10 h",), ("rest below 11 h",)] and after.days[7].flags == ("Sunday or holiday",)
    assert person_sheet(store, 2, NOVEMBER[2:3], AS_OF)[1].days[0] == after.days[2]
    hours = [[(day.worked_minutes, day.balance_minutes, day.spans) for day in found.days] for found in (before, after)]
    assert hours[0] == hours[1]
    with store.reading() as db:
        found = report(db, [1, 2], NOVEMBER, AS_OF)
    assert [(one.person_id, [flag for _, flag in one.days]) for one in found] == [(2, ["over 10 h", "rest below 11 h", "Sunday or holiday"])]
    assert found[0].average == (690 + 240 + 120) // 24 and not found[0].too_much
    plain(store, law="eu")
    assert [day.flags for day in person_sheet(store, 2, NOVEMBER, AS_OF)[1].days[1:3]] == [(), ("rest below 11 h",)]
    Desk(store, NOW).lock(NOVEMBER[2], NOVEMBER[-1], "boss")
    plain(store)
    assert [day.flags for day in person_sheet(store, 2, NOVEMBER, AS_OF)[1].days[1:3]] == [(), ("rest below 11 h",)]
