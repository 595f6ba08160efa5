"""Corrections of other doors' punches: in at A, out at B, corrected at C, and all three show the same day."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, datetime, timezone

import pytest

from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.sheets import person_sheet
from device.attendance.timesheet.worksite import Site
from device.fleet import owner, server
from device.storage.corrections import CorrectionDraft
from device.storage.effective import Correction, Entry, Recorded, effective
from device.storage.records import LastPunch
from tests.device.fleet.test_company_records import settled
from tests.device.fleet.test_exchange import NOW, Door, door
from tests.refused import refused

__all__ = ["door"]  # a fixture
DAY = date(2026, 9, 21)  # of NOW, in UTC
AFTER = NOW + 86400


def at(clock: str) -> float:
    return datetime.fromisoformat(f"{DAY}T{clock}:00+00:00").timestamp()


@pytest.fixture
def three(door: Callable[..., Door]) -> tuple[Door, Door, Door]:
    a, b, c = door("A"), door("B"), door("C")
    Planning(a.store).set_site(Site("UTC"), "hr")
    c.enrol("Somebody first", None, 9)  # so that numbers differ
    a.enrol("Ada", "E1", 1)
    settled(a, b, c)
    a.punch(a.store.person("E1").id, at("08:00"))
    b.punch(b.store.person("E1").id, at("12:00"), "out")
    settled(a, b, c)
    return a, b, c


def minutes(one: Door) -> int | None:
    _, sheet = person_sheet(one.store, one.store.person("E1").id, [DAY], int(NOW // 60) + 1440)
    return sheet.days[0].worked_minutes


def entry_at(one: Door, clock: str) -> Entry:
    _, sheet = person_sheet(one.store, one.store.person("E1").id, [DAY], int(NOW // 60) + 1440)
    return next(stamp.entry for stamp in sheet.days[0].stamps if stamp.entry.occurred_at == at(clock))


def correction(one: Door, clock: str, instead: str | None, direction: str = "out") -> CorrectionDraft:
    about = entry_at(one, clock)
    replacement = LastPunch(at(instead), direction) if instead else None  # type: ignore[arg-type]
    return CorrectionDraft(one.store.person("E1").id, about.punch_id, about.added_by, replacement, "wrong", about.door)


def approved(one: Door, draft: CorrectionDraft) -> int | None:
    desk = Desk(one.store, AFTER)
    return desk.decide(desk.request(draft, "hr").id, True, "another").correction_id


def test_in_at_a_out_at_b_corrected_at_c(three: tuple[Door, Door, Door], company: str) -> None:
    a, b, c = three
    assert [minutes(one) for one in three] == [240] * 3
    approved(c, correction(c, "12:00", "13:30"))
    settled(c, a, b)
    assert [minutes(one) for one in three] == [330] * 3
    assert b.store.last_punch(b.store.person("E1").id) == a.store.last_punch(a.store.person("E1").id) == LastPunch(at("13:30"), "out")
    with server.connected(company) as connection:
        proofs = {(proof.device, proof.chain): (proof.rows, proof.fault) for proof in owner.verify(connection)}
    assert proofs == {("A", "punches"): (1, ""), ("B", "punches"): (1, ""), ("C", "corrections"): (1, "")}
    assert c.store.verify_chain("corrections").ok and b.store.verify_chain("punches").ok
    approved(b, correction(b, "13:30", None))
    approved(a, CorrectionDraft(a.store.person("E1").id, None, None, LastPunch(at("16:00"), "out"), "forgot"))
    settled(a, b, c)
    assert [minutes(one) for one in three] == [480] * 3
    approved(b, correction(b, "16:00", "15:00"))  # what a correction at A had added
    settled(b, c, a)
    assert [minutes(one) for one in three] == [420] * 3
    approved(c, correction(c, "15:00", None))
    settled(c, b, a)
    assert [minutes(one) for one in three] == [minutes(a)] * 3 and minutes(a) != 420


def test_a_clock_that_is_ahead_does_not_win_for_good(three: tuple[Door, Door, Door]) -> None:
    a, b, c = three
    approved(c, correction(c, "12:00", "13:00"))
    with c.store.reading() as db:
        ahead = db.execute("SELECT corrected_at FROM corrections").fetchone()[0] + 86_400_000
    settled(c, a, b)
    with b.store.transaction() as db:  # as if C's clock were a day ahead
        db.execute("UPDATE door_corrections SET corrected_at = ?", [ahead])
    approved(b, correction(b, "13:00", "14:00"))
    with b.store.reading() as db:
        assert db.execute("SELECT corrected_at FROM corrections").fetchone()[0] == ahead + 1
    assert minutes(b) == 360


def test_a_request_about_another_doors_punch_is_approved_at_a_third(three: tuple[Door, Door, Door]) -> None:
    a, b, c = three
    asked = Desk(a.store, AFTER).request(correction(a, "12:00", "12:30"), "hr a")
    settled(a, b, c)
    (seen,) = Desk(b.store, AFTER).requests("open")
    assert seen.draft.door == "" and seen.draft.punch_id == 1 and seen.before == LastPunch(at("12:00"), "out")
    (seen,) = Desk(c.store, AFTER).requests("open")
    Desk(c.store, AFTER).decide(seen.id, True, "hr c")
    settled(c, a, b)
    assert [minutes(one) for one in three] == [270] * 3
    told = Desk(a.store, AFTER).one(asked.id)
    assert (told.state, told.decided_by, told.before, told.correction_id) == ("approved", "hr c", LastPunch(at("12:00"), "out"), None)


def test_a_punch_that_two_doors_add_counts_once(three: tuple[Door, Door, Door]) -> None:
    a, b, c = three
    Desk(a.store, AFTER).request(CorrectionDraft(a.store.person("E1").id, None, None, LastPunch(at("13:00"), "in"), "forgot"), "hr")
    settled(a, b, c)
    for one in (b, c):
        Desk(one.store, AFTER).decide(1, True, "another")
    settled(b, c, a)
    assert len({len(person_sheet(one.store, one.store.person("E1").id, [DAY], int(NOW // 60))[1].days[0].stamps) for one in three}) == 1
    assert len(person_sheet(a.store, a.store.person("E1").id, [DAY], int(NOW // 60))[1].days[0].stamps) == 3


def test_a_locked_day_is_not_corrected_at_another_door(three: tuple[Door, Door, Door]) -> None:
    a, b, c = three
    later = NOW + 40 * 86400
    Desk(a.store, later).lock(date(2026, 9, 1), date(2026, 9, 30), "hr")
    settled(a, b, c)
    with refused("store.period_locked"):
        Desk(c.store, AFTER).request(correction(c, "12:00", None), "hr")
    with refused("store.no_punch"):
        Desk(c.store, AFTER).request(CorrectionDraft(2, 77, None, None, "wrong", "no-such-door"), "hr")


def test_a_desk_and_the_doors_show_the_same(three: tuple[Door, Door, Door], door: Callable[..., Door]) -> None:
    a, b, _ = three
    desk = door("Desk", "", kind="desk")
    settled(desk)
    asked = Desk(a.store, AFTER).request(correction(a, "08:00", "07:00", "in"), "hr a")  # about A's own punch
    about_b = Desk(a.store, AFTER).request(correction(a, "12:00", "12:30"), "hr a")
    settled(a, desk)
    for request in Desk(desk.store, AFTER).requests("open"):
        Desk(desk.store, AFTER).decide(request.id, True, "hr at the desk")
    settled(desk, a, b)
    assert [minutes(one) for one in (a, b, desk)] == [330] * 3
    assert [Desk(a.store, AFTER).one(request.id).state for request in (asked, about_b)] == ["approved"] * 2
    approved(desk, correction(desk, "12:30", None))
    approved(b, correction(b, "07:00", "07:30", "in"))  # what the desk had corrected at A
    settled(desk, b, a, desk)
    assert len({minutes(one) for one in (a, b, desk)}) == 1
    approved(desk, CorrectionDraft(desk.store.person("E1").id, None, None, LastPunch(at("17:00"), "out"), "forgot"))
    settled(desk, a, b)
    approved(a, correction(a, "17:00", "16:30"))  # what the desk had added
    settled(a, desk, b)
    assert [minutes(one) for one in (a, b, desk)] == [540] * 3
    asked = Desk(desk.store, AFTER).request(correction(desk, "16:30", "16:00"), "hr at the desk")
    settled(desk, b)
    (seen,) = Desk(b.store, AFTER).requests("open")
    Desk(b.store, AFTER).decide(seen.id, True, "hr b")
    settled(b, desk, a)
    assert [minutes(one) for one in (a, b, desk)] == [510] * 3 and Desk(desk.store, AFTER).one(asked.id).state == "approved"


def test_every_terminal_settles_corrections_alike() -> None:
    """Whatever is corrected where and in whichever order it arrives: seen from each of three doors, the same punches count."""
    chance = random.Random(5)
    doors = ("a", "b", "c")
    for _ in range(200):
        punches = [(chance.choice(doors), number, float(number)) for number in range(1, 4)]
        made = []
        for number in range(1, 9):
            by, (where, punch, _at) = chance.choice(doors), chance.choice(punches)
            added = chance.random() < 0.2
            made.append((number, by, where, None if added else punch, None if chance.random() < 0.3 else chance.uniform(0, 50), chance.randrange(1000)))
        seen = set()
        for here in doors:
            there = {one: "" if one == here else one for one in doors}
            recorded = [Recorded(number, when, "in", there[where]) for where, number, when in punches]
            corrections = [
                Correction(n, punch, None, when, None if when is None else "out", "" if punch is None else there[where], there[by], stamp)
                for n, by, where, punch, when, stamp in made
                if punch is not None or when is not None
            ]
            chance.shuffle(corrections)
            seen.add(tuple((entry.occurred_at, entry.direction) for entry in effective(recorded, corrections)))
        assert len(seen) == 1


def test_the_day_is_that_of_the_clock() -> None:
    assert datetime.fromtimestamp(NOW, timezone.utc).date() == DAY


def frozen(one: Door) -> list[tuple[object, ...]]:
    with one.store.reading() as db:
        sql = """SELECT l.first_day, p.uuid, s.from_ms, s.until_ms, s.days FROM locked_sheets s
            JOIN people p ON p.id = person_id JOIN period_locks l ON l.id = lock_id"""
        return sorted(db.execute(sql).fetchall())


def test_the_sheets_of_a_locked_month_are_frozen_alike(three: tuple[Door, Door, Door]) -> None:
    a, b, c = three
    Desk(a.store, AFTER + 40 * 86400).lock(date(2026, 9, 1), date(2026, 9, 30), "hr")
    settled(a, b, c)
    assert len(frozen(a)) >= 1 and frozen(a) == frozen(b) == frozen(c) and [minutes(one) for one in three] == [240] * 3
    Desk(b.store, AFTER).lift(Desk(b.store, AFTER).locks()[0].id, "admin")
    settled(b, a, c)
    assert frozen(a) == frozen(b) == frozen(c) == []
