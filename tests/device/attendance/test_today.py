"""Today: where everybody is, with the same result whether read at once or punch by punch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from device.attendance.planning import Planning
from device.attendance.timesheet.absences import Absence, Employment
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site
from device.attendance.today import Board
from device.storage import hash_chain
from device.storage.audit import CHANGES_NOBODY, CHANGES_ONE_PERSON, Action
from device.storage.records import Direction, LastPunch
from device.storage.store import PunchDraft, Store, StoreError
from device.system.clock import ClockState

DAY = date(2026, 11, 24)  # a Tuesday


def at(clock: str, day: date = DAY) -> float:
    return datetime.combine(day, time.fromisoformat(clock), ZoneInfo("Europe/Berlin")).timestamp()


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Ann, Bob, Cem and Dora work by day, Eva at night, Finn has no plan; Dora is absent."""
    with Store.open(tmp_path / "clockface.db") as store:
        planning = Planning(store)
        planning.set_site(Site("Europe/Berlin"), "test")
        day, night = (planning.add_shift(shift, "test") for shift in (Shift("day", time(8), time(16), 0, None, 5), Shift("night", time(22), time(6))))
        plans = [planning.add_plan(name, [shift], date(2026, 11, 2), "test") for name, shift in (("day", day), ("night", night))]
        for name in ("Ann", "Bob", "Cem", "Dora", "Eva", "Finn"):
            person = store.add_person(name)
            if name != "Finn":
                planning.assign(person.id, plans[name == "Eva"], date(2026, 11, 1), "test")
        planning.add_absence(4, Absence(DAY, DAY, "sick"), "test")
        yield store


def punch(store: Store, person: int, clock: str, direction: Direction, day: date = DAY) -> None:
    store.record_punch(PunchDraft(person, at(clock, day), direction, "door", "manual", ClockState(True, "boot", 1)))


def states(board: Board, store: Store) -> dict[str, str]:
    return {line.name: line.presence.state for line in board.picture(store).lines}


def test_a_day_as_it_goes_on(store: Store) -> None:
    clock = Clock(at("00:30"))
    board = Board(clock)
    punch(store, 5, "21:58", "in", DAY - timedelta(days=1))
    assert states(board, store) == {"Ann": "expected", "Bob": "expected", "Cem": "expected", "Dora": "away", "Eva": "in", "Finn": "off"}
    clock.now = at("08:04")
    punch(store, 5, "06:02", "out")
    punch(store, 1, "08:04", "in")
    assert states(board, store) == {"Ann": "in", "Bob": "expected", "Cem": "expected", "Dora": "away", "Eva": "expected", "Finn": "off"}
    clock.now = at("08:06")
    assert states(board, store)["Bob"] == "late"
    punch(store, 2, "08:20", "in")
    clock.now = at("12:00")
    punch(store, 1, "12:00", "break_start")
    assert states(board, store) == {"Ann": "break", "Bob": "in", "Cem": "late", "Dora": "away", "Eva": "expected", "Finn": "off"}
    late = {line.name: line.presence.day.late_minutes for line in board.picture(store).lines}
    assert late["Bob"] == 20 and late["Ann"] == 0
    clock.now = at("16:05")
    punch(store, 1, "12:30", "break_end")
    punch(store, 1, "16:00", "out")
    assert states(board, store) == {"Ann": "out", "Bob": "in", "Cem": "absent", "Dora": "away", "Eva": "expected", "Finn": "off"}
    assert board.picture(store).counts["absent"] == 1


@pytest.mark.parametrize("change", ["plan", "person", "correction"])
def test_rare_changes_are_noticed(store: Store, change: str) -> None:
    clock = Clock(at("09:00"))
    board = Board(clock)
    punch(store, 1, "08:00", "in")
    assert states(board, store)["Ann"] == "in"
    if change == "plan":
        Planning(store).set_holiday(DAY, "none", "test")
        assert states(board, store)["Bob"] == "off"
    elif change == "person":
        store.deactivate(2)
        assert "Bob" not in states(board, store)
    else:
        store.correct(1, 1, None, "not Ann", "hr")
        assert states(board, store)["Ann"] == "late"


