"""Plans, absences, holidays, locks and requests are the company's: made at one terminal they count at all, once, and the audit tells who lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, time, timezone
from pathlib import Path
from typing import Any

import pytest

from device.attendance import calendars
from device.attendance.imports import log_file
from device.attendance.imports.log_import import Choices, LogImport
from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.timesheet.absences import Absence
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site
from device.fleet import server
from device.storage.corrections import CorrectionDraft
from device.storage.records import LastPunch
from tests.device.fleet.test_exchange import NOW, Door, door
from tests.refused import refused

__all__ = ["door"]  # a fixture
DAY = date(2026, 11, 2)
EARLY = Shift("Early", time(6), time(14), 30)
EVENING = Shift("Evening", time(18), time(20))


def settled(*doors: Door) -> None:
    for _ in range(2):
        for one in doors:
            one.exchange()


def audited(one: Door, action: str) -> list[dict[str, Any]]:
    with one.store.reading() as db:
        return [json.loads(row[0]) for row in db.execute("SELECT details FROM audit WHERE action = ? ORDER BY id", [action])]


def planned(one: Door, code: str = "E1") -> Any:
    """The schedule of one person, comparable between terminals."""
    return Planning(one.store).schedules()[one.store.person(code).id]


@pytest.fixture
def two(door: Callable[..., Door]) -> tuple[Door, Door]:
    a, b = door("A"), door("B")
    b.enrol("Somebody first", None, 9)  # so that numbers differ
    a.enrol("Ada", "E1", 1)
    settled(a, b)
    return a, b


def test_imported_punches_reach_the_other_door_once(two: tuple[Door, Door], tmp_path: Path) -> None:
    a, b = two
    file, at = tmp_path / "log.csv", NOW - 3600
    file.write_text(f"code,time,direction\nE1,{datetime.fromtimestamp(at, timezone.utc).isoformat()},in\n", encoding="utf-8")
    for one in (a, a, b):
        assert len(list(LogImport(one.store, log_file.read(file), Choices(), NOW).run())) == 1
        settled(a, b)
    with b.store.reading() as db:
        assert db.execute("SELECT method, direction, occurred_at FROM door_punches").fetchall() == [("imported", "in", round(at * 1000))]
    assert b.store.punches() == [], "there already, at the other door"
    assert b.store.last_punch(b.store.person("E1").id) == LastPunch(round(at * 1000) / 1000, "in")


def test_a_calendar_of_holidays_and_whose_it_is_reach_the_other_door(two: tuple[Door, Door]) -> None:
    a, b = two
    planning, ada = Planning(a.store), a.store.person("E1").id
    planning.add_plan("Week", [planning.add_shift(EARLY, "hr")], DAY, "hr")
    calendars.set_day(a.store, date(2026, 12, 24), "Eve", "South", "hr")
    calendars.set_day(a.store, date(2026, 12, 31), "Eve", "South", "hr")
    calendars.remove_day(a.store, date(2026, 12, 31), "South", "hr")
    calendars.choose(a.store, "South", "hr", person_id=ada)
    calendars.choose(a.store, "South", "hr", plan_id=1)
    settled(a, b)
    assert planned(a).holidays == planned(b).holidays == {date(2026, 12, 24): "Eve"}
    assert list(Planning(b.store).calendars().of_plan.values()) == ["South"]


def test_a_plan_made_at_one_door_counts_at_the_other(two: tuple[Door, Door]) -> None:
    a, b = two
    Planning(b.store).add_shift(Shift("Other", time(9), time(17), 30), "hr")
    planning, ada = Planning(a.store), a.store.person("E1").id
    shift = planning.add_shift(EARLY, "hr")
    planning.assign(ada, planning.add_plan("Week", [(shift, planning.add_shift(EVENING, "hr")), None], DAY, "hr"), DAY, "hr")
    planning.set_holiday(date(2026, 12, 25), "Christmas", "hr")
    planning.add_absence(ada, Absence(date(2026, 11, 5), date(2026, 11, 6), "sick"), "hr")
    planning.set_site(Site("Asia/Tokyo"), "hr")
    settled(a, b)
    assert planned(b) == planned(a) and planned(b).absences[0].kind == "sick" and planned(b).assignments[0].cycle == ((EARLY, EVENING), None)
    assert Planning(b.store).site().zone == "Asia/Tokyo" and Planning(b.store).holidays() == {date(2026, 12, 25): "Christmas"}
    Planning(b.store).remove_holiday(date(2026, 12, 25), "hr")
    Planning(b.store).cancel_absence(Planning(b.store).absences(DAY, date(2026, 11, 30))[0].id, "hr")
    settled(b, a)
    assert planned(a) == planned(b) and not planned(a).absences and Planning(a.store).holidays() == {}
    assert {shift.name for shift in Planning(a.store).shifts().values()} == {"Other", "Early", "Evening"}


def test_of_two_changes_the_later_version_counts_and_both_audits_tell(two: tuple[Door, Door]) -> None:
    a, b = two
    Planning(a.store).set_holiday(date(2026, 12, 24), "Eve", "hr")
    settled(a, b)
    Planning(a.store).set_holiday(date(2026, 12, 24), "Half a day", "hr")
    Planning(b.store).set_holiday(date(2026, 12, 24), "Christmas Eve", "hr")
    settled(a, b)
    assert Planning(a.store).holidays() == Planning(b.store).holidays() == {date(2026, 12, 24): "Christmas Eve"}
    for one in (a, b):
        (told,) = audited(one, "fleet overruled")
        assert (told["table"], told["row"], told["lost"], told["won"], told["by"]) == ("holidays", '["2026-12-24"]', 2, 3, "B")


def test_shifts_of_one_name_are_one_where_they_are_the_same(two: tuple[Door, Door]) -> None:
    a, b = two
    Planning(a.store).add_shift(EARLY, "hr")
    Planning(b.store).add_shift(EARLY, "hr")
    Planning(a.store).add_shift(Shift("Late", time(14), time(22), 30), "hr")
    Planning(b.store).add_shift(Shift("Late", time(15), time(23), 30), "hr")
    settled(a, b)
    assert sorted(shift.name for shift in Planning(a.store).shifts().values()) == ["Early", "Late", "Late (B)"]
    assert sorted(shift.name for shift in Planning(b.store).shifts().values()) == ["Early", "Late", "Late (A)"]


def test_of_two_assignments_from_one_day_both_terminals_take_the_same(two: tuple[Door, Door]) -> None:
    a, b = two
    planning = Planning(a.store)
    shifts = [planning.add_shift(Shift(name, time(start), time(start + 8), 0), "hr") for name, start in (("I", 6), ("II", 14))]
    plans = [planning.add_plan(name, [shift], DAY, "hr") for name, shift in zip(("I", "II"), shifts, strict=True)]
    settled(a, b)
    numbers = {plan.name: plan.id for plan in Planning(b.store).plans().values()}
    planning.assign(a.store.person("E1").id, plans[0], DAY, "hr")
    Planning(b.store).assign(b.store.person("E1").id, numbers["II"], DAY, "hr")
    settled(a, b)
    starts = [[assignment.cycle[0].start for assignment in planned(one).assignments][-1] for one in (a, b)]
    assert starts == [time(14), time(14)]


def test_who_joins_takes_the_rules_of_the_site(door: Callable[..., Door], company: str) -> None:
    a, c = door("A"), door("C", "South")
    Planning(a.store).set_site(Site("Asia/Tokyo"), "hr")
    settled(a)
    b = door("B", before=lambda store: Planning(store).set_site(Site("Europe/Rome"), "hr"))
    settled(b, a, c)
    assert [Planning(one.store).site().zone for one in (a, b)] == ["Asia/Tokyo"] * 2 and Planning(c.store).site().zone != "Asia/Tokyo"
    assert audited(b, "fleet overruled")[0]["table"] == "settings"


def test_a_change_of_days_that_were_locked_meanwhile_is_refused(two: tuple[Door, Door]) -> None:
    a, b = two
    kept = Planning(b.store).add_absence(b.store.person("E1").id, Absence(date(2026, 7, 30), date(2026, 8, 4), "vacation"), "hr")
    settled(b, a)
    Desk(a.store, NOW).lock(date(2026, 7, 1), date(2026, 7, 31), "hr")
    a.exchange()
    Planning(b.store).add_absence(b.store.person("E1").id, Absence(date(2026, 7, 6), date(2026, 7, 7), "sick"), "hr")
    Planning(b.store).cancel_absence(kept, "hr")
    settled(b, a)
    assert planned(a).absences == planned(b).absences == (Absence(date(2026, 7, 30), date(2026, 8, 4), "vacation"),)
    assert [(told["table"], "locked" in told["reason"]) for told in audited(b, "fleet refused")] == [("absences", True)] * 2
    assert [(lock.first, lock.lifted_at) for lock in Desk(b.store, NOW).locks()] == [(date(2026, 7, 1), None)]
    Desk(b.store, NOW).lift(1, "admin")
    settled(b, a)
    assert Desk(a.store, NOW).locks()[0].lifted_at is not None


def test_a_request_is_decided_at_another_door(two: tuple[Door, Door]) -> None:
    a, b = two
    ada, at_b = a.store.person("E1").id, b.store.person("E1").id
    request = Desk(a.store, NOW).request(CorrectionDraft(ada, None, None, LastPunch(NOW - 3600, "in"), "forgot"), f"person:{ada}")
    settled(a, b)
    (seen,) = Desk(b.store, NOW).requests("open")
    assert (seen.draft.person_id, seen.requested_by, seen.draft.replacement) == (at_b, f"person:{at_b}", LastPunch(NOW - 3600, "in"))
    Desk(b.store, NOW).decide(seen.id, True, "hr")
    settled(b, a)
    assert Desk(a.store, NOW).one(request.id).state == "approved"


def test_of_two_decisions_the_first_stands(two: tuple[Door, Door]) -> None:
    a, b = two
    ada = a.store.person("E1").id
    Desk(a.store, NOW).request(CorrectionDraft(ada, None, None, LastPunch(NOW - 3600, "in"), "forgot"), "hr")
    settled(a, b)
    Desk(b.store, NOW).decide(1, False, "hr b")
    Desk(a.store, NOW).decide(1, False, "hr a", "no")
    settled(b, a)
    assert [Desk(one.store, NOW).one(1).decided_by for one in (a, b)] == ["hr b", "hr b"]
    assert "stands already as B wrote it" in audited(a, "fleet refused")[0]["reason"]


def test_columns_that_a_terminal_does_not_know_stay(two: tuple[Door, Door]) -> None:
    a, b = two
    with a.store.transaction() as db:
        db.execute("ALTER TABLE absences ADD COLUMN certificate TEXT")
    Planning(a.store).add_absence(a.store.person("E1").id, Absence(date(2026, 11, 5), date(2026, 11, 6), "sick"), "hr")
    with a.store.transaction() as db:
        db.execute("UPDATE absences SET certificate = 'seen'")
    settled(a, b)
    Planning(b.store).cancel_absence(1, "hr")
    settled(b, a)
    with a.store.reading() as db:
        assert db.execute("SELECT certificate, cancelled_at IS NOT NULL FROM absences").fetchall() == [("seen", 1)]


def test_what_refers_to_something_later_waits_for_it(two: tuple[Door, Door], company: str) -> None:
    a, b = two
    planning, ada = Planning(a.store), a.store.person("E1").id
    planning.assign(ada, planning.add_plan("Week", [planning.add_shift(EARLY, "hr")], DAY, "hr"), DAY, "hr")
    a.exchange()
    with server.connected(company) as connection:  # the shift is read after what refers to it
        connection.execute("UPDATE state SET xid = pg_current_xact_id(), seq = nextval('arrivals') WHERE kind = 'shifts'")
        connection.execute("UPDATE state SET xid = pg_current_xact_id(), seq = nextval('arrivals') WHERE kind = 'person'")
    c = door_of(company, a)
    settled(c)
    assert planned(c).assignments == planned(a).assignments


def door_of(url: str, one: Door) -> Door:
    return Door(url, one.folder.parent, "C")


def test_other_sites_have_other_holidays(door: Callable[..., Door], company: str) -> None:
    a, c = door("A"), door("C", "South")
    a.enrol("Ada", "E1", 1)
    for one, name in ((a, "Day of the north"), (c, "Day of the south")):
        Planning(one.store).set_holiday(date(2026, 10, 3), name, "hr")
    Planning(a.store).add_absence(1, Absence(date(2026, 11, 5), date(2026, 11, 6), "sick"), "hr")
    Planning(a.store).add_shift(EARLY, "hr")
    settled(a, c)
    assert (Planning(a.store).holidays(), Planning(c.store).holidays()) == ({date(2026, 10, 3): "Day of the north"}, {date(2026, 10, 3): "Day of the south"})
    assert [shift.name for shift in Planning(c.store).shifts().values()] == ["Early"]
    with c.store.reading() as db:
        assert db.execute("SELECT count(*) FROM absences").fetchone()[0] == 0


def test_an_older_database_is_named_with_its_remedy(company: str, door: Callable[..., Door]) -> None:
    a = door("A")
    with server.connected(company) as connection:
        connection.execute("DELETE FROM migrations WHERE number = %s", [server.NEWEST])
    with refused("fleet.older", "fleet migrate"):
        a.exchange()
