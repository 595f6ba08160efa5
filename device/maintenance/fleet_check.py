"""The check of the exchange with the company's database. Nothing is changed."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database

from device.maintenance.database_check import Finding, read_only
from device.storage.database import explained
from device.storage.findings import open_findings
from device.storage.fleet_state import FAULTS, FleetState, fleet_state, unsent
from device.storage.schema import SCHEMA_VERSION
from device.storage.site_clock import read_clock
from device.system.clock import to_ms
from device.system.time_zones import LocalClock


def check_fleet(database: Path, punches_days: int = 0) -> Finding:
    """Whether a terminal of a fleet is connected, what waits, what stops, and whose face stands under two names.

    Args:
        punches_days: after so many days punches are removed by policy; 0: never.
    """
    if not database.exists():
        return Finding("fleet", "ok", "no database yet")
    with explained(database), closing(read_only(database)) as connection:
        if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            return Finding("fleet", "ok", "no database of this version yet")
        db = Database(connection, execute_plugins=False)
        state = fleet_state(db)
        if state is None:
            return Finding("fleet", "ok", "this terminal stands alone")
        return _judged(state, [one.words for one in open_findings(db)], _kept(db, punches_days) if punches_days else "", read_clock(db))


def _kept(db: Database, punches_days: int) -> str:
    """What the policy would have removed and does not, since the fleet does not have it yet."""
    before = to_ms(time.time() - punches_days * 86400)
    count = db.execute(f"SELECT count(*) FROM punches p WHERE p.occurred_at < ? AND {unsent('punches', 'p.id')}", [before]).fetchone()[0]
    return f", {count:,} punches older than [retention] punches_days stay until they have been sent" if count else ""


def _judged(state: FleetState, twins: list[str], kept: str, clock: LocalClock) -> Finding:
    heard = f"last heard of {clock.named(state.heard_at)}" if state.heard_at else "never connected yet"
    waiting = f", {state.waiting:,} rows wait to be sent" if state.waiting else ""
    waiting += kept
    if state.faults:
        words = "; ".join(f"{chain} are not sent: {FAULTS.get(fault, fault)}" for chain, fault in state.faults.items())
        return Finding("fleet", "FAULT", f"{words}. Look at it, then accept it at the desk or with `python -m device fleet accept-fault {state.name!r}`")
    if state.trouble:
        return Finding("fleet", "warning", f"{state.trouble}; {heard}{waiting}: everything is recorded here and sent later")
    if twins:
        return Finding("fleet", "warning", f"{'; '.join(twins)}: decide on the page People whether they are two people")
    return Finding("fleet", "ok", f"{state.place}, {heard}{waiting}")
