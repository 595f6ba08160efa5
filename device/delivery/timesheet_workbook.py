"""The timesheet as a workbook: its rows, which other programs read as minutes and texts, with real dates, times and hours; and the sums per person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from device.delivery.workbooks import WorkbookTable, as_workbook

MINUTES, HOURS = "_minutes", "_hours"
MOMENTS = ("planned_start", "planned_end", "first_in", "last_out")
WHO = ("person_id", "name", "code")


def timesheet_workbook(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Two worksheets, `timesheet` with a row per person and day, and `sums`."""
    names = [_hours_name(column) for column in columns]
    counted = [name for name in names if name.endswith(HOURS)]
    days = [{_hours_name(column): _cell(column, row[column]) for column in columns} for row in rows]
    sums = _sums(days, counted)
    return as_workbook(
        [WorkbookTable("timesheet", names, days, counted), WorkbookTable("sums", [*WHO, "days", *counted, "absent"], sums, ["days", *counted, "absent"])]
    )


def _hours_name(column: str) -> str:
    return column.removesuffix(MINUTES) + HOURS if column.endswith(MINUTES) else column


def _cell(column: str, value: Any) -> Any:
    """A local time loses its offset, which no spreadsheet knows: 2026-11-24T08:00+01:00 -> 08:00 of that day."""
    if value is None:
        return None
    if column == "date":
        return date.fromisoformat(value)
    if column in MOMENTS:
        return datetime.fromisoformat(value).replace(tzinfo=None)
    return value / 60 if column.endswith(MINUTES) else value


def _sums(days: Sequence[Mapping[str, Any]], counted: Sequence[str]) -> list[dict[str, Any]]:
    """One row per person: days with work, hours, and days absent."""
    people: dict[int, dict[str, Any]] = {}
    for day in days:
        nothing = {**{name: day[name] for name in WHO}, "days": 0, **dict.fromkeys(counted, 0.0), "absent": 0}
        total = people.setdefault(day["person_id"], nothing)
        total["days"] += day["worked_hours"] > 0
        total["absent"] += day["missing"] == "absent"
        for name in counted:
            total[name] += day[name] or 0
    return list(people.values())
