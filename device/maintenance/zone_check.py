"""The check of the time zone: the machine's own should be the site's. Nothing is changed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from device.contract import phrase
from device.maintenance.database_check import Finding, read_only
from device.storage.database import explained
from device.storage.schema import SCHEMA_VERSION
from device.storage.site_clock import read_clock
from device.system.time_zones import same_times, system_zone


def check_zone(database: Path, now: float) -> Finding:
    """Whether the machine's time zone shows the same times as the site's, which counts everywhere. `now`: s since the epoch."""
    if not database.exists():
        return Finding("zone", "ok", f"{system_zone()}, this machine's; no database yet")
    with explained(database), closing(read_only(database)) as connection:
        if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            return Finding("zone", "ok", "no database of this version yet")
        clock, machine = read_clock(Database(connection, execute_plugins=False)), system_zone()
    if same_times(clock.name, machine, now):
        return Finding("zone", "ok", f"{clock.name}, it is {clock.named(now)}", "zone", {"zone": clock.name})
    english = (
        "the site is in {zone}, where it is {time}, but this machine is set to {machine}; the site's time counts everywhere. "
        "Set the wrong one right: `sudo timedatectl set-timezone {zone}`, or the rules of the site on the page Shifts and absence"
    )
    words = phrase("zone.differs", english, zone=clock.name, time=clock.named(now), machine=machine)
    return Finding("zone", "warning", words, "zone_differs", {"zone": clock.name, "machine": machine})
