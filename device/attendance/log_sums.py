"""The sums behind a long log: hours of each person in it, by the rules of the timesheet, one person after the other: only one's days are held at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from device.attendance.sheets import person_sheet
from device.attendance.timesheet.worksite import minute
from device.storage.store import Store

SUM_COLUMNS = (
    "person_id", "name", "code", "punches", "days", "worked_hours", "break_hours", "late_hours", "early_hours", "overtime_hours", "short_hours", "absent",
    "incomplete",
)  # fmt: skip
HOURS = ("worked", "break", "late", "early", "overtime", "short")


class Counted:
    """Rows of a log, counted as they pass: the people in them, and the first and last moment."""

    def __init__(self, rows: Iterator[dict[str, Any]]) -> None:
        self._rows = rows
        self.punches: dict[int, int] = {}  # by person id
        self.days: tuple[date, date] | None = None  # of the first and the last punch; rows come by time

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self._rows:
            self.punches[row["person_id"]] = self.punches.get(row["person_id"], 0) + 1
            day = row["local_time"].date()
            self.days = (self.days[0] if self.days else day, day)
            yield row


def sums(store: Store, punches: Mapping[int, int], first: date, last: date, now: float) -> Iterator[dict[str, Any]]:
    """One row per person who has punches, by id. `now`: s since the epoch."""
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    for number in sorted(punches):
        yield _row(store, number, punches[number], days, now)


def _row(store: Store, number: int, punches: int, days: Sequence[date], now: float) -> dict[str, Any]:
    person, (_, sheet) = store.person(number), person_sheet(store, number, days, minute(now))
    minutes = {name: sum(getattr(day, f"{name}_minutes") for day in sheet.days) for name in HOURS}
    return {
        "person_id": number, "name": person.name, "code": person.code, "punches": punches, "days": sum(day.worked_minutes > 0 for day in sheet.days),
        **{f"{name}_hours": minutes[name] / 60 for name in HOURS},
        "absent": sum(day.absent for day in sheet.days), "incomplete": sum(day.attendance == "incomplete" or bool(day.faults) for day in sheet.days),
    }  # fmt: skip
