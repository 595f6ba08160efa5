"""Lengths of time in forms, against what a person means by them."""

from __future__ import annotations

import html
import re

import pytest

from device.attendance.planning import Planning
from device.system.number_of import number_of
from device.web.call import Problem
from device.web.desk.durations import break_rows, minutes_of
from tests.device.web.conftest import Desk

SITE = {"zone": "Europe/Berlin", "day_start": "00:00"}


@pytest.mark.parametrize(
    ("text", "minutes"), [("7:30", 450), ("7.5", 450), ("7,5", 450), ("8", 480), (" 8 h ", 480), ("0:45", 45), ("7.25", 435), ("24:00", 1440), ("7.05", 423)]
)
def test_hours_as_people_type_them(text: str, minutes: int) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("text", ["", "7:60", "-1", "half", "7:5", "1e3", "7.5.5"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(Problem, match="7:30 or 7.5"):
        minutes_of(text)


def test_breaks_due_are_rows(desk: Desk) -> None:
    admin = desk.browser("admin")
    rows = {"break_after_0": "9:00", "break_length_0": "45", "break_after_1": "6", "break_length_1": "30", "break_after_2": "", "break_length_2": ""}
    assert admin.post("/schedule/site", "/schedule", SITE | rows).status_code == 303
    with desk.store() as store:
        assert Planning(store).site().minimum_breaks == ((360, 30), (540, 45))  # in order, whatever the rows
    page = html.unescape(admin.get("/schedule").text)
    assert re.findall(r'name="break_(?:after|length)_\d" value="([^"]+)"', page) == ["6:00", "30", "9:00", "45"] and "360" not in page
    assert admin.post("/schedule/site", "/schedule", SITE | rows | {"break_length_1": ""}).status_code == 400
    assert admin.post("/schedule/site", "/schedule", SITE | {"break_after_0": "", "break_length_0": ""}).status_code == 303
    with desk.store() as store:
        assert Planning(store).site().minimum_breaks == ()
    assert break_rows(()) == [("", "")] * 4 and len(break_rows(((1, 1),) * 6)) == 7


def test_hours_of_a_flexible_shift_are_no_time_of_day(desk: Desk) -> None:
    hr = desk.browser("hr")
    assert 'type="time" name="hours"' not in hr.get("/schedule").text
    assert hr.post("/schedule/shifts", "/schedule", {"name": "Flexible", "hours": "7,5"}).status_code == 303
    with desk.store() as store:
        assert [shift.minutes for shift in Planning(store).shifts().values()] == [450]


def test_one_is_one() -> None:
    assert [number_of(number, "punch") for number in (0, 1, 1200)] == ["0 punches", "1 punch", "1,200 punches"] and number_of(1, "person") == "1 person"
