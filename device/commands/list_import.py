"""Options and words that the imports of lists share."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from device.attendance.imports.rows import FATES, Result

MOST_TOLD = 200


def add_file(parser: argparse.ArgumentParser, words: str) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=words)
    parser.add_argument("--check", action="store_true", help="tell the fate of each row and write nothing")
    first = parser.add_mutually_exclusive_group()
    first.add_argument("--day-first", dest="order", action="store_const", const="day", help="02/12/2026 is the second of December")
    first.add_argument("--month-first", dest="order", action="store_const", const="month", help="02/12/2026 is the twelfth of February")


def say(result: Result, read_as: str, args: argparse.Namespace) -> int:
    """Print each row's fate; returns the exit code."""
    if args.json:
        rows = [{"line": row.line, "about": row.about, "fate": row.fate, "remark": row.words} for row in result.rows]
        fates = {fate: result.counts[fate] for fate in FATES}
        print(json.dumps({"read_as": read_as, "checked": args.check, "written": result.written, "fates": fates, "rows": rows}, ensure_ascii=False, indent=1))
        return 1 if result.problems else 0
    print(f"note: {args.file} was read as {read_as}", file=sys.stderr)
    told = [row for row in result.rows if row.fate != "present"]
    for row in sorted(told, key=lambda row: (not row.problem, row.line))[:MOST_TOLD]:
        print(f"line {row.line}: {': '.join(filter(None, (row.about, FATES[row.fate], row.words)))}")
    if len(told) > MOST_TOLD:
        print(f"and {len(told) - MOST_TOLD} more rows; --json lists all")
    said = ", ".join(f"{count} {FATES[fate]}" for fate, count in result.counts.items()) or "no rows"
    print(f"{said}{'' if result.written else '; nothing was written'}")
    return 1 if result.problems else 0
