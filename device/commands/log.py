"""Print, export and verify the attendance log, or import the log of another terminal.

D is a day (2026-11-24; --to includes the whole day) or a time (2026-11-24T08:00), by the site's clock unless it ends in Z or +01:00.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from device.attendance.log_rows import rows_between
from device.attendance.log_sums import SUM_COLUMNS, Counted, sums
from device.commands import log_import
from device.commands.database import open_store
from device.commands.dates import first_moment, last_moment, span
from device.commands.options import add_config, add_database, add_department, add_export
from device.delivery import tables
from device.delivery.tables import COLUMNS
from device.delivery.workbooks import SHEET_ROWS
from device.storage import settings as stored_settings
from device.storage.hash_chain import CHAINED
from device.storage.store import Store
from device.system.number_of import number_of
from device.system.time_zones import LocalClock

Row = dict[str, Any]

SHEET_COLUMNS = (*COLUMNS, "local_time")  # csv and xlsx: for people who add up hours


def add_arguments(parser: argparse.ArgumentParser) -> None:
    log_import.add_arguments(parser)
    add_database(parser)
    add_config(parser)
    parser.add_argument("--from", dest="since", type=first_moment, metavar="D", help="punches from this day or time on")
    parser.add_argument("--to", dest="until", type=last_moment, metavar="D", help="punches up to this day, included, or before this time")
    parser.add_argument("--person", metavar="REF", help="one person: id, code or exact name")
    add_department(parser)
    add_export(parser)
    parser.add_argument("--verify", action="store_true", help="recompute the hash chains; exit 1 if one is broken")
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    log_import.check_usage(args)
    _check_usage(args)
    if args.action:
        return log_import.run(args)
    with open_store(args, "log") as store, store.seeing(args.department):
        clock = store.clock()
        if args.verify:
            return _verify(store, args.format == "json")
        rows = _rows(store, args, clock)
        if args.format == "table":
            _print_table(list(rows), clock)
        else:
            _export(store, rows, args.format, args.out, tables.csv_form(stored_settings.in_force(store, args.config), file=bool(args.out)))
    return 0


def _check_usage(args: argparse.Namespace) -> None:
    if args.verify and (args.department or args.since is not None or args.until is not None or args.person or args.out or args.format in ("csv", "xlsx")):
        args.usage_error("--verify looks at the whole log; it goes with --db and --json alone")
    if args.format == "table" and args.out:
        args.usage_error("--out needs --format json, csv or xlsx")
    if args.format == "xlsx" and not args.out and sys.stdout.isatty():
        args.usage_error("--format xlsx is not for a terminal: give --out FILE")


def _rows(store: Store, args: argparse.Namespace, clock: LocalClock) -> Iterator[Row]:
    person_id = store.person(args.person).id if args.person else None
    try:
        since, until = span(args.since, args.until, clock)
    except argparse.ArgumentTypeError as error:
        args.usage_error(str(error))
    return rows_between(store, since, until, person_id, clock)


def _export(store: Store, rows: Iterator[Row], form: tables.Form, out: Path | None, csv_form: tables.CsvForm) -> None:
    """Write each row as it comes; a workbook has the sums of each person behind them."""
    counted = Counted(rows)
    written = ({key: row[key] for key in COLUMNS} for row in counted) if form == "json" else counted
    further = tables.FurtherSheet("sums", SUM_COLUMNS, lambda: sums(store, counted.punches, *counted.days, time.time()) if counted.days else ())
    data = tables.pieces(form, "punches", SHEET_COLUMNS, written, csv_form, further)
    if out is None:
        sys.stdout.flush()
        sys.stdout.buffer.writelines(data)
        return
    tables.write_whole(out, data)
    count = sum(counted.punches.values())
    sheets = -(-count // SHEET_ROWS) if form == "xlsx" else 1
    print(f"{number_of(count, 'punch')} written to {out}" + (f", on {sheets} worksheets of at most {SHEET_ROWS:,} rows" if sheets > 1 else ""))


def _print_table(rows: list[Row], clock: LocalClock) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("punch", "local time", "name", "code", "direction", "method", "score", "lead", "clock", "device")
    for row in rows:
        table.add_row(*(Text(cell) for cell in _cells(row)))  # Text: a name is never read as markup
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)
    console.print(f"{number_of(len(rows), 'punch')}, times in {clock.name}")


def _cells(row: Row) -> Sequence[str]:
    score, lead = ("" if row[key] is None else f"{row[key]:.3f}" for key in ("score", "lead"))
    state = "" if row["clock_synchronised"] else "not set"
    when = row["local_time"].isoformat(" ", "seconds")
    return (str(row["punch_id"]), when, row["name"], row["code"] or "", row["direction"], row["method"], score, lead, state, row["device"])


def _verify(store: Store, as_json: bool) -> int:
    reports = [store.verify_chain(table) for table in CHAINED]
    if as_json:
        print(json.dumps([dataclasses.asdict(report) for report in reports], indent=1))
    else:
        for report in reports:
            said = "whole" if report.ok else f"BROKEN: {report.reason}; keep a copy of the database and look at its back-ups"
            gone = f" and {report.removed} removed by policy" if report.removed else ""
            print(f"{report.table}: {report.count} rows{gone}, {said}; head {report.head}")
    return 0 if all(report.ok for report in reports) else 1
