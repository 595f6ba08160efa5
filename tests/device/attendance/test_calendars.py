"""Several calendars of holidays: by plan, by person, and the site's own as before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from device.__main__ import main
from device.attendance import calendars
from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.sheets import person_sheet
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site
from device.storage.store import Store
from tests.refused import refused

NOW = 1_798_200_000.0  # 2026-12-25
MAY, AUGUST = date(2026, 5, 1), date(2026, 8, 14)  # both Fridays
ANN, BOB, CY = 1, 2, 3


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Ann by the plan "north", Bob by "south", Cy without a plan; the site has the first of May."""
    with Store.open(tmp_path / "clockface.db") as opened:
        planning = Planning(opened)
        planning.set_site(Site("Europe/Berlin"), "test")
        shift = planning.add_shift(Shift("flexible", minutes=480), "test")
        for name, plan in (("Ann", "north"), ("Bob", "south"), ("Cy", None)):
            person = opened.add_person(name, name)
            if plan:
                planning.assign(person.id, planning.add_plan(plan, [shift], date(2026, 1, 5), "test"), date(2026, 1, 5), "test")
        planning.set_holiday(MAY, "May day", "test")
        calendars.set_day(opened, AUGUST, "Assumption", "South", "test")
        yield opened


def kinds(store: Store, person: int) -> list[str]:
    return [person_sheet(store, person, [day], int(NOW // 60))[1].days[0].planned.kind for day in (MAY, AUGUST)]


def test_the_sites_own_calendar_counts_for_everybody_as_before(store: Store) -> None:
    assert [kinds(store, person) for person in (ANN, BOB, CY)] == [["holiday", "work"], ["holiday", "work"], ["holiday", "free"]]


def test_a_plan_and_a_person_have_their_own(store: Store) -> None:
    calendars.choose(store, "South", "test", plan_id=2)
    assert (kinds(store, ANN), kinds(store, BOB)) == (["holiday", "work"], ["work", "holiday"])
    calendars.choose(store, "South", "test", person_id=CY)
    assert kinds(store, CY) == ["free", "holiday"], "also without a plan"
    calendars.choose(store, "", "test", plan_id=2)
    calendars.choose(store, "", "test", person_id=CY)
    assert (kinds(store, BOB), kinds(store, CY)) == (["holiday", "work"], ["holiday", "free"])


def test_the_calendar_of_a_plan_counts_while_the_plan_does(store: Store) -> None:
    calendars.choose(store, "South", "test", plan_id=2)
    Planning(store).assign(ANN, 2, date(2026, 8, 1), "test")
    assert kinds(store, ANN) == ["holiday", "holiday"]
    Planning(store).assign(ANN, 1, AUGUST, "test")
    assert kinds(store, ANN) == ["holiday", "work"]


def test_a_locked_month_does_not_change(store: Store) -> None:
    Desk(store, NOW).lock(date(2026, 8, 1), date(2026, 8, 31), "test")
    calendars.choose(store, "South", "test", plan_id=1)
    assert kinds(store, ANN) == ["work", "work"]
    with refused("store.period_locked"):
        calendars.set_day(store, AUGUST + timedelta(days=1), "Another", "South", "test")
    with refused("store.period_locked"):
        calendars.remove_day(store, AUGUST, "South", "test")


def test_what_is_not_there_is_refused(store: Store) -> None:
    for wrong in ({"person_id": 9}, {"plan_id": 9}):
        with refused("store.no_such"):
            calendars.choose(store, "South", "test", **wrong)  # type: ignore[arg-type]
    with refused("store.no_such", "East"):
        calendars.choose(store, "East", "test", person_id=ANN)
    with refused("store.no_such", "South"):
        calendars.remove_day(store, MAY, "South", "test")


def test_the_commands(store: Store, tmp_path: Path) -> None:
    def done(*words: str) -> int:
        return main(["schedule", *words, "--db", str(store.path)])

    file = tmp_path / "days.csv"
    file.write_text("day,name\n2026-05-01,May day\n", encoding="utf-8")
    assert done("import", "holidays", str(file), "--calendar", "South") == 0
    assert done("holiday", "2026-12-26", "Boxing Day", "--calendar", "South") == 0
    assert done("calendar", "South", "--plan", "south") == 0 and done("calendar", "South", "--person", "Cy") == 0
    assert done("calendar", ".", "--person", "Cy") == 0
    assert kinds(store, BOB) == ["holiday", "holiday"] and kinds(store, CY) == ["holiday", "free"]
    assert done("remove-holiday", "2026-05-01", "--calendar", "South") == 0 and kinds(store, BOB) == ["work", "holiday"]
    assert done("show") == 0
