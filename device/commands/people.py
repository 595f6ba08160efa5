"""List, show, import, rename, deactivate, activate, merge and erase people. REF is an id, a code, an exact name, or id:17."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from device.attendance import planning
from device.commands import list_import
from device.commands.database import open_store, store_to_fill
from device.commands.options import add_config, add_database, add_json
from device.config import loader, without_liveness
from device.contract import ClockfaceError
from device.maintenance.key_export import given_out
from device.storage import groups
from device.storage import settings as stored_settings
from device.storage.store import Person, Store, StoreError
from device.system.clock import iso_utc
from device.system.number_of import number_of
from device.system.time_zones import LocalClock

if TYPE_CHECKING:
    from device.vision.recogniser import Recogniser

ACTIONS = {  # name -> one line
    "list": "list everybody",
    "show": "show one person, and who of the others looks most like them",
    "import": "add people from a list, and change department, days of employment and plan of those who are here",
    "rename": "give a person another name",
    "department": "say which department a person belongs to; a dot for none",
    "deactivate": "recognise and record a person no longer; everything is kept",
    "activate": "recognise and record a person again, unless their face stands under somebody else by now",
    "merge": "let everything of a second record of a person count for the first: templates, punches, absences, plan; --undo within a day",
    "erase": "forget a person: name, code, templates and crops; the punches stay under a pseudonym, or go by [retention] erased_punches",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, summary in ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        if name == "import":
            list_import.add_file(action, "a list with columns code, name; optional first_day, last_day, department, plan")
            action.add_argument("--whole", action="store_true", help="write nothing if one row is refused")
            action.add_argument("--rename", action="store_true", help="take the list's names for people who are here under another name")
        elif name != "list":
            action.add_argument("ref", metavar="REF", help="id, code, exact name, or id:17")
        if name == "rename":
            action.add_argument("name", help="the new name")
        if name == "department":
            action.add_argument("name", help="the department; a dot for none")
        if name == "deactivate":
            action.add_argument("--last-day", metavar="D", help="last day of employment (default: today, unless one is known)")
        if name == "merge":
            action.add_argument("other", nargs="?", metavar="OTHER", help="the second record, which is deactivated")
            action.add_argument("--undo", action="store_true", help="take the last merge into REF back")
            action.add_argument("--anyway", action="store_true", help="also where the two faces are not alike")
        if name == "erase":
            action.add_argument("--yes", action="store_true", help="do not ask")
        add_database(action)
        add_config(action)
        add_json(action)


def run(args: argparse.Namespace) -> int:
    if args.action == "import":
        return _import(args)
    with open_store(args, "people") as store:
        if args.action == "list":
            counts = store.template_counts_by_person()
            _print_list([_described(store, person, counts) for person in store.people()], args.json, store.clock())
            return 0
        person = store.person(args.ref)
        if args.action == "merge":
            return _merge(store, person, args)
        if args.action == "erase" and not (args.yes or _confirmed(person)):
            print("nothing was erased")
            return 1
        changed = _act(store, person, args)
        row = _described(store, changed, store.template_counts_by_person())
        if args.action == "erase" and (given := given_out(store.keys.store)) and given.erased:
            print(f"note: {given.words}", file=sys.stderr)
        if args.action == "show":
            row["nearest"] = _nearest(store, changed, args) if row["templates"] else None
        _print_one(row, args.json, store.clock())
    return 0


def _import(args: argparse.Namespace) -> int:
    from device.attendance.imports import people_import

    table = people_import.read(args.file)  # before a database is begun for it
    with store_to_fill(args, "people") as store:
        today = planning.Planning(store).site().day_of(int(time.time() // 60))
        how = people_import.How(args.check, args.whole, args.rename, args.order)
        return list_import.say(people_import.import_people(store, table, today, "people import", how), table.told, args)


def _act(store: Store, person: Person, args: argparse.Namespace) -> Person:
    if args.action == "rename":
        return store.rename(person.id, args.name)
    if args.action == "show":
        return person
    if args.action == "department":
        with store.reading() as db:
            before = groups.places(db)[person.id]
        groups.set_place(store, person.id, groups.Belonging(before.sites, "" if args.name == "." else args.name))
        return store.person(person.id)
    if args.action == "activate":
        _check_return(store, person, args)
    if args.action == "deactivate":
        return store.deactivate(person.id, planning.day(args.last_day) if args.last_day else None)
    changes = {"activate": store.activate, "erase": store.erase}
    return changes[args.action](person.id)


def _check_return(store: Store, person: Person, args: argparse.Namespace) -> None:
    """As at an enrolment; somebody without templates needs no model."""
    if store.template_counts_by_person().get(person.id):
        from device.terminal.returning import check_return  # needs OpenCV and ONNX Runtime: only here

        check_return(store, _recogniser(store, args), person)


def _merge(store: Store, person: Person, args: argparse.Namespace) -> int:
    from device.attendance import merging

    if args.undo == (args.other is not None):
        raise StoreError("usage: people merge REF OTHER, or people merge REF --undo", code="merge.usage")
    by = "command line"
    if args.undo:
        done = merging.undo(store, person.id, by)
    else:
        other = store.person(args.other)
        if not args.anyway:
            from device.terminal.returning import check_alike  # needs OpenCV and ONNX Runtime: only here

            check_alike(store, _recogniser(store, args), person, other, "--anyway")
        done = merging.merge(store, person.id, other.id, by)
    print(json.dumps({"person_id": done.into.id, "other_id": done.other.id, "left": done.left}) if args.json else done.words)
    return 0


def _recogniser(store: Store, args: argparse.Namespace) -> Recogniser:
    from device.terminal.model_in_force import recogniser_in_force

    return recogniser_in_force(store, without_liveness(loader.load(args.config, stored_settings.read(store))), lambda line: None)


def _confirmed(person: Person) -> bool:
    if not sys.stdin.isatty():
        raise StoreError(f"erasing {person.name} (id {person.id}) cannot be undone; add --yes to do it without a question", code="store.not_confirmed")
    print(f"Erase {person.name} (id {person.id})? This cannot be undone. [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")  # the end of input is a no


def _described(store: Store, person: Person, counts: dict[int, dict[str, int]]) -> dict[str, Any]:
    last = store.last_punch(person.id)
    with store.reading() as db:
        department = db.execute("SELECT department FROM people WHERE id = ?", [person.id]).fetchone()[0]
    return {
        "person_id": person.id,
        "name": person.name,
        "code": person.code,
        "state": "erased" if person.erased else "active" if person.active else "inactive",
        "enrolled_at": iso_utc(person.created_at),
        "templates": counts.get(person.id, {}),  # model id -> how many
        "last_punch": {"occurred_at": iso_utc(last.occurred_at), "direction": last.direction} if last else None,
        "department": department,
    }


def _nearest(store: Store, person: Person, args: argparse.Namespace) -> dict[str, Any] | None:
    """Whoever is most alike among all others who are recognised; None if nobody is, or if there is no model to compare with."""
    try:
        from device.terminal.enrolled import gallery_of  # here, because few actions need the model

        match = gallery_of(store, _recogniser(store, args)).nearest(person.id)
    except (ClockfaceError, OSError, ImportError) as error:
        print(f"note: nobody is compared with {person.name}: {' '.join(str(error).split())}", file=sys.stderr)
        return None
    return None if match is None else {"person_id": match.person_id, "name": store.person(match.person_id).name, "score": round(match.score, 4)}


def _print_list(rows: list[dict[str, Any]], as_json: bool, clock: LocalClock) -> None:
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    table = Table("id", "name", "code", "state", "templates", "last punch")
    for row in rows:
        table.add_row(*(Text(cell) for cell in _cells(row, clock)))  # Text: a name is never read as markup
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)
    console.print(number_of(len(rows), "person"))


def _print_one(row: dict[str, Any], as_json: bool, clock: LocalClock) -> None:
    if as_json:
        print(json.dumps(row, ensure_ascii=False))
        return
    for label, cell in zip(("id", "name", "code", "state", "templates", "last punch"), _cells(row, clock), strict=True):
        print(f"{label:11}{cell}")
    if "nearest" in row:
        near = row["nearest"]
        print(f"{'nearest':11}{near['name']} (id {near['person_id']}, score {near['score']:.2f})" if near else "nearest")


def _cells(row: dict[str, Any], clock: LocalClock) -> list[str]:
    last = row["last_punch"]
    when = clock.named(datetime.fromisoformat(last["occurred_at"].replace("Z", "+00:00")).timestamp()) if last else ""
    templates = ", ".join(f"{count} of {model_id[:12]}" for model_id, count in row["templates"].items())
    return [str(row["person_id"]), row["name"], row["code"] or "", row["state"], templates, f"{last['direction']} {when}" if last else ""]
