"""Shifts and plans as the store keeps them: rows that are added and never changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from datetime import time as clock_time
from typing import Any, TypeAlias

from sqlite_utils import Database

from device.attendance.timesheet.shifts import DayShifts, Shift
from device.attendance.timesheet.worksite import Pairing

LAYERS = 6  # shifts of one day
TIMES = {"start_time": "start", "end_time": "end", "break_from": "break_from", "break_to": "break_to", "check_out": "check_out"}  # column -> field
FLAGS = ("break_automatic", "break_paid")
NUMBERS = (
    "break_minutes", "minutes", "grace_minutes", "early_grace_minutes", "before_minutes", "after_minutes", "half_day_minutes", "absent_minutes",
)  # fmt: skip
SHIFT = ("name", *TIMES, *FLAGS, *NUMBERS)  # columns
PlanDay: TypeAlias = "int | tuple[int, ...] | None"  # id of its shift, ids of its shifts, or None: a free day


@dataclass(frozen=True)
class Plan:
    """A named cycle of shifts."""

    id: int
    name: str
    cycle: tuple[PlanDay, ...]
    anchor: date
    pairing: Pairing | None = None  # None: the site's


def read_shifts(db: Database) -> dict[int, Shift]:
    return {row.pop("id"): _shift(row) for row in db.query(f"SELECT id, {', '.join(SHIFT)} FROM shifts ORDER BY id")}


def _shift(row: dict[str, Any]) -> Shift:
    values: dict[str, Any] = {name: row[name] for name in ("name", *NUMBERS)} | {name: bool(row[name]) for name in FLAGS}
    values |= {name: clock_time.fromisoformat(row[column]) if row[column] else None for column, name in TIMES.items()}
    return Shift(**values)


def insert_shift(db: Database, name: str, shift: Shift) -> int:
    times = [f"{at:%H:%M}" if (at := getattr(shift, field)) is not None else None for field in TIMES.values()]
    values = [name, *times, *(int(getattr(shift, field)) for field in FLAGS), *(getattr(shift, field) for field in NUMBERS)]
    return int(db.execute(f"INSERT INTO shifts ({', '.join(SHIFT)}) VALUES ({', '.join('?' * len(values))})", values).lastrowid or 0)


def insert_plan(db: Database, name: str, days: Sequence[Sequence[int]], anchor: date, pairing: Pairing | None) -> int:
    """`days`: the ids of each day's shifts. The first of each day stand in one column, the second of each day and so on in another."""
    layers = [[day[layer] if layer < len(day) else None for day in days] for layer in range(max(map(len, days)) or 1)]
    further = [number for layer in layers[1:] for number in layer]
    values = [name, json.dumps(layers[0]), json.dumps(further), anchor.isoformat(), pairing]
    return int(db.execute("INSERT INTO plans (name, cycle, further, anchor, pairing) VALUES (?, ?, ?, ?, ?)", values).lastrowid or 0)


def read_plans(db: Database) -> list[Plan]:
    rows = db.execute("SELECT id, name, cycle, further, anchor, pairing FROM plans ORDER BY id")
    return [Plan(number, name, _cycle(cycle, further), date.fromisoformat(anchor), pairing) for number, name, cycle, further, anchor, pairing in rows]


def _cycle(cycle: str, further: str) -> tuple[PlanDay, ...]:
    """The days of a plan from its columns: the first shift of each day; then the second of each day, and so on."""
    first, rest = json.loads(cycle), json.loads(further)
    days = [tuple(one for one in (first[at], *rest[at :: len(first)]) if one is not None) for at in range(len(first))]
    return tuple(day if len(day) > 1 else day[0] if day else None for day in days)


def shifts_of(day: PlanDay, shifts: Mapping[int, Shift]) -> DayShifts:
    return tuple(shifts[number] for number in day) if isinstance(day, tuple) else None if day is None else shifts[day]


def shift_ids(day: PlanDay) -> tuple[int, ...]:
    return day if isinstance(day, tuple) else () if day is None else (day,)
