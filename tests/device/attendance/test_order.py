"""The order in which punches, corrections, plans, absence and holidays were entered changes no hours, where no rule names it."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from device.attendance.planning import Planning
from device.attendance.sheets import person_sheet
from device.attendance.timesheet.absences import Absence, Employment
from device.attendance.timesheet.sheet import row
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site, month_days
from device.storage.records import Direction, LastPunch
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState

BERLIN, OCTOBER = ZoneInfo("Europe/Berlin"), month_days("2026-10")
NOW = int(datetime(2026, 12, 15, tzinfo=BERLIN).timestamp() // 60)


def at(day: int, clock: str) -> float:
    return datetime.combine(date(2026, 10, day), time.fromisoformat(clock), BERLIN).timestamp()


def punches() -> list[tuple[float, Direction]]:
    """Days with directions, days without, nights, a repetition and a forgotten check-out."""
    stamps: list[tuple[float, Direction]] = []
    for day in (1, 2, 5, 6, 7, 8):
        stamps += [(at(day, "07:58"), "in"), (at(day, "12:00"), "break_start"), (at(day, "12:37"), "break_end"), (at(day, "17:12"), "out")]
    for day in (12, 13, 14):
        stamps += [(at(day, "08:02"), "auto"), (at(day, "16:31"), "auto")]
    for day in (19, 20, 21):
        stamps += [(at(day, "21:55"), "auto"), (at(day + 1, "06:03"), "auto")]
    return [*stamps, (at(1, "07:59"), "in"), (at(26, "08:00"), "in"), (at(27, "08:00"), "in"), (at(27, "16:00"), "out")]


def entered(path: Path, dice: random.Random) -> list[dict[str, Any]]:
    """The rows of October, once all of it was entered in some order."""
    with Store.open(path) as store:
        planning, person = Planning(store), store.add_person("Ann", "E1").id
        planning.set_site(Site("Europe/Berlin", minimum_breaks=((360, 30), (540, 45))), "test")
        office, night = (planning.add_shift(shift, "test") for shift in (Shift("office", time(8), time(16, 30), 30), Shift("night", time(22), time(6))))
        plans = [planning.add_plan(name, [shift] * 5 + [None, None], date(2026, 9, 28), "test") for name, shift in (("office", office), ("night", night))]
        stamps = punches()
        dice.shuffle(stamps)
        numbers = {
            moment: store.record_punch(PunchDraft(person, moment, direction, "door", "pin", ClockState(True, "boot", 1))).id for moment, direction in stamps
        }

        def corrected(punch: float | None, instead: tuple[float, Direction] | None) -> Callable[[], object]:
            return lambda: store.correct(person, punch and numbers[punch], instead and LastPunch(*instead), "test", "HR")

        steps: list[Callable[[], object]] = [
            lambda: planning.assign(person, plans[0], date(2026, 9, 28), "test"),
            lambda: planning.assign(person, plans[1], date(2026, 10, 19), "test"),
            lambda: planning.assign(person, plans[0], date(2026, 10, 24), "test"),
            lambda: planning.add_absence(person, Absence(date(2026, 10, 15), date(2026, 10, 16), "vacation"), "test"),
            lambda: planning.add_absence(person, Absence(date(2026, 10, 28), date(2026, 10, 28), "sick"), "test"),
            lambda: planning.set_employment(person, Employment(first=date(2026, 10, 1), last=date(2026, 10, 29)), "test"),
            lambda: planning.set_holiday(date(2026, 10, 5), "a holiday", "test"),
            lambda: planning.set_holiday(date(2026, 10, 29), "another", "test"),
            corrected(at(1, "17:12"), (at(1, "16:00"), "out")),
            corrected(at(2, "12:00"), None),
            corrected(None, (at(26, "16:45"), "out")),
            corrected(at(12, "16:31"), (at(12, "18:00"), "out")),
        ]
        dice.shuffle(steps)
        for step in steps:
            step()
        return [row(person, "Ann", "E1", day) for day in person_sheet(store, person, OCTOBER, NOW)[1].days]


@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_entry_changes_no_hours(tmp_path: Path, seed: int) -> None:
    first, other = entered(tmp_path / "first.db", random.Random(-1)), entered(tmp_path / "other.db", random.Random(seed))
    assert other == first
    assert sum(day["worked_minutes"] for day in first) > 5_000 and sum(day["corrected"] for day in first) == 4
