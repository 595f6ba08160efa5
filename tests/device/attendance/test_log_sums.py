"""The sums of each person behind an exported log: the hours of the timesheet as numbers, computed one person at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from device.attendance import log_sums
from device.attendance.log import LogFilter
from device.attendance.log_sums import SUM_COLUMNS, Counted, sums
from device.attendance.planning import Planning
from device.attendance.sheets import company_sheets
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import Site
from device.delivery.tables import CsvForm
from device.storage.store import Store
from device.web.desk import export_files
from tests.device.attendance.test_today import DAY, at, punch

FIRST, LAST = DAY - timedelta(days=1), DAY + timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Ann works two days of nine hours with a break of one, Bob forgets to go, Cem never comes."""
    with Store.open(tmp_path / "clockface.db") as opened:
        planning = Planning(opened)
        planning.set_site(Site("Europe/Berlin"), "test")
        plan = planning.add_plan("day", [planning.add_shift(Shift("day", minutes=450), "test")], date(2026, 11, 2), "test")
        for name in ("Ann", "Bob", "Cem"):
            planning.assign(opened.add_person(name, name[0]).id, plan, date(2026, 11, 1), "test")
        for day in (FIRST, DAY):
            for clock, direction in (("08:00", "in"), ("12:00", "break_start"), ("13:00", "break_end"), ("17:00", "out")):
                punch(opened, 1, clock, direction, day)  # type: ignore[arg-type]
        punch(opened, 2, "09:00", "in", FIRST)
        yield opened


def sheet_of(data: bytes, name: str) -> list[dict[str, Any]]:
    header, *rows = openpyxl.load_workbook(io.BytesIO(data))[name].iter_rows(values_only=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


def exported(store: Store, form: str = "xlsx", **more: Any) -> bytes:
    return b"".join(export_files.log(store, form, CsvForm(), LogFilter(FIRST, LAST, **more), Site("Europe/Berlin")))  # type: ignore[arg-type]


def test_the_workbook_of_the_log_has_a_sheet_of_sums(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_files.time, "time", lambda: at("12:00", LAST + timedelta(days=3)))
    data = exported(store)
    assert len(sheet_of(data, "log")) == 9
    ann, bob = sheet_of(data, "sums")
    assert (ann["name"], ann["punches"], ann["days"], ann["worked_hours"], ann["break_hours"]) == ("Ann", 8, 2, 16, 2)
    assert (ann["overtime_hours"], ann["incomplete"]) == (1, 0)
    assert (bob["name"], bob["punches"], bob["worked_hours"], bob["incomplete"]) == ("Bob", 1, 0, 1)
    assert isinstance(bob["worked_hours"], int | float) and list(ann) == list(SUM_COLUMNS)


def test_the_hours_are_those_of_the_timesheet(store: Store) -> None:
    now = at("12:00", LAST + timedelta(days=3))
    days = [FIRST, DAY, LAST]
    _, sheets = company_sheets(store, days, int(now // 60))
    for row in sums(store, {1: 8, 2: 1}, FIRST, LAST, now):
        theirs = sheets[row["person_id"]].days
        assert row["worked_hours"] * 60 == sum(day.worked_minutes for day in theirs) and row["short_hours"] * 60 == sum(day.short_minutes for day in theirs)


def test_one_person_is_held_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = log_sums.person_sheet
    monkeypatch.setattr(log_sums, "person_sheet", lambda store, person, *rest: asked.append(person) or real(store, person, *rest))
    rows = sums(store, {1: 8, 2: 1}, FIRST, LAST, at("12:00", LAST))
    assert asked == [] and next(rows)["person_id"] == 1 and asked == [1]


@pytest.mark.parametrize("more", [{"device": "door"}, {"method": "face"}])
def test_a_log_of_some_punches_has_no_sums_and_neither_have_other_forms(store: Store, more: dict[str, str]) -> None:
    assert openpyxl.load_workbook(io.BytesIO(exported(store, **more))).sheetnames == ["log"]
    assert b"worked" not in exported(store, "csv") + exported(store, "json")


def test_rows_are_counted_as_they_pass() -> None:
    rows = [{"person_id": number % 2, "local_time": datetime(2026, 11, number + 1, 8)} for number in range(5)]
    counted = Counted(iter(rows))
    assert counted.days is None and list(counted) == rows
    assert counted.punches == {0: 3, 1: 2} and counted.days == (date(2026, 11, 1), date(2026, 11, 5))
