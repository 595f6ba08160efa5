"""The outbox: events that wait for the company's systems.

Actions: list (also without an action), dead (dead letters with the answer they got), replay and discard (dead letters: all,
those of one target, or some by --id), fill NAME --from D (queue punches recorded before the target was there), drain
(deliver until stopped; with --once what is due, then stop). NAME is that of a table [connectors.NAME].

A table that was renamed: move OLD NEW gives everything to the new name. One that was removed: discard NAME --all gives up
whatever waits for it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from device.commands.dates import first_moment, last_moment, span
from device.commands.options import add_config, add_database, add_json
from device.config import Settings, loader
from device.config.fields import ConfigError
from device.config.places import database_path
from device.delivery.connectors import configured, takes_alarms, takes_punches
from device.delivery.couriers import delivering, drain
from device.storage.outbox_rows import DeadLetter, TargetHealth
from device.storage.store import Store
from device.system.clock import iso_utc
from device.system.time_zones import LocalClock
from device.web.letters import written

ACTIONS = ("list", "dead", "replay", "discard", "move", "fill", "drain")
MOMENTS = ("last_delivered_at", "next_attempt_at", "error_at", "oldest_waiting_at", "occurred_at", "tried_at")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", metavar="ACTION", help=", ".join(ACTIONS))
    parser.add_argument("name", nargs="?", metavar="NAME", help="one target (default: all)")
    parser.add_argument("new", nargs="?", metavar="NEW", help="move: the name that the target has now")
    parser.add_argument("--id", dest="ids", type=int, action="append", metavar="N", help="replay, discard: a dead letter by its number; may be repeated")
    parser.add_argument("--all", action="store_true", help="discard: all dead letters (of NAME); of a target that is not configured, all that waits")
    parser.add_argument("--from", dest="since", type=first_moment, metavar="D", help="fill: punches from this day or time on")
    parser.add_argument("--to", dest="until", type=last_moment, metavar="D", help="fill: punches up to this day, included, or before this time")
    parser.add_argument("--again", action="store_true", help="fill: send events again that were delivered before")
    parser.add_argument("--once", action="store_true", help="drain: deliver what is due, then stop; exit 1 if something is left")
    add_database(parser)
    add_config(parser)
    add_json(parser)
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    _check_usage(args)
    settings = loader.load(args.config)
    path = database_path(settings, args.db)
    with Store.open(path, settings.store, must_exist=True, actor="outbox") as store:
        _check_name(store, settings, args.name)
        if args.action == "fill":
            return _fill(store, settings, args)
        if args.action == "move":
            _set_targets(store, settings, args.config is not None)
            return _said(args, {"count": store.outbox.move(args.name, args.new)}, f"{{count}} events that waited for {args.name} wait for {args.new} now")
        if args.action == "discard" and args.all and args.name is not None and args.name not in {target.name for target in settings.connectors}:
            _set_targets(store, settings, args.config is not None)
            return _said(args, {"count": store.outbox.forget(args.name)}, f"{{count}} events discarded; {args.name} is not listed any more")
        if args.action in ("replay", "discard"):
            act = store.outbox.replay if args.action == "replay" else store.outbox.discard
            return _said(args, {"count": act(args.name, args.ids)}, f"{{count}} dead letters {args.action}ed")
        if args.action == "dead":
            return _print_dead(store.outbox.dead_letters(args.name), args.json, store.clock())
        if args.action == "list":
            return _print_targets([target for target in store.outbox.summary() if args.name in (None, target.connector)], settings, args.json, store.clock())
    return _drain(path, settings, args)


def _check_usage(args: argparse.Namespace) -> None:
    only = {"ids": ("replay", "discard"), "all": ("discard",), "since": ("fill",), "until": ("fill",), "again": ("fill",), "once": ("drain",)}
    for key, actions in only.items():
        if getattr(args, key) and args.action not in actions:
            option = {"ids": "id", "since": "from", "until": "to"}.get(key, key)
            args.usage_error(f"--{option} goes with {' or '.join(actions)}")
    if (args.action == "move") != (args.new is not None):
        args.usage_error("move, and nothing else, takes two names: outbox move OLD NEW")
    if args.action == "fill" and (args.name is None or args.since is None):
        args.usage_error("fill needs the target and a day: outbox fill NAME --from 2026-11-01")
    if args.action == "discard" and args.all == bool(args.ids):
        args.usage_error("discard needs --id N or --all")


def _check_name(store: Store, settings: Settings, name: str | None) -> None:
    known = {target.connector for target in store.outbox.summary()} | {target.name for target in settings.connectors}
    if name is not None and name not in known:
        raise ConfigError(f"no target {name!a}; known: {', '.join(sorted(known)) or 'none; give the configuration to --config'}", code="config.no_connector")


def _fill(store: Store, settings: Settings, args: argparse.Namespace) -> int:
    _set_targets(store, settings)
    try:
        since, until = span(args.since, args.until, store.clock())
    except argparse.ArgumentTypeError as error:
        args.usage_error(str(error))
    count = store.outbox.fill(args.name, since, until, args.again)
    return _said(args, {"count": count}, f"{{count}} events queued for {args.name}")


def _set_targets(store: Store, settings: Settings, even_none: bool = False) -> None:
    if settings.connectors or even_none:
        targets = configured(settings)
        apart = [target.name for target in targets if not takes_punches(target)]
        alarms = [target.name for target in targets if takes_alarms(target) and target.name not in apart]
        store.outbox.set_targets([target.name for target in targets], alarms, apart)


def _drain(path: Path, settings: Settings, args: argparse.Namespace) -> int:
    if not settings.connectors:
        raise ConfigError("no connector is configured; give the configuration with [connectors.NAME] tables to --config", code="config.no_connector")
    if not args.once:
        with delivering(path, settings, _say, write=written(settings)):
            print(f"delivering to {', '.join(target.name for target in settings.connectors)}; stop with Ctrl-C", flush=True)
            while True:
                time.sleep(3600)
    with Store.open(path, settings.store, must_exist=True):
        pass  # a delivery begins no database
    done = drain(path, settings, None if args.name is None else [args.name], _say, written(settings))
    with Store.open(path, settings.store) as store:
        left = {target.connector: target.waiting for target in store.outbox.summary() if target.connector in done}
        dead = {target.connector: target.dead for target in store.outbox.summary() if target.connector in done}
    for name, count in done.items():
        if not args.json:
            print(f"{name}: {count} events done, {left[name]} waiting, {dead[name]} dead letters")
    if args.json:
        print(json.dumps([{"connector": name, "done": count, "waiting": left[name], "dead": dead[name]} for name, count in done.items()]))
    return 1 if any(left.values()) else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _said(args: argparse.Namespace, values: dict[str, int], words: str) -> int:
    print(json.dumps(values) if args.json else words.format(**values))
    return 0


def _described(row: TargetHealth | DeadLetter) -> dict[str, Any]:
    fields = dataclasses.asdict(row)
    return {key: iso_utc(value) if key in MOMENTS and value is not None else value for key, value in fields.items()}


def _print_targets(targets: list[TargetHealth], settings: Settings, as_json: bool, clock: LocalClock) -> int:
    if as_json:
        print(json.dumps([_described(target) for target in targets], ensure_ascii=False, indent=1))
        return 0
    table = Table("target", "waiting", "oldest", "dead letters", "last delivered", "state")
    for target in targets:
        oldest, last = _local(target.oldest_waiting_at, clock), _local(target.last_delivered_at, clock)
        table.add_row(*map(Text, (target.connector, str(target.waiting), oldest, str(target.dead), last, _state(target, clock))))
    _console().print(table)
    missing = [target.name for target in settings.connectors if target.name not in {t.connector for t in targets}]
    if missing:
        print(f"configured, but not started yet: {', '.join(missing)} (`outbox fill NAME --from D` queues earlier punches)")
    return 0


def _state(target: TargetHealth, clock: LocalClock) -> str:
    if not target.active:
        return f"not configured: `outbox move {target.connector} NEW` or `outbox discard {target.connector} --all`"
    if not target.failures:
        if target.error:
            return f"works, but: {target.error}"
        return "works" if target.last_delivered_at else "nothing sent yet"
    return f"{target.error}; {target.failures} failures, next attempt {_local(target.next_attempt_at, clock)}"


def _print_dead(letters: list[DeadLetter], as_json: bool, clock: LocalClock) -> int:
    if as_json:
        print(json.dumps([_described(letter) for letter in letters], ensure_ascii=False, indent=1))
        return 0
    table = Table("id", "target", "event", "person", "code", "time", "direction", "answer")
    for letter in letters:
        what, when = f"{letter.kind} {letter.event_id}", _local(letter.occurred_at, clock)
        counts = letter.direction or ("" if letter.person_id is None else "does not count")  # an alarm is about nobody
        cells = (str(letter.id), letter.connector, what, str(letter.person_id or ""), letter.code or "", when, counts)
        table.add_row(*map(Text, (*cells, letter.answer or "")))
    _console().print(table)
    print(f"{len(letters)} dead letters" + ("; `outbox replay` sends them again once the cause is gone" if letters else ""))
    return 0


def _local(moment: float | None, clock: LocalClock) -> str:
    return "" if moment is None else f"{clock.said(moment)} {clock.abbreviation(moment)}"


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=200)
