"""Overtime that waits for approval, accounts of time and of leave (docs/timesheets.md).

REF is an id, a code or an exact name. PERIOD is a month (2026-11), the pay period of a day (2026-11-24), or days (2026-10-26..2026-11-25).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import date

from device.attendance import overtime
from device.attendance.planning import Planning
from device.attendance.sheets import company_sheets
from device.attendance.timesheet.accounting import day_from, hours_from
from device.attendance.timesheet.sheet import hours
from device.attendance.timesheet.worksite import minute
from device.commands.database import open_store
from device.commands.options import add_config, add_database
from device.storage.store import Store

BY = "accounts"  # the author in the audit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (summary, add_own, _) in ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        add_database(action)
        add_config(action)
        add_own(action)


def run(args: argparse.Namespace) -> int:
    with open_store(args, BY) as store:
        print(ACTIONS[args.action][2](store, args))
    return 0


def _add_overtime(action: argparse.ArgumentParser) -> None:
    action.add_argument("--period", metavar="PERIOD", help="default: the current pay period")
    action.add_argument("--json", action="store_true", help="print JSON")


def _add_approve(action: argparse.ArgumentParser) -> None:
    action.add_argument("ref", metavar="REF")
    action.add_argument("day", metavar="D", help="such as 2026-11-24")
    action.add_argument("--hours", metavar="H:MM", help="so much of it (default: all; 0 takes an approval back)")


def _days(store: Store, text: str | None) -> list[date]:
    site = Planning(store).site()
    return site.accounting.days(text) if text else site.accounting.period_of(site.day_of(minute(time.time())))


def _overtime(store: Store, args: argparse.Namespace) -> str:
    people = {person.id: person for person in store.people()}
    found = overtime.waiting(company_sheets(store, _days(store, args.period), minute(time.time()))[1])
    rows = [
        {"person_id": person, "name": people[person].name, "date": str(day.day), "overtime_minutes": day.overtime_minutes,
         "overtime_approved_minutes": day.approved_minutes}
        for person, day in found
    ]  # fmt: skip
    if args.json:
        return json.dumps(rows, ensure_ascii=False, indent=1)
    lines = [f"{day.day}  {hours(day.overtime_minutes)}  {people[person].name}" for person, day in found]
    return "\n".join([*lines, f"{len(rows)} days wait for approval" if Planning(store).site().accounting.approves else "overtime counts as it is worked"])


def _approve(store: Store, args: argparse.Namespace) -> str:
    person = store.person(args.ref)
    minutes = None if args.hours is None else hours_from(args.hours)
    counts = overtime.approve(store, person.id, day_from(args.day), BY, time.time(), minutes)
    return f"{hours(counts)} of overtime of {person.name} on {args.day} count"


Action = tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[Store, argparse.Namespace], str]]
ACTIONS: dict[str, Action] = {  # name -> one line, what adds its own options, what carries it out
    "overtime": ("list the days whose overtime waits for approval", _add_overtime, _overtime),
    "approve": ("let the overtime of a day count", _add_approve, _approve),
}
