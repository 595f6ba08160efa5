"""Corrections: requested, decided and counted; locked periods, which SQL cannot change either."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlite_utils import Database

from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.sheets import company_sheets, person_sheet
from device.attendance.timesheet.absences import Absence
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site
from device.storage.corrections import CORRECTIONS, PUNCHES, CorrectionDraft
from device.storage.hash_chain import row_hash
from device.storage.records import Direction, LastPunch
from device.storage.schema import APPLICATION_ID, MIGRATIONS
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from tests.refused import refused

BERLIN = Site("Europe/Berlin")
DAY = date(2026, 11, 24)
LATER = datetime(2026, 12, 15, tzinfo=ZoneInfo("UTC")).timestamp()


def at(day: date, clock: str) -> float:
    return datetime.combine(day, time.fromisoformat(clock), ZoneInfo("Europe/Berlin")).timestamp()


def punch(store: Store, day: date, clock: str, direction: Direction, person: int = 1) -> int:
    return store.record_punch(PunchDraft(person, at(day, clock), direction, "door", "manual", ClockState(True, "boot", 1))).id


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Ann, 08:00 to 16:30 from Monday to Friday; in at 08:00 and out at 17:00 on one day."""
    with Store.open(tmp_path / "clockface.db") as store:
        store.add_person("Ann", "E1")
        planning = Planning(store)
        planning.set_site(BERLIN, "test")
        shift = planning.add_shift(Shift("day", time(8), time(16, 30), 30, break_automatic=False), "test")
        plan = planning.add_plan("weekdays", [shift] * 5 + [None, None], date(2026, 11, 2), "test")
        planning.assign(1, plan, date(2026, 11, 1), "test")
        punch(store, DAY, "08:00", "in")
        punch(store, DAY, "17:00", "out")
        yield store


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store, now=LATER)


