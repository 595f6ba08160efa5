"""Print and export timesheets: hours, late, early, overtime, breaks and what is missing (docs/timesheets.md).

json, csv and xlsx have a row for each person and day; the table of a month has a row for each person unless --person names one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import date
from typing import Any

from device.attendance import planning
from device.attendance.planning import Planning
from device.attendance.sheets import company_sheets, person_sheet
from device.attendance.timesheet.sheet import COLUMNS, Sheet, hours, row
from device.attendance.timesheet.worksite import Site, TimesheetError, minute, month_days
from device.attendance.totals import TOTAL_COLUMNS, totals_rows
from device.commands.database import open_store
from device.commands.options import add_config, add_database, add_department, add_export
from device.delivery import tables
from device.delivery.timesheet_workbook import timesheet_workbook
from device.storage import settings as stored_settings
from device.storage.store import Person, Store
from device.system.number_of import number_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_database(parser)
    add_config(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--month", metavar="M", help="a month such as 2026-11")
    which.add_argument("--period", metavar="P", help="the pay period of a day such as 2026-11-24, or 2026-10-26..2026-11-25 (default: the current pay period)")
    which.add_argument("--day", metavar="D", help="one day, such as 2026-11-24")
    parser.add_argument("--person", metavar="REF", help="one person: id, code or exact name")
    add_department(parser)
    parser.add_argument("--totals", action="store_true", help="json, csv and xlsx: a row for each person, and one of all whose person_id is empty")
    add_export(parser)
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    if args.format == "table" and args.out:
        args.usage_error("--out needs --format json, csv or xlsx")
    if args.format == "xlsx" and not args.out and sys.stdout.isatty():
        args.usage_error("--format xlsx is not for a terminal: give --out FILE")
    with open_store(args, "timesheet") as store, store.seeing(args.department):
        site, sheets, people = _sheets(store, args)
        rows = _rows(store, sheets, people, args.totals)
        form = tables.csv_form(stored_settings.in_force(store, args.config), file=bool(args.out))
    if args.format == "table":
        _print(site, sheets, people, args)
        return 0
    data = exported(rows, args.format, form, TOTAL_COLUMNS if args.totals else COLUMNS)
    if args.out:
        tables.write_whole(args.out, data)
        words = f"totals of {number_of(len(rows) - 1, 'person')}" if args.totals else number_of(len(rows), "day")
        print(f"{words} written to {args.out}")
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    return 0


def _rows(store: Store, sheets: dict[int, Sheet], people: dict[int, Person], totals: bool) -> list[dict[str, Any]]:
    """One row per person and day, or one per person and one of all."""
    if totals and sheets:
        return totals_rows(store, sheets, [day.day for day in next(iter(sheets.values())).days], minute(time.time()))
    return [row(person, people[person].name, people[person].code, day) for person, sheet in sheets.items() for day in sheet.days]


def exported(rows: Sequence[tables.Row], form: str, csv_form: tables.CsvForm, columns: Sequence[str] = COLUMNS) -> bytes:
    """json, csv or xlsx."""
    if form == "json":
        return tables.as_json(rows)
    if form == "csv":
        return tables.as_csv(columns, rows, csv_form)
    return timesheet_workbook(columns, rows) if columns is COLUMNS else tables.as_xlsx("totals", columns, rows)


def _sheets(store: Store, args: argparse.Namespace) -> tuple[Site, dict[int, Sheet], dict[int, Person]]:
    now = minute(time.time())
    try:
        site = Planning(store).site()
        days = [planning.day(args.day)] if args.day else month_days(args.month) if args.month else _period(site, args.period, now)
    except TimesheetError as error:
        args.usage_error(str(error))
    people = {person.id: person for person in store.people()}
    if args.person:
        person_id = store.person(args.person).id
        site, sheet = person_sheet(store, person_id, days, now)
        return site, {person_id: sheet}, people
    return *company_sheets(store, days, now), people


def _period(site: Site, text: str | None, now: int) -> list[date]:
    return site.accounting.days(text) if text else site.accounting.period_of(site.day_of(now))


def _print(site: Site, sheets: dict[int, Sheet], people: dict[int, Person], args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    by_day = bool(args.day or args.person)
    names = ("day" if args.person else "name", "planned", "in", "out") if by_day else ("name", "code", "due")
    table = Table(*names, "worked", "break", "late", "early", "overtime", "balance", "missing")
    for person, sheet in sheets.items():
        cells = [_day_cells(row(person, people[person].name, None, day), bool(args.person)) for day in sheet.days] if by_day else []
        for line in cells or [_total_cells(sheet, people[person])]:
            table.add_row(*(Text(cell) for cell in line))  # Text: a name is never read as markup
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)
    total = next(iter(sheets.values())).totals if args.person else None
    tail = f"; due {hours(total.due)}, worked {hours(total.worked)}, balance {hours(total.balance)}" if total else ""
    console.print(f"{number_of(len(sheets), 'person')}, times in {site.zone}{tail}")


def _day_cells(day: dict[str, Any], by_date: bool) -> list[str]:
    clock = ["" if day[key] is None else day[key][11:16] for key in ("first_in", "last_out")]
    times = [hours(day[f"{key}_minutes"]) for key in ("worked", "break", "late", "early", "overtime", "balance")]
    return [day["date"] if by_date else day["name"], day["planned"] or day["kind"], *clock, *times, _told(day)]


def _told(day: dict[str, Any]) -> str:
    """What is missing of a day, and whether it is half a day or ended by itself."""
    flags = [flag for flag in day["flags"].split("; ") if flag == "automatic check-out"]
    return "; ".join(filter(None, (day["missing"], day["attendance"] if day["attendance"] == "half day" else "", *flags)))


def _total_cells(sheet: Sheet, person: Person) -> list[str]:
    t = sheet.totals
    missing = ", ".join(f"{count} {what}" for count, what in ((t.absent_days, "absent"), (t.half_days, "half"), (t.days_with_faults, "incomplete")) if count)
    return [person.name, person.code or "", *map(hours, (t.due, t.worked, t.breaks, t.late, t.early, t.overtime, t.balance)), missing]
