"""Overtime that waits for approval, accounts of time and of leave, flags of working-time law (docs/timesheets.md).

REF is an id, a code or an exact name. PERIOD is a month (2026-11), the pay period of a day (2026-11-24), or days (2026-10-26..2026-11-25).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import date

from device.attendance import overtime
from device.attendance.accounts import KINDS, Booking, amount_from, book, grant, statement
from device.attendance.law_report import report
from device.attendance.leave import days_text, leave
from device.attendance.planning import Planning, read_site
from device.attendance.sheets import company_sheets
from device.attendance.timesheet.accounting import day_from, hours_from
from device.attendance.timesheet.sheet import hours
from device.attendance.timesheet.worksite import minute
from device.commands.database import open_store
from device.commands.options import add_config, add_database, add_json
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
    add_json(action)


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


def _add_show(action: argparse.ArgumentParser) -> None:
    action.add_argument("ref", metavar="REF")
    action.add_argument("--period", metavar="PERIOD", help="default: the current pay period")
    add_json(action)


def _add_book(action: argparse.ArgumentParser) -> None:
    action.add_argument("ref", metavar="REF")
    action.add_argument("account", choices=tuple(KINDS))
    action.add_argument("kind", choices=tuple(dict.fromkeys(kind for kinds in KINDS.values() for kind in kinds)))
    action.add_argument("--amount", required=True, metavar="A", help="hours of time, such as 2:30, or days of leave, such as 2.5; less: --amount=-2:30")
    action.add_argument("--day", required=True, metavar="D", help="such as 2026-11-24")
    action.add_argument("--reason", required=True)


def _add_grant(action: argparse.ArgumentParser) -> None:
    action.add_argument("year", type=int, metavar="YEAR")
    action.add_argument("days", metavar="DAYS", help="such as 30 or 27.5")


def _add_law(action: argparse.ArgumentParser) -> None:
    action.add_argument("--period", metavar="PERIOD", help="default: the current pay period")
    add_json(action)


def _show(store: Store, args: argparse.Namespace) -> str:
    person, days, now = store.person(args.ref), _days(store, args.period), minute(time.time())
    with store.reading() as db:
        account = statement(db, person.id, days, now)
        year = leave(db, person.id, days[-1].year, read_site(db).day_of(now))
    if args.json:
        minutes = {**asdict(account), "after": account.after} if account else None
        return json.dumps({"person_id": person.id, "minutes": minutes, "leave": {**asdict(year), "left": year.left} if year else None}, indent=1)
    lines = [f"{person.name}, {days[0]} to {days[-1]}"]
    if account:
        parts = (("carried over", account.before), ("these days", account.earned), ("booked", account.booked), ("on the account", account.after))
        lines.append("time: " + ", ".join(f"{words} {hours(minutes)}" for words, minutes in parts))
    if year:
        amounts = (("carried over", year.carried), ("granted", year.granted), ("taken", year.taken), ("planned", year.planned), ("left", year.left))
        lines.append(f"leave {year.year}, days: " + ", ".join(f"{words} {days_text(amount)}" for words, amount in amounts))
    return "\n".join(lines if account or year else [*lines, "no account has begun"])


def _book(store: Store, args: argparse.Namespace) -> str:
    person, amount = store.person(args.ref), amount_from(args.account, args.amount)
    number = book(store, Booking(0, person.id, args.account, args.kind, day_from(args.day), amount, args.reason, BY, time.time()))
    return f"booking {number} entered"


def _grant(store: Store, args: argparse.Namespace) -> str:
    people = [person.id for person in store.people(active_only=True)]
    granted, left_out = grant(store, people, args.year, amount_from("leave", args.days), BY, time.time())
    return f"{args.days} days of leave in {args.year} granted to {granted} people; {left_out} had some already"


def _law(store: Store, args: argparse.Namespace) -> str:
    days, people = _days(store, args.period), {person.id: person for person in store.people()}
    with store.reading() as db:
        found = report(db, people, days, minute(time.time()))
    if args.json:
        rows = [{"person_id": one.person_id, "name": people[one.person_id].name, "date": str(day), "flag": flag} for one in found for day, flag in one.days]
        averages = [{"person_id": one.person_id, "week_minutes": one.average, "too_much": one.too_much} for one in found]
        return json.dumps({"flags": rows, "averages": averages}, ensure_ascii=False, indent=1)
    lines = [f"{day}  {people[one.person_id].name}: {flag}" for one in found for day, flag in one.days]
    lines += [f"{people[one.person_id].name}: {hours(one.average)} a week on average" for one in found if one.too_much]
    return "\n".join([*lines, f"{len(found)} people with flags"])


Action = tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[Store, argparse.Namespace], str]]
ACTIONS: dict[str, Action] = {  # name -> one line, what adds its own options, what carries it out
    "overtime": ("list the days whose overtime waits for approval", _add_overtime, _overtime),
    "show": ("show the accounts of one person", _add_show, _show),
    "book": ("book time or leave, with a reason", _add_book, _book),
    "grant": ("grant everybody the leave of a year", _add_grant, _grant),
    "law": ("list the flags of working-time law", _add_law, _law),
    "approve": ("let the overtime of a day count", _add_approve, _approve),
}
