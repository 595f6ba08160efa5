"""`run --desk`: the pages over all devices of the company, without camera and model, over copies in a database of its own."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from device.commands.watching import watching
from device.config import ConnectorTable, Settings, loader
from device.config.places import HOME, ROOT, database_path
from device.contract import ClockfaceError
from device.delivery.connectors import configured, takes_notices, takes_punches
from device.delivery.couriers import delivering
from device.maintenance import database_start
from device.maintenance.scheduler import upkeep
from device.storage import settings as stored_settings
from device.storage.store import Store
from device.system.restart import Say
from device.system.systemd import ready
from device.web.letters import written

DESK = "desk.db"  # beside the database that a terminal on this machine would have


def desk_path(settings: Settings, given: str | None) -> Path:
    """The database of a desk on this machine."""
    path = database_path(settings, given)
    return path if given else path.with_name(DESK)


def notices_alone(settings: Settings) -> tuple[ConnectorTable, ...]:
    """The targets that get notices and no punches: these are delivered by the terminals that recorded them."""
    names = [target.name for target in configured(settings) if takes_notices(target) and not takes_punches(target)]
    return tuple(target for target in settings.connectors if target.name in names)


def version() -> str:
    """The release that runs here; "" in a checkout."""
    return ROOT.name if HOME != ROOT else ""


def run(args: argparse.Namespace, say: Say) -> bool:
    """Serve until Ctrl-C, or until an admin asks for a restart; returns whether it is to start again.

    Raises:
        ClockfaceError: given together with what only a terminal has; not joined as a desk; another desk runs on its database.
    """
    if args.source or args.once or args.no_web or args.annotate:
        raise ClockfaceError("--desk serves pages alone: leave --source, --once, --annotate and --no-web out", code="desk.together")
    settings = loader.load(args.config)
    database = desk_path(settings, args.db)
    for line in database_start.prepare(database):
        say(line)
    with Store.open(database, settings.store, actor="desk") as store:
        store.claim_terminal()
        return _served(args, stored_settings.in_force(store, args.config), store, say)


def _served(args: argparse.Namespace, settings: Settings, store: Store, say: Say) -> bool:
    from device.fleet import membership  # needs psycopg: only here
    from device.fleet.courier import exchanging
    from device.fleet.settings_down import Running
    from device.web import start

    member = membership.read(store)
    if member is None or not member.desk:
        invite = '`python -m device fleet invite "Desk" --desk` makes a file; here: `python -m device fleet join FILE`'
        raise ClockfaceError(f"{store.path} has not joined a fleet as a desk: {invite}", code="desk.not_joined")
    say(f"desk {member.name}: {member.site or 'all sites'}")
    telling = dataclasses.replace(settings, connectors=notices_alone(settings))
    where = args.web or [start.DEFAULT]
    serving = start.desk_server(telling, store, member.name, where, args.config)
    running = Running(args.config, settings)
    delivery = delivering(store.path, telling, say, write=written(telling, member.name))
    watched = watching(telling, lambda: None, desk=True)
    with delivery, upkeep(store.path, settings, say, watched), exchanging(store.path, running, say, lambda: {"version": version()}), serving as live:
        ready()
        try:
            live.restart.wait()
        except KeyboardInterrupt:
            return False
        return True

