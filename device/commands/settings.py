"""List, set and unset the settings of the settings page, in force from the next start of the terminal; or describe every setting."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from device.commands import set_up_code, settings_table
from device.commands.database import open_store
from device.commands.options import add_config, add_database, add_json, add_out
from device.config.fields import ConfigError
from device.storage import settings as stored_settings
from device.storage.audit import Action
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
    parser.add_argument("--code", action="store_true", help="make a set-up code for a new terminal, with the zone and language of this one; good for an hour")
    parser.add_argument("--admin", action="store_true", help="with --code: with a one-time password of the first administrator, which is shown here")
    parser.add_argument("--from-code", type=Path, metavar="PICTURE", help="set this terminal up by the code in a picture, as its camera would")
    set_up_code.add_arguments(parser)
    add_out(parser, "with --code: a picture of the codes; default: here in the window")
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    if args.help_all:
        print(json.dumps(settings_table.rows(), indent=2) if args.json else settings_table.FORMATS[args.format]())
        return 0
    if args.code or args.from_code:
        return _code(args) if args.code else _from_code(args)
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


def _code(args: argparse.Namespace) -> int:
    from device.web.access import passwords  # needs the library for passwords: only here

    with open_store(args, "settings") as store:
        code = set_up_code.like(store, args.config, set_up_code.asked(args))
        if args.admin:
            code = replace(code, admin_password=passwords.invented())
        with store.transaction():  # the code is only shown once this is kept
            store.note(Action.SET_UP_CODE_MADE, **code.checked().gives)
    set_up_code.show(code, args.out)
    if args.admin:
        print(f"first login there: admin, password {code.admin_password} (to be changed at the first login; it is not shown again)")
    return 0


def _from_code(args: argparse.Namespace) -> int:
    from device.web.access import set_up_by_code

    code = set_up_code.read(args.from_code)
    print(f"this code sets: {set_up_code.told(code)}")
    with open_store(args, "cli", must_exist=False) as store:
        set_up_by_code.do(store, args.config, code, "cli")
    print("done; it counts from the next start of the terminal on")
    return 0


def _from_above(name: str, above: Above, local: object) -> str:
    own = "" if local is None else f"; {local!r}, set here, does not count"
    return f"{name} = {above.value!r} (of the fleet's group {above.group!r}{own})"
