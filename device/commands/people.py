"""List, show, rename, deactivate, activate and erase people. REF is an id, a code, an exact name, or id:17."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from device import config
from device.commands.database import open_store
from device.commands.options import add_config, add_database, add_json
from device.contract import ClockfaceError
from device.storage import settings as stored_settings
from device.storage.store import Person, Store, StoreError
from device.system.clock import iso_utc

ACTIONS = {  # name -> one line
    "list": "list everybody",
    "show": "show one person, and who of the others looks most like them",
    "rename": "give a person another name",
    "deactivate": "recognise and record a person no longer; everything is kept",
    "activate": "recognise and record a person again",
    "erase": "forget a person: name, code, templates and crops; the punches stay under a pseudonym, or go by [retention] erased_punches",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, summary in ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        if name != "list":
            action.add_argument("ref", metavar="REF", help="id, code, exact name, or id:17")
        if name == "rename":
            action.add_argument("name", help="the new name")
        if name == "erase":
            action.add_argument("--yes", action="store_true", help="do not ask")
        add_database(action)
        add_config(action)
        add_json(action)


def run(args: argparse.Namespace) -> int:
    with open_store(args, "people") as store:
        if args.action == "list":
            counts = store.template_counts_by_person()
            _print_list([_described(store, person, counts) for person in store.people()], args.json)
            return 0
        person = store.person(args.ref)
        if args.action == "erase" and not (args.yes or _confirmed(person)):
            print("nothing was erased")
            return 1
        changed = _act(store, person, args)
        row = _described(store, changed, store.template_counts_by_person())
        if args.action == "show":
            row["nearest"] = _nearest(store, changed, args) if row["templates"] else None
        _print_one(row, args.json)
    return 0


def _act(store: Store, person: Person, args: argparse.Namespace) -> Person:
    if args.action == "rename":
        return store.rename(person.id, args.name)
    if args.action == "show":
        return person
    changes = {"deactivate": store.deactivate, "activate": store.activate, "erase": store.erase}
    return changes[args.action](person.id)


def _confirmed(person: Person) -> bool:
    if not sys.stdin.isatty():
        raise StoreError(f"erasing {person.name} (id {person.id}) cannot be undone; add --yes to do it without a question", code="store.not_confirmed")
    print(f"Erase {person.name} (id {person.id})? This cannot be undone. [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")  # the end of input is a no


def _described(store: Store, person: Person, counts: dict[int, dict[str, int]]) -> dict[str, Any]:
    last = store.last_punch(person.id)
    return {
        "person_id": person.id,
        "name": person.name,
        "code": person.code,
        "state": "erased" if person.erased else "active" if person.active else "inactive",
        "enrolled_at": iso_utc(person.created_at),
        "templates": counts.get(person.id, {}),  # model id -> how many
        "last_punch": {"occurred_at": iso_utc(last.occurred_at), "direction": last.direction} if last else None,
    }


def _nearest(store: Store, person: Person, args: argparse.Namespace) -> dict[str, Any] | None:
    """Whoever is most alike among all others who are recognised; None if nobody is, or if there is no model to compare with."""
    try:
        from device.terminal.enrolled import gallery_of  # here, because no other action needs the model
        from device.terminal.model_in_force import recogniser_in_force

        settings = config.without_liveness(config.load(args.config, stored_settings.read(store)))
        recogniser = recogniser_in_force(store, settings, lambda line: None)
        match = gallery_of(store, recogniser).nearest(person.id)
    except (ClockfaceError, OSError, ImportError) as error:
        print(f"note: nobody is compared with {person.name}: {' '.join(str(error).split())}", file=sys.stderr)
        return None
    return None if match is None else {"person_id": match.person_id, "name": store.person(match.person_id).name, "score": round(match.score, 4)}


def _print_list(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    table = Table("id", "name", "code", "state", "templates", "last punch")
    for row in rows:
        table.add_row(*(Text(cell) for cell in _cells(row)))  # Text: a name is never read as markup
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)
    console.print(f"{len(rows)} people")


def _print_one(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(row, ensure_ascii=False))
        return
    for label, cell in zip(("id", "name", "code", "state", "templates", "last punch"), _cells(row), strict=True):
        print(f"{label:11}{cell}")
    if "nearest" in row:
        near = row["nearest"]
        print(f"{'nearest':11}{near['name']} (id {near['person_id']}, score {near['score']:.2f})" if near else "nearest")


def _cells(row: dict[str, Any]) -> list[str]:
    last = row["last_punch"]
    templates = ", ".join(f"{count} of {model_id[:12]}" for model_id, count in row["templates"].items())
    return [str(row["person_id"]), row["name"], row["code"] or "", row["state"], templates, f"{last['direction']} {last['occurred_at']}" if last else ""]
