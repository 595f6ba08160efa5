"""Import the log of another terminal: columns code, time, direction in CSV, an export of ZKTeco or Hikvision programs, or ZKTeco's attlog.dat.

Times are local times of the site unless they say their offset. Each row's fate is told; rows that cannot be imported are left out, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from device.attendance.imports import log_file
from device.attendance.imports.log_import import FATES, Choices, Judged, LogImport, Summary
from device.attendance.imports.moments import ImportRefused
from device.commands.database import store_to_fill
from device.storage import settings as stored_settings

REPORT = ("line", "code", "time", "direction", "fate", "remark")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `log import`, beside those of `log`."""
    parser.add_argument("action", nargs="?", choices=("import",), help="import the log of another terminal from FILE")
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="with import: a list with columns code, time, direction, an export, attlog.dat")
    group = parser.add_argument_group("with import", "times are local times of the site unless they say their offset; what cannot be imported is told")
    group.add_argument("--check", action="store_true", help="tell the fate of each row and write nothing")
    group.add_argument("--whole", action="store_true", help="import nothing if one row cannot be imported")
    group.add_argument("--open-directions", action="store_true", help="do not believe the file's directions: planned shifts settle them")
    first = group.add_mutually_exclusive_group()
    first.add_argument("--day-first", dest="order", action="store_const", const="day", help="02/12/2026 is the second of December")
    first.add_argument("--month-first", dest="order", action="store_const", const="month", help="02/12/2026 is the twelfth of February")
    group.add_argument("--device", metavar="NAME", help="name of the other terminal, where the file has none (default: import)")
    group.add_argument("--deliver", action="store_true", help="deliver the punches to the connected systems, too")
    group.add_argument("--report", type=Path, metavar="OUT.csv", help="write each row's fate into a list")


def check_usage(args: argparse.Namespace) -> None:
    """Options of one of the two uses do not go with the other."""
    importing = [args.file, args.check, args.whole, args.open_directions, args.order, args.device, args.deliver, args.report]
    if args.action is None and any(importing):
        args.usage_error("--check, --whole, --open-directions, --day-first, --month-first, --device, --deliver and --report go with `log import FILE`")
    if args.action and args.file is None:
        args.usage_error("log import needs a FILE")
    if args.action and (args.since is not None or args.until is not None or args.person or args.out or args.verify or args.format in ("csv", "xlsx")):
        args.usage_error("log import takes none of --from, --to, --person, --format, --out, --verify")


def run(args: argparse.Namespace) -> int:
    file = log_file.read(args.file, args.order)  # before a database is begun for it
    with store_to_fill(args, "log import") as store:
        kept = stored_settings.in_force(store, args.config).retention.punches_days
        plan = LogImport(store, file, Choices(args.open_directions, args.device or "import", args.deliver, kept), time.time())
        _note(f"{args.file} was read as {file.told}; {file.total} rows, local times of {plan.zone.key}")
        if file.remark and not args.open_directions:
            _note(file.remark)
        if args.whole and not args.check:
            _refuse_problems(plan)
        summary = Summary()
        for one in _reported(plan.check() if args.check else plan.run(), args.report):
            summary.add(one)
    _say(summary, args, file)
    return 1 if summary.problems else 0


def _refuse_problems(plan: LogImport) -> None:
    first = next((one for one in plan.check() if one.problem), None)
    if first is not None:
        words = f"line {first.row.line}: {_words(first)}; nothing was imported, since --whole asks for all rows"
        raise ImportRefused(words, code="import.problems")


def _reported(judged: Iterable[Judged], out: Path | None) -> Iterator[Judged]:
    """The same rows, also written into a list."""
    if out is None:
        yield from judged
        return
    with out.open("w", encoding="utf-8", newline="") as text:
        out.chmod(0o600)
        report = csv.writer(text)
        report.writerow(REPORT)
        for one in judged:
            report.writerow([one.row.line, one.row.code, one.row.time, one.row.direction, FATES[one.fate], one.words])
            yield one


def _say(summary: Summary, args: argparse.Namespace, file: log_file.LogFile) -> None:
    if args.format == "json":
        print(json.dumps(as_json(summary, file, args.check), ensure_ascii=False, indent=1))
        return
    for one in summary.told:
        print(f"line {one.row.line}: {_words(one)}")
    unsaid = summary.problems - sum(one.problem for one in summary.told)
    if unsaid > 0:
        print(f"and {unsaid} more rows that cannot be imported; --report OUT.csv lists all")
    said = ", ".join(f"{count} {FATES[fate]}" for fate, count in summary.fates.items()) or "no rows"
    print(f"{'would be: ' if args.check else ''}{said}{'; nothing was written' if args.check else ''}")


def as_json(summary: Summary, file: log_file.LogFile, checked: bool) -> dict[str, Any]:
    rows = [{"line": one.row.line, "code": one.row.code, "time": one.row.time, "fate": one.fate, "remark": one.words} for one in summary.told]
    fates = {fate: summary.fates[fate] for fate in FATES}
    return {"read_as": file.told, "rows": file.total, "checked": checked, "fates": fates, "told": rows, "remark": file.remark}


def _words(one: Judged) -> str:
    who = f"{one.row.code} {one.row.time}".strip()
    return ": ".join(filter(None, (who, FATES[one.fate], one.words)))


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)
