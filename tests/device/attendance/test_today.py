"""The board of today: where everybody is, the same whether read at once or punch by punch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from device.attendance.planning import Planning
from device.attendance.timesheet.shifts import Absence, Shift
from device.attendance.timesheet.worksite import Site
from device.attendance.today import Board
from device.storage.records import Direction
from device.storage.store import PunchDraft, Store
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
    """Ann, Bob, Cem and Dora by day, Eva at night, Finn without a plan; Dora is away."""
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
def test_what_changes_rarely_is_noticed(store: Store, change: str) -> None:
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


def test_read_bit_by_bit_is_the_same_as_read_at_once(store: Store) -> None:
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
