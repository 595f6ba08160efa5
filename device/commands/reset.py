"""Back to factory: says what is erased, asks for the name of the terminal, destroys the keys, then everything that it has learnt; the release stays.

The terminal must be stopped. A reset that was cut off goes on with the next start, or with this command. Deliver and back up before what is worth keeping.
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

from device.commands.options import add_config, add_database
from device.config import loader
from device.config.places import database_path
from device.fleet.farewell import Tell, farewell
from device.maintenance import factory_reset
from device.maintenance.factory_reset import ToErase
from device.storage.database import TerminalLock
from device.storage.reset_mark import ResetError, is_marked
from device.storage.store import Store
from device.system.ownership import acting_as_owner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", metavar="NAME", help="do not ask; the name of this terminal")
    parser.add_argument("--lose", type=int, metavar="N", help="with --yes: the number of rows that are not delivered, and are lost")
    add_database(parser)
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    database = database_path(loader.load(args.config), args.db)
    if not is_marked(database):  # else it was confirmed before, and goes on
        found = factory_reset.looked_at(database)
        with acting_as_owner(database):
            TerminalLock(database).release()  # refused while a terminal runs
        name = platform.node() or "terminal"
        print(f"reset of {name} to factory erases {database}:", *factory_reset.said(found), sep="\n  ", flush=True)
        given, lost = (args.yes, args.lose) if args.yes is not None else _asked(name, found)
        factory_reset.check(found, name, given, lost)
        tell = _farewell(database) if found.fleet else None
        factory_reset.begin(database, found.store)
        if tell is not None:
            print("the fleet was told" if tell() else f"the fleet was not told: {factory_reset.REVOKE}", flush=True)
    for line in factory_reset.go_on(database):
        print(line)
    return 0


def _farewell(database: Path) -> Tell | None:
    with Store.open(database, must_exist=True, actor="reset") as store:
        return farewell(store, to_factory=True)


def _asked(name: str, found: ToErase) -> tuple[str, int | None]:
    if not sys.stdin.isatty():
        raise ResetError(f"a reset cannot be undone; add --yes {name} to do it without a question", code="reset.not_confirmed")
    given = _line(f"This cannot be undone. Type the name of this terminal ({name}) to erase all this: ")
    if given != name or not found.undelivered:
        return given, None
    number = _line(f"{found.undelivered} rows are not delivered and would be lost. Type this number to lose them: ")
    return given, int(number) if number.isdecimal() else None


def _line(question: str) -> str:
    print(question, end="", flush=True)
    return sys.stdin.readline().strip()
