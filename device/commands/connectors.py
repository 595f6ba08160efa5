"""List and test the connections to the company's systems.

`test NAME` sends one marked test event that counts nowhere and says what came back, or what it could not try; --code E17 uses
a person the target knows, where docs/connectors.md says so. It compares the codes of active people in the database with what
the target takes.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from contextlib import closing
from pathlib import Path

from device.commands.options import add_config, add_database, add_json
from device.config import ConnectorSettings, Settings, loader
from device.config.fields import ConfigError
from device.config.places import database_path
from device.contract import ClockfaceError
from device.delivery.connectors import build, configured
from device.delivery.outcomes import ConnectorError
from device.storage.events import Event
from device.storage.store import Store
from device.system.clock import to_ms


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "test"), metavar="ACTION", help="list, test")
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of a table [connectors.NAME]")
    parser.add_argument("--code", metavar="E17", help="test: the code of the person in the test event")
    add_database(parser)
    add_config(parser)
    add_json(parser)
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    if (args.action == "test") != (args.name is not None):
        args.usage_error("test needs the NAME of a connector, list takes none")
    settings = loader.load(args.config)
    targets = configured(settings)
    if args.action == "list":
        return _list(targets, args.json)
    found = [target for target in targets if target.name == args.name]
    if not found:
        names = ", ".join(target.name for target in targets) or "none; give the configuration to --config"
        raise ConfigError(f"no connector {args.name!a}; configured: {names}", code="config.no_connector")
    return _test(found[0], args, _codes(database_path(settings, args.db), settings))


def _list(targets: tuple[ConnectorSettings, ...], as_json: bool) -> int:
    rows = [{"name": target.name, "kind": target.kind, "place": _place(target)} for target in targets]
    if as_json:
        print(json.dumps(rows))
    elif rows:
        for row in rows:
            print(f"{row['name']:<20} {row['kind']:<10} {row['place']}")
    else:
        print("no connector is configured; docs/connectors.md says how")
    return 0


def _place(target: ConnectorSettings) -> str:
    return next((str(getattr(target, key)) for key in ("url", "host", "folder") if getattr(target, key, "")), "")


def _codes(path: Path, settings: Settings) -> list[str]:
    """The codes of active people; none without a database."""
    if not path.exists():
        return []
    with Store.open(path, settings.store, must_exist=True, actor="connectors") as store:
        return [person.code for person in store.people() if person.active and person.code]


def _test(target: ConnectorSettings, args: argparse.Namespace, codes: list[str]) -> int:
    with closing(build(target)) as connector:
        now = round(time.time(), 3)
        event = Event(
            kind="test",
            id=0,
            key=f"test-{to_ms(now)}",
            person_id=0,
            name="Test event of Clockface",
            code=args.code or connector.test_code,
            occurred_at=now,
            direction="in",
            device=platform.node() or "terminal",
            method="manual",
            clock_synchronised=True,
        )
        try:
            notes = [connector.test(event), connector.unfit_codes(codes)]
            said, worked = connector.scrubbed("; ".join(filter(None, notes))), True
        except ClockfaceError as error:
            said, worked = connector.scrubbed(str(error)), False
    if args.json:
        print(json.dumps({"name": target.name, "ok": worked, "answer": said}, ensure_ascii=False))
    elif worked:
        print(f"{target.name}: works: {said}")
    else:
        raise ConnectorError(f"{target.name}: {said}")
    return 0 if worked else 1