def test_read_punch_by_punch_is_the_same_as_read_at_once(store: Store) -> None:
    clock = Clock(at("07:00"))
    board = Board(clock)
    for number, (person, direction) in enumerate([(1, "in"), (2, "in"), (6, "in"), (1, "break_start"), (6, "out"), (3, "in"), (1, "break_end"), (2, "out")]):
        clock.now = at("08:00") + number * 1800
        punch(store, person, datetime.fromtimestamp(clock.now, ZoneInfo("Europe/Berlin")).strftime("%H:%M"), direction)  # type: ignore[arg-type]
        ours, fresh = board.picture(store), Board(clock).picture(store)
        assert [(line.name, line.presence.state, line.presence.since) for line in ours.lines] == [
            (line.name, line.presence.state, line.presence.since) for line in fresh.lines
        ]


def test_nothing_new_is_the_same_picture(store: Store) -> None:
    board = Board(Clock(at("09:00")))
    assert board.picture(store) is board.picture(store)
    before = board.picture(store)
    punch(store, 1, "08:59", "in")
    assert board.picture(store).serial == before.serial + 1


EVERYBODY = {  # after these everybody is read again: they name no person, or may concern all
    "absence cancelled", "absence shortened", "calendar chosen", "clock jumped", "database restored", "enrolled again", "holiday removed", "holiday set",
    "merge undone", "people merged", "punches removed", "site rules changed", "zone changed",
}  # fmt: skip


def test_what_each_action_changes_is_stated() -> None:
    assert {action.value for action in set(Action) - CHANGES_NOBODY - CHANGES_ONE_PERSON} == EVERYBODY
    assert not CHANGES_NOBODY & CHANGES_ONE_PERSON


@pytest.mark.parametrize("action", sorted(CHANGES_NOBODY))
def test_nobody_is_read_after_an_action_that_changes_nobody(store: Store, action: Action) -> None:
    board = Board(Clock(at("09:00")))
    before = board.picture(store)
    store.audit("terminal", action, {"templates": 6, "person_id": 1})
    assert board.picture(store) is before and board.whole_reads == 1  # the first


@pytest.mark.parametrize("action", sorted(EVERYBODY))
def test_everybody_is_read_after_an_action_that_may_change_all(store: Store, action: str) -> None:
    board = Board(Clock(at("09:00")))
    board.picture(store)
    store.audit("terminal", Action(action), {"person_id": 1})
    board.picture(store)
    assert board.whole_reads == 2


def test_everybody_is_read_after_an_action_of_another_version(store: Store) -> None:
    board = Board(Clock(at("09:00")))
    board.picture(store)
    with store.transaction() as db:
        hash_chain.append(db, "audit", {"at": 0, "actor": "terminal", "action": "person promoted", "details": '{"person_id": 1}'})
    board.picture(store)
    assert board.whole_reads == 2
    store.audit("terminal", Action.PERSON_RENAMED, {})  # without the person's id
    board.picture(store)
    assert board.whole_reads == 3


def renamed_elsewhere(store: Store, person_id: int, name: str) -> None:
    with store.transaction() as db:
        db.execute("UPDATE people SET name = ? WHERE id = ?", [name, person_id])
        store.note_by("fleet", Action.FLEET_APPLIED, person_id=person_id)


def test_a_punch_at_another_door_is_seen(store: Store) -> None:
    clock = Clock(at("09:00"))
    board = Board(clock)
    assert states(board, store)["Ann"] != "in"
    with store.transaction() as db:
        db.execute("INSERT INTO door_punches VALUES ('b', 1, 'Gate B', 1, ?, 'in', 'face')", [int(at("08:55") * 1000)])
    assert states(board, store)["Ann"] == "in" and board.whole_reads == 1


