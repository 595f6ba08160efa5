"""Who is told of open matters, and what is open.

list (also without an action) shows the recipients with their rules and what waits for each; open shows what is open now; test NUMBER sends a test message
to a recipient and prints the answer of its server. The page Notices adds and changes recipients (docs/notices.md).
"""

from __future__ import annotations

import argparse
import json
import platform
from typing import Any

from device.commands.options import add_config, add_database, add_json
from device.config import Settings, loader
from device.config.places import database_path
from device.delivery.outcomes import ConnectorError
from device.storage.matters import KINDS, open_matters
from device.storage.recipients import Recipient, recipient, recipients
from device.storage.store import Store
from device.system.clock import iso_utc
from device.web.letters import said, send_trial
from device.web.messages import Messages

ACTIONS = ("list", "open", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", metavar="ACTION", help=", ".join(ACTIONS))
    parser.add_argument("number", nargs="?", type=int, metavar="NUMBER", help="test: the recipient, as list prints it")
    add_database(parser)
    add_config(parser)
    add_json(parser)
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    if (args.action == "test") != (args.number is not None):
        args.usage_error("test needs the NUMBER of a recipient, list and open take none")
    settings = loader.load(args.config)
    with Store.open(database_path(settings, args.db), settings.store, must_exist=True, actor="cli") as store:
        if args.action == "open":
            return _open(store, args.json)
        with store.reading() as db:
            found = recipients(db) if args.action == "list" else [recipient(db, args.number)]
    return _list(found, settings, args.json) if args.action == "list" else _test(found[0], settings, args.json)


def _list(found: list[Recipient], settings: Settings, as_json: bool) -> int:
    names = {target.name for target in settings.connectors}
    rows = [_row(one, one.connector in names) for one in found]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    for row in rows:
        sees = f"as {row['login']}" if row["login"] else "no names"
        rules = ", ".join(f"{kind} {way}" for kind, way in row["rules"].items()) or "told nothing"
        gone = "" if row["configured"] else f"; {row['connector']} is not configured here: give the configuration to --config"
        print(f"{row['number']:>3}  {row['address'] or row['connector']} by {row['connector']}, {sees}, digest at {row['digest_hour']:02}:00: {rules}{gone}")
    if not rows:
        print("nobody is told anything: the page Notices adds recipients (docs/notices.md)")
    return 0


def _row(one: Recipient, configured: bool) -> dict[str, Any]:
    known = {key: getattr(one, key) for key in ("connector", "address", "login", "language", "digest_hour")}
    return {"number": one.id, **known, "rules": dict(one.rules), "configured": configured}


def _open(store: Store, as_json: bool) -> int:
    with store.reading() as db:
        found = open_matters(db, list(KINDS))
    if as_json:
        rows = [{"kind": one.kind, "since": iso_utc(one.since), "person_id": one.person_id, **one.details} for one in found]
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return 0
    clock, says = store.clock(), Messages.load("en")
    for one in found:
        words = one.details.get("words", "")
        print(f"{one.kind:<12} since {clock.named(one.since)}  {said(says, one)}{f': {words}' if words else ''}")
    print(f"{len(found)} open" if found else "nothing is open")
    return 0


def _test(one: Recipient, settings: Settings, as_json: bool) -> int:
    try:
        answer, went = send_trial(settings, one, platform.node() or "terminal"), True
    except ConnectorError as error:
        if not as_json:
            raise
        answer, went = str(error), False
    print(json.dumps({"number": one.id, "sent": went, "answer": answer}, ensure_ascii=False) if as_json else f"{one.place}: sent: {answer}")
    return 0 if went else 1