def worked(store: Store, day: date = DAY) -> int:
    _, sheet = person_sheet(store, 1, [day], int(LATER // 60))
    return sheet.days[0].worked_minutes


def move(clock: str, punch_id: int = 2, direction: Direction = "out") -> CorrectionDraft:
    return CorrectionDraft(1, punch_id, None, LastPunch(at(DAY, clock), direction), "left earlier")


def test_a_request_changes_nothing_until_it_is_approved(store: Store, desk: Desk) -> None:
    request = desk.request(move("16:30"), "hr")
    assert (worked(store), request.state, desk.open_count()) == (540, "open", 1)
    assert request.before == LastPunch(at(DAY, "17:00"), "out") and request.draft.replacement == LastPunch(at(DAY, "16:30"), "out")
    decided = desk.decide(request.id, True, "boss", "seen")
    assert (worked(store), decided.state, decided.decided_by, decided.note, desk.open_count()) == (510, "approved", "boss", "seen", 0)
    assert decided.before == request.before  # what counted before stays visible
    assert store.punches()[1].occurred_at == at(DAY, "17:00")  # the punch itself stays
    assert all(store.verify_chain(table).ok for table in ("punches", "corrections", "audit"))


def test_a_refused_request_never_counts(store: Store, desk: Desk) -> None:
    request = desk.request(move("16:30"), "hr")
    assert desk.decide(request.id, False, "boss", "no").state == "refused"
    assert worked(store) == 540 and store.verify_chain("corrections").count == 0
    with refused("store.decided", "boss"):
        desk.decide(request.id, True, "boss")


def test_four_eyes(store: Store, desk: Desk) -> None:
    request = desk.request(move("16:30"), "hr")
    with refused("correction.own"):
        desk.decide(request.id, True, "hr")
    assert desk.decide(request.id, False, "hr").state == "refused"  # taking it back is not an approval
    Planning(store).set_site(Site("Europe/Berlin", four_eyes=False), "admin")
    assert desk.decide(desk.request(move("16:30"), "hr").id, True, "hr").state == "approved"


def test_an_added_punch_can_be_moved_and_removed(store: Store, desk: Desk) -> None:
    added = desk.decide(desk.request(CorrectionDraft(1, None, None, LastPunch(at(DAY, "18:00"), "in"), "back again"), "hr").id, True, "boss").correction_id
    ends = CorrectionDraft(1, None, None, LastPunch(at(DAY, "20:00"), "out"), "back again")
    desk.decide(desk.request(ends, "hr").id, True, "boss")
    assert worked(store) == 540 + 120
    desk.decide(desk.request(CorrectionDraft(1, None, added, LastPunch(at(DAY, "19:00"), "in"), "later"), "hr").id, True, "boss")
    assert worked(store) == 540 + 60
    taken = desk.decide(desk.request(CorrectionDraft(1, None, added, None, "not at all"), "hr").id, True, "boss")
    assert worked(store) == 540 and taken.before == LastPunch(at(DAY, "19:00"), "in")


def test_a_punch_can_be_moved_to_another_day_twice(store: Store, desk: Desk) -> None:
    other, third = DAY + timedelta(days=20), DAY - timedelta(days=20)
    for day in (other, third):
        draft = CorrectionDraft(1, 2, None, LastPunch(at(day, "17:00"), "out"), "wrong day")
        desk.decide(desk.request(draft, "hr").id, True, "boss")
    faults = {day: person_sheet(store, 1, [day], int(LATER // 60))[1].days[0].faults for day in (DAY, other, third)}
    assert faults == {DAY: ("missing out",), other: (), third: ("missing in",)}


@pytest.mark.parametrize(
    ("draft", "code", "word"),
    [
        (lambda: move("17:00"), "correction.no_change", ""),
        (lambda: move("16:30", punch_id=99), "store.no_punch", "99"),
        (lambda: CorrectionDraft(1, None, 5, None, "x"), "store.no_punch", "5"),
        (lambda: CorrectionDraft(7, 1, None, None, "x"), "store.nobody", "7"),
        (lambda: CorrectionDraft(1, None, None, None, "x"), "store.correction", "time"),
        (lambda: CorrectionDraft(1, 1, 1, None, "x"), "store.correction", "both"),
        (lambda: CorrectionDraft(1, 1, None, None, " "), "store.text", "reason"),
    ],
)
def test_invalid_requests_are_refused(desk: Desk, draft, code: str, word: str) -> None:  # type: ignore[no-untyped-def]
    with refused(code, word):
        desk.request(draft(), "hr")
    assert desk.requests() == []


@pytest.mark.parametrize("day", [date(1975, 11, 24), date(2031, 11, 24)])
def test_a_moment_that_cannot_be_is_refused(desk: Desk, day: date) -> None:
    for draft in (CorrectionDraft(1, None, None, LastPunch(at(day, "08:00"), "in"), "x"), CorrectionDraft(1, 2, None, LastPunch(at(day, "17:00"), "out"), "x")):
        with refused("correction.moment"):
            desk.request(draft, "hr")


def test_a_request_that_another_one_has_overtaken_is_not_approved(store: Store, desk: Desk) -> None:
    first, second = desk.request(move("16:30"), "hr"), desk.request(move("16:00"), "hr")
    desk.decide(first.id, True, "boss")
    with refused("correction.overtaken"):
        desk.decide(second.id, True, "boss")
    assert worked(store) == 510 and desk.decide(second.id, False, "boss").state == "refused"


def test_the_same_is_asked_for_once(store: Store, desk: Desk) -> None:
    added = CorrectionDraft(1, None, None, LastPunch(at(DAY, "18:00"), "in"), "back again")
    for draft in (move("16:30"), added):
        request = desk.request(draft, "hr")
        with refused("correction.twice", str(request.id)):
            desk.request(draft, "another")
        desk.decide(request.id, True, "boss")
        with refused("correction.no_change"):
            desk.request(draft, "another")


# locks


def test_a_locked_period_takes_no_correction(store: Store, desk: Desk) -> None:
    desk.lock(date(2026, 11, 1), date(2026, 11, 30), "boss")
    with refused("store.period_locked"):
        desk.request(move("16:30"), "hr")
    into = punch(store, date(2026, 12, 1), "12:00", "out")
    with refused("store.period_locked"):  # moved into the period
        desk.request(CorrectionDraft(1, into, None, LastPunch(at(DAY, "18:00"), "out"), "x"), "hr")
    with refused("store.period_locked"):
        store.correct(1, 2, None, "past the desk", "hr")
    desk.lift(desk.locks()[0].id, "boss")
    assert desk.request(move("16:30"), "hr").state == "open"


def test_a_lock_covers_the_night_shifts_of_its_last_day(store: Store, desk: Desk) -> None:
    """The "out" of a night shift lies in December; its hours belong to November."""
    november, december = date(2026, 11, 30), date(2026, 12, 1)
    punch(store, november, "22:00", "in")
    out = punch(store, december, "06:00", "out")
    desk.lock(date(2026, 11, 1), november, "boss")
    with refused("correction.locked", "2026-11-30"):
        desk.request(CorrectionDraft(1, out, None, LastPunch(at(december, "07:00"), "out"), "x"), "hr")
    later = punch(store, december, "22:00", "in")
    assert desk.request(CorrectionDraft(1, later, None, None, "x"), "hr").state == "open"


def test_a_period_can_be_locked_once_it_is_over_and_decided(store: Store, desk: Desk) -> None:
    with refused("store.period_open", "2026-12-31"):
        desk.lock(date(2026, 12, 1), date(2026, 12, 31), "boss")
    desk.request(move("16:30"), "hr")
    with refused("store.period_waits", "1"):
        desk.lock(date(2026, 11, 1), date(2026, 11, 30), "boss")
    desk.decide(1, False, "boss")
    desk.lock(date(2026, 11, 1), date(2026, 11, 30), "boss")
    with refused("store.period_twice", "2026-11-30"):
        desk.lock(date(2026, 11, 30), date(2026, 12, 2), "boss")


def test_plans_absence_and_holidays_do_not_change_a_locked_period(store: Store, desk: Desk) -> None:
    planning = Planning(store)
    inside = planning.add_absence(1, Absence(date(2026, 11, 2), date(2026, 11, 3), "vacation"), "hr")
    kept = planning.add_absence(1, Absence(date(2026, 11, 29), date(2026, 12, 2), "vacation"), "hr")
    desk.lock(date(2026, 11, 1), date(2026, 11, 30), "boss")
    for change in (
        lambda: planning.assign(1, None, date(2026, 11, 30), "hr"),
        lambda: planning.add_absence(1, Absence(date(2026, 11, 1), date(2026, 12, 1), "sick"), "hr"),
        lambda: planning.shorten_absence(kept, date(2026, 11, 30) - timedelta(days=1), "hr"),
        lambda: planning.cancel_absence(inside, "hr"),
        lambda: planning.set_holiday(DAY, "none", "hr"),
    ):
        with refused("store.period_locked"):
            change()
    planning.assign(1, None, date(2026, 12, 1), "hr")
    planning.set_holiday(date(2026, 12, 25), "Christmas", "hr")
    planning.shorten_absence(kept, date(2026, 12, 1), "hr")  # what lies after the period can be changed
    assert planning.cancel_absence(kept, "hr") == date(2026, 11, 30)
    assert [row.absence.last for row in planning.absences(date(2026, 11, 29), date(2026, 12, 31))] == [date(2026, 11, 30)]


def test_a_locked_month_keeps_the_rules_it_was_made_with(store: Store, desk: Desk) -> None:
    desk.lock(date(2026, 11, 1), date(2026, 11, 30), "boss")
    Planning(store).set_site(Site("Europe/Berlin", minimum_breaks=((360, 60),)), "admin")
    assert worked(store) == 540
    desk.lift(1, "boss")
    assert worked(store) == 480


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE correction_requests SET reason = 'x'",
        "DELETE FROM correction_requests",
        "UPDATE correction_decisions SET approved = 0, correction_id = NULL",
        "DELETE FROM correction_decisions",
        "UPDATE shifts SET break_minutes = 0",
        "DELETE FROM assignments",
    ],
)
def test_sql_cannot_change_requests_decisions_or_plans(store: Store, desk: Desk, sql: str) -> None:
    desk.decide(desk.request(move("16:30"), "hr").id, True, "boss")
    with closing(sqlite3.connect(store.path)) as raw, pytest.raises(sqlite3.IntegrityError, match="never changed|never removed|immutable"):
        raw.execute(sql)


def test_corrections_of_an_older_database_stay_intact(tmp_path: Path) -> None:
    """A database of the first version, with corrections, is migrated; its hash chain is still valid."""
    path = tmp_path / "old.db"
    db = Database(path, execute_plugins=False)
    MIGRATIONS.apply(db, stop_before="plan_and_correct")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("PRAGMA user_version = 3")
    row = {"id": 1, "person_id": 1, "punch_id": 1, "occurred_at": None, "direction": None, "reason": "x", "corrected_by": "hr", "corrected_at": 5}
    row = {**row, "previous_hash": "0" * 64}
    db.execute("INSERT INTO people (id, name, active, created_at) VALUES (1, 'Ann', 1, 0), (2, 'Bob', 0, 0)")
    db.execute("INSERT INTO punches VALUES (1, 1, 5000, 'in', 'door', 'pin', NULL, NULL, NULL, NULL, NULL, 1, 'boot', 1, ?, 'h1')", ["0" * 64])
    db.execute(f"INSERT INTO corrections VALUES ({', '.join('?' * 10)})", [*row.values(), row_hash(row)])
    left_at, details = int(datetime.now().timestamp() * 1000), '{"person_id": 2}'
    db.execute("INSERT INTO audit VALUES (1, ?, 'test', 'person deactivated', ?, ?, 'h1')", [left_at, details, "0" * 64])
    db.close()
    with Store.open(path) as store:
        assert store.verify_chain("corrections").ok
        assert store.correct(1, 1, LastPunch(at(DAY, "09:00"), "in"), "again", "hr") == 2
        report = store.verify_chain("corrections")
        assert (report.ok, report.count) == (True, 2)
        left = Planning(store).employment(2).last  # follows from the audit
        assert left is not None and abs((left - date.today()).days) <= 1 and Planning(store).employment(1).last is None


def test_everybody_at_once_is_the_same_as_one_by_one(store: Store) -> None:
    for number in range(2, 6):
        store.add_person(f"P{number}")
        for day in range(5):
            punch(store, date(2026, 11, 16) + timedelta(days=day), f"08:0{number}", "in", number)
            punch(store, date(2026, 11, 16) + timedelta(days=day), f"1{number}:00", "out", number)
    store.deactivate(5)
    days = [date(2026, 11, 1) + timedelta(days=offset) for offset in range(30)]
    _, together = company_sheets(store, days, int(LATER // 60))
    assert together == {person: person_sheet(store, person, days, int(LATER // 60))[1] for person in range(1, 6)}
    assert together[1].totals.worked == 540 and together[1].totals.absent_days == 20


def test_a_day_is_read_by_an_index(store: Store) -> None:
    """A page of today must not read every punch in the database."""
    for mine, mine_c in (("", ""), ("AND person_id = :person", "AND c.person_id = :person")):
        for sql in (PUNCHES, CORRECTIONS):
            with store.reading() as db:
                plan = [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + sql.format(mine=mine, mine_c=mine_c), {"since": 0, "until": 1, "person": 1})]
            assert not [step for step in plan if step in ("SCAN punches", "SCAN p", "SCAN corrections")], plan