def test_one_person_is_read_after_a_change_of_one(store: Store) -> None:
    """Each such change, made by its own method, compared with a board that reads everybody."""
    clock = Clock(at("09:00"))
    board, planning = Board(clock), Planning(store)
    board.picture(store)
    punch(store, 6, "08:30", "in")
    changes: list[tuple[str, Callable[[], object]]] = [
        ("person added", lambda: store.add_person("anton", "E7")),
        ("person renamed", lambda: store.rename(1, "Zoe")),
        ("code changed", lambda: store.set_code(2, "E2")),
        ("person deactivated", lambda: store.deactivate(6)),
        ("person activated", lambda: store.activate(6)),
        ("plan assigned", lambda: planning.assign(7, 1, DAY, "test")),
        ("absence added", lambda: planning.add_absence(2, Absence(DAY, DAY, "sick"), "test")),
        ("employment set", lambda: planning.set_employment(4, Employment(last=DAY - timedelta(days=1)), "test")),
        ("fleet applied", lambda: renamed_elsewhere(store, 5, "Eve")),
        ("person erased", lambda: store.erase(3)),
    ]
    assert {action for action, _ in changes} == {action.value for action in CHANGES_ONE_PERSON}
    for action, change in changes:
        before = board.picture(store)
        change()
        with store.reading() as db:
            assert db.execute("SELECT action FROM audit ORDER BY id DESC LIMIT 1").fetchone()[0] == action
        after, fresh = board.picture(store), Board(clock).picture(store)
        assert after.lines == fresh.lines != before.lines and after.serial > before.serial
    assert board.whole_reads == 1
    assert [line.name for line in board.picture(store).lines] == ["anton", "Bob", "Eve", "Finn", "Zoe"]
    assert states(board, store) == {"anton": "late", "Bob": "away", "Eve": "expected", "Finn": "in", "Zoe": "late"}


def away(planning: Planning, person_id: int) -> None:
    """On vacation; twice on the same day is refused."""
    with suppress(StoreError):
        planning.add_absence(person_id, Absence(DAY, DAY, "vacation"), "test")


@pytest.mark.parametrize("seed", range(10))
def test_random_changes_show_the_same_as_reading_everybody(store: Store, seed: int) -> None:
    """The board is read only after some of the changes, so that several are read together, some of them of people it has not read yet."""
    clock, chance = Clock(at("09:00")), random.Random(seed)
    board, planning = Board(clock), Planning(store)
    board.picture(store)
    for number in range(60):
        person = chance.choice(store.people())
        name, direction = f"{chance.choice('xaMb')}{number}", chance.choice(("in", "out"))
        changes: list[Callable[[], object]] = [
            lambda name=name: store.add_person(name),
            lambda person=person, name=name: store.rename(person.id, name),
            lambda person=person: store.deactivate(person.id),
            lambda person=person: store.activate(person.id),
            lambda person=person: planning.assign(person.id, chance.choice((1, 2, None)), DAY - timedelta(days=chance.randrange(3)), "test"),
            lambda person=person: away(planning, person.id),
            lambda person=person: store.correct(person.id, None, LastPunch(clock.now - chance.randrange(7200), "in"), "forgot", "hr"),
            lambda: store.audit("terminal", Action.TEMPLATES_READ, {"templates": 0, "model": "m"}),
        ]
        if person.active:
            draft = PunchDraft(person.id, clock.now, direction, "door", "manual", ClockState(True, "boot", 1))
            changes += [lambda draft=draft: store.record_punch(draft)] * 3
        chance.choice(changes)()
        if chance.random() < 0.3:
            clock.now += chance.randrange(600)
            assert board.picture(store).lines == Board(clock).picture(store).lines
    assert board.whole_reads == 1
    planning.set_holiday(DAY, "none", "test")
    assert board.picture(store).lines == Board(clock).picture(store).lines and board.whole_reads == 2
