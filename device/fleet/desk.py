"""The company's desk: what comes down to it, and what it knows of all devices. It has no keys of faces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from device.fleet import copies, down, up
from device.fleet.cursor import Row
from device.fleet.membership import Membership
from device.fleet.server import Connection
from device.storage.store import Store


def receive(store: Store, member: Membership, connection: Connection, now: float) -> int:
    """One round; returns how many rows came down. People come before what they did."""
    apply = {**down.APPLY, "template": _face}
    state = down.receive_state(store, member, connection, apply) or down.receive_awaited(store, member, connection, apply)
    return state or copies.receive(store, connection)


def send(store: Store, member: Membership, connection: Connection) -> int:
    """What was corrected and changed here; returns how many rows went up."""
    return copies.send(store, member, connection) + up.send_changes(store, member, connection)


def _face(store: Store, db: Database, row: Row, keys: Mapping[int, bytes]) -> None:
    """That a template exists, whose and of which model; what it holds stays with the terminals."""
    if row["deleted"]:
        db.execute("DELETE FROM faces_elsewhere WHERE uuid = ?", [row["key"]])
    elif (person_id := down.owner_of(db, row)) is not None:
        sql = "INSERT INTO faces_elsewhere (uuid, person_id, model_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        db.execute(sql, [row["key"], person_id, row["body"]["model_id"]])


def look(store: Store, connection: Connection) -> None:
    """What the database tells of sites and devices, as of now."""
    devices: list[dict[str, Any]] = [row["told"] for row in connection.execute("SELECT told FROM devices_of_desk()").fetchall()]
    sites = [(str(row["id"]), row["name"]) for row in connection.execute("SELECT id, name FROM sites").fetchall()]
    with store.transaction() as db:
        for table in ("fleet_devices", "fleet_sites"):
            db.execute(f"DELETE FROM {table}")
        db.conn.executemany("INSERT INTO fleet_devices VALUES (?, ?)", [(told["id"], json.dumps(told)) for told in devices])
        db.conn.executemany("INSERT INTO fleet_sites VALUES (?, ?)", sites)
