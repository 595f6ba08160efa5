"""Totals as rows that other programs read: one per person over some days, with accounts, and a last one of everybody, whose `person_id` is empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from device.attendance.accounts import statement
from device.attendance.leave import leave
from device.attendance.planning import read_site
from device.attendance.timesheet.sheet import Sheet
from device.storage.store import Store

SUMS = (
    "due_minutes", "worked_minutes", "break_minutes", "credited_minutes", "late_minutes", "early_minutes", "overtime_minutes", "balance_minutes",
    "absent_days", "incomplete_days", "flagged_days", "night_minutes", "saturday_minutes", "sunday_minutes", "holiday_minutes", "overtime_day_minutes",
    "overtime_week_minutes", "overtime_period_minutes", "overtime_approved_minutes",
)  # fmt: skip
ACCOUNT = ("account_before_minutes", "account_earned_minutes", "account_booked_minutes", "account_after_minutes", "leave_left_days")  # empty without one
TOTAL_COLUMNS = ("person_id", "name", "code", "first_day", "last_day", *SUMS, *ACCOUNT)  # stable: other programs read them (docs/timesheets.md)


def totals_rows(store: Store, sheets: Mapping[int, Sheet], days: Sequence[date], as_of: int) -> list[dict[str, Any]]:
    """One row per person and one of all of them, with the names of TOTAL_COLUMNS."""
    people, period = {one.id: one for one in store.people()}, {"first_day": str(days[0]), "last_day": str(days[-1])}
    rows = []
    for number, found in sheets.items():
        person = {"person_id": number, "name": people[number].name, "code": people[number].code}
        rows.append({**person, **period, **_sums(found), **_account(store, number, days, as_of)})
    total = {column: sum(row[column] for row in rows) for column in SUMS}
    return [*rows, {"person_id": None, "name": "total", "code": None, **period, **total, **dict.fromkeys(ACCOUNT)}]


def _sums(found: Sheet) -> dict[str, int]:
    totals = found.totals
    names = ("due", "worked", "breaks", "credited", "late", "early", "overtime", "balance", "absent_days", "days_with_faults", "days_with_flags")
    return dict(zip(SUMS, [*(getattr(totals, name) for name in names), *asdict(totals.buckets).values(), totals.approved], strict=True))


def _account(store: Store, person_id: int, days: Sequence[date], as_of: int) -> dict[str, Any]:
    with store.reading() as db:
        account, year = statement(db, person_id, days, as_of), leave(db, person_id, days[-1].year, read_site(db).day_of(as_of))
    minutes = (account.before, account.earned, account.booked, account.after) if account else (None,) * 4
    return dict(zip(ACCOUNT, [*minutes, year.left / 100 if year else None], strict=True))
