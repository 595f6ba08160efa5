"""`fleet settings`: values for groups of devices, with what they change where before it is done."""

from __future__ import annotations

import argparse
import json

from device.commands.options import add_json
from device.contract import ClockfaceError


class FleetUsageError(ClockfaceError):
    """The command was not given what it needs."""

    code = "fleet.usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--group", metavar="G", help='"all", the name of a site, or of a group of your own')
    parser.add_argument("--add", action="append", default=[], metavar="DEVICE", help="put a device into the group, which is made where it is new")
    parser.add_argument("--remove", action="append", default=[], metavar="DEVICE", help="take a device out of the group")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="such as attendance.refractory_seconds=90")
    parser.add_argument("--unset", action="append", default=[], metavar="NAME", help="let each terminal's own value count again")
    parser.add_argument("--preview", action="store_true", help="print what would change where, and change nothing")
    add_json(parser)


def settings(args: argparse.Namespace) -> int:
    from device.fleet import groups, server

    given = groups.values(args.set)
    asked = bool(given or args.unset or args.add or args.remove)
    if asked and not args.group:
        raise FleetUsageError('say for which devices: --group all, the name of a site, or a group of your own (--group "Outdoors" --add "Gate A")')
    with server.connected(args.url) as connection:
        if not asked:
            _print_groups(groups.listed(connection), groups.troubles(connection), args.json)
            return 0
        changes = groups.change(connection, args.group, given, args.unset, args.add, args.remove, args.preview)
    if args.json:
        print(json.dumps([change.__dict__ for change in changes], indent=1))
        return 0
    print("\n".join(change.words for change in changes) or "nothing changes at any device")
    if changes:
        done = "each device checks them and takes them from its next start on; `fleet settings` shows who refused"
        print("a preview: nothing was changed" if args.preview else done)
    return 0


def _print_groups(rows: list[dict[str, object]], troubles: list[str], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"groups": rows, "troubles": troubles}, indent=1))
        return
    for row in rows:
        devices, given = row["devices"], row["settings"]
        assert isinstance(devices, list) and isinstance(given, dict)
        print(f"{row['name']}{_named(devices)}: " + (", ".join(f"{key} = {json.dumps(value)}" for key, value in given.items()) or "no values"))
    print("\n".join([*troubles] or (["no device refused or waits for a restart"] if rows else ["nothing is set from above"])))


def _named(devices: list[str]) -> str:
    return f" ({', '.join(devices)})" if devices else ""


def add_rollout_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("release", help="as `update list` shows it, such as 0.2.0-3f1c5a8e90ab")
    parser.add_argument("--from", dest="source", default="", metavar="URL", help="where terminals fetch its signed bundle (needed once)")
    parser.add_argument("--ring", choices=("one", "tenth", "all"), help="whom to ask; without it: how those stand who were asked")
    add_json(parser)


def rollout(args: argparse.Namespace) -> int:
    from device.fleet import rollout as rollouts
    from device.fleet import server

    with server.connected(args.url) as connection:
        rows = rollouts.advance(connection, args.release, args.source, args.ring) if args.ring else rollouts.states(connection, args.release)
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        print("\n".join(f"{row['device']}: {row['worse'] or ('runs it' if row['done'] else 'asked')}" for row in rows) or "nobody has been asked")
    return 1 if any(row["worse"] for row in rows) else 0
