"""The check of the exchange with the company's database. Nothing is changed."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path

from sqlite_utils import Database

from device.maintenance.database_check import Finding, read_only
from device.storage.database import explained
from device.storage.findings import open_findings
from device.storage.fleet_state import FAULTS, FleetState, fleet_state
from device.storage.schema import SCHEMA_VERSION


def check_fleet(database: Path) -> Finding:
    """Whether a terminal of a fleet is connected, what waits, what stops, and whose face stands under two names."""
    if not database.exists():
        return Finding("fleet", "ok", "no database yet")
    with explained(database), closing(read_only(database)) as connection:
        if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            return Finding("fleet", "ok", "no database of this version yet")
        db = Database(connection, execute_plugins=False)
        state = fleet_state(db)
        return Finding("fleet", "ok", "this terminal stands alone") if state is None else _judged(state, [one.words for one in open_findings(db)])


def _judged(state: FleetState, twins: list[str]) -> Finding:
    heard = f"last heard of {datetime.fromtimestamp(state.heard_at):%Y-%m-%d %H:%M}" if state.heard_at else "never connected yet"
    waiting = f", {state.waiting:,} rows wait to be sent" if state.waiting else ""
    if state.faults:
        words = "; ".join(f"{chain} are not sent: {FAULTS.get(fault, fault)}" for chain, fault in state.faults.items())
        return Finding("fleet", "FAULT", f"{words}. Look at it, then accept it at the desk or with `python -m device fleet accept-fault {state.name!r}`")
    if state.trouble:
        return Finding("fleet", "warning", f"{state.trouble}; {heard}{waiting}: everything is recorded here and sent later")
    if twins:
        return Finding("fleet", "warning", f"{'; '.join(twins)}: decide on the page People whether they are two people")
    return Finding("fleet", "ok", f"{state.place}, {heard}{waiting}")
