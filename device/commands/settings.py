"""List, set and unset the settings of the settings page, in force from the next start of the terminal; or describe every setting."""

from __future__ import annotations

import argparse
import json
from functools import partial

from device.commands import settings_table
from device.commands.database import open_store
from device.commands.options import add_config, add_database, add_json
from device.config import ConfigError
from device.storage import settings as stored_settings
from device.storage.settings import Above


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "set", "unset"))
    parser.add_argument("name", nargs="?", help="such as attendance.direction")
    parser.add_argument("value", nargs="?")
    add_database(parser)
    add_config(parser)
    add_json(parser)
    parser.add_argument("--help-all", action="store_true", help="print every setting with default, unit, range, help and where it may be set")
    parser.add_argument("--format", choices=settings_table.FORMATS, default="text", help="of --help-all")
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    if args.help_all:
        print(json.dumps(settings_table.rows(), indent=2) if args.json else settings_table.FORMATS[args.format]())
        return 0
    if args.action is None:
        args.usage_error("the following arguments are required: action")
    with open_store(args, "settings") as store:
        if args.action == "list":
            stored = stored_settings.read(store)
            flat = {f"{section}.{key}": value for section, table in stored.items() for key, value in table.items()}
            above = stored_settings.overridden(store, args.config)
            lines = [f"{name} = {value!r}" for name, value in flat.items() if name not in above]
            lines += [_from_above(name, *both) for name, both in above.items()]
            in_force = flat | {name: one.value for name, (one, _) in above.items()}
            print(json.dumps(in_force) if args.json else "\n".join(lines) or "nothing is set on the settings page")
            return 0
        known = {setting.name: setting for setting in stored_settings.editable()}
        kept = {f"{section}.{key}" for section, table in stored_settings.read(store).items() for key in table}  # unknown ones too
        if args.name not in (known if args.action == "set" else {*known, *kept}) or (args.action == "set") == (args.value is None):
            raise ConfigError("usage: settings set NAME VALUE, settings unset NAME; NAME is one of " + ", ".join(known), code="config.usage")
        value = stored_settings.parsed(known[args.name], args.value) if args.action == "set" else None
        if args.action == "unset":
            stored_settings.forget(store, args.name)
        else:
            from device.terminal.model_in_force import check_covered  # needs OpenCV and ONNX Runtime: only here

            stored_settings.change(store, args.config, {args.name: value}, partial(check_covered, store))
        print(f"{args.name} is {'set' if args.action == 'set' else 'back to the file or the default'}, from the next start on")
    return 0


def _from_above(name: str, above: Above, local: object) -> str:
    own = "" if local is None else f"; {local!r}, set here, does not count"
    return f"{name} = {above.value!r} (of the fleet's group {above.group!r}{own})"
