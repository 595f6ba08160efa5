"""What other doors have recorded and corrected: punches and corrections of the last days, for direction, refractory period, Today and timesheets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlite_utils import Database

from device.fleet import records
from device.fleet.cursor import START, Row, note_cursor, position
from device.fleet.membership import Membership, uuids, value
from device.fleet.server import Connection
from device.storage.store import Store

BATCH = 2000  # rows
DAYS = 62  # this month and the one before it, so that their timesheets are whole at each door
TODAY = 86400  # s


def receive_today(store: Store, connection: Connection, now: float) -> None:
    """Today's punches, ahead of those of earlier days; they come once more, in their order."""
    after, since = value(store, "at.doors", START).split(":"), int((now - TODAY) * 1000)
    while rows := connection.execute("SELECT * FROM doors(%s::xid8, %s, %s, %s)", [*after, since, BATCH]).fetchall():
        ids = uuids(store, {str(row["person"]) for row in rows})
        with store.transaction() as db:
            _keep_punches(db, ids, rows)
        after = position(rows[-1]).split(":")  # not noted: those before it are still to come


def receive(store: Store, member: Membership, connection: Connection, now: float) -> int:
    """What other doors have recorded and corrected."""
    return _receive_punches(store, connection, now) + _receive_corrections(store, member, connection, now)


def _receive_punches(store: Store, connection: Connection, now: float) -> int:
    """Other doors' punches of the last days, so that direction, refractory period and Today hold across doors."""
    after, since = value(store, "at.doors", START).split(":"), int((now - DAYS * 86400) * 1000)
    rows = connection.execute("SELECT * FROM doors(%s::xid8, %s, %s, %s)", [*after, since, BATCH]).fetchall()
    rows, ids = _with_people(store, connection, rows)
    with store.transaction() as db:
        _keep_punches(db, ids, rows)
        note_cursor(db, "doors", rows)
        db.execute("DELETE FROM door_punches WHERE occurred_at < ?", [since])
    return len(rows)


def _keep_punches(db: Database, ids: Mapping[str, int], rows: Sequence[Row]) -> None:
    for row in rows:
        if (person_id := ids.get(str(row["person"]))) is not None:
            values = [str(row["door"]), row["id"], row["device"], person_id, row["occurred_at"], row["direction"], row["method"]]
            db.execute("INSERT INTO door_punches VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values)


def _with_people(store: Store, connection: Connection, rows: list[Row]) -> tuple[list[Row], dict[str, int]]:
    """The rows up to the first one whose person is still on the way, and uuid -> id of everybody here; who was erased before it joined never comes."""
    if not rows:
        return [], {}
    people = {str(row["person"]) for row in rows}
    ids = uuids(store, people)
    unknown = list(people - ids.keys())
    sql = "SELECT key FROM state WHERE kind = 'person' AND NOT deleted AND key = ANY (%s)"
    coming = {row["key"] for row in connection.execute(sql, [unknown]).fetchall()} if unknown else set()
    return rows[: next((place for place, row in enumerate(rows) if str(row["person"]) in coming), len(rows))], ids


def _receive_corrections(store: Store, member: Membership, connection: Connection, now: float) -> int:
    """Corrections made at other doors and desks; those of this terminal's own punches are kept as long as the punches."""
    after, since = value(store, "at.corrections", START).split(":"), int((now - DAYS * 86400) * 1000)
    rows = connection.execute("SELECT * FROM door_corrections(%s::xid8, %s, %s, %s)", [*after, since, BATCH]).fetchall()
    rows, ids = _with_people(store, connection, rows)
    with store.transaction() as db:
        own = records.own_devices(db, member)
        for row in rows:
            if (person_id := ids.get(str(row["person"]))) is not None:
                values = [str(row["door"]), row["id"], person_id, *_corrected(row, own)]
                db.execute("INSERT INTO door_corrections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values)
        note_cursor(db, "corrections", rows)
        db.execute("DELETE FROM door_corrections WHERE door <> '' AND max(corrected_at, coalesce(occurred_at, 0)) < ?", [since])
    return len(rows)


def _corrected(row: Row, own: Sequence[str]) -> tuple[Any, ...]:
    """Whose log holds what a correction is about ("": this terminal's), the number of the punch or of what added it there, and what it states.

    A terminal names another door beside its own numbers; a desk, which has no log of punches, names the device of each.
    """
    stated = json.loads(row["content"])
    if stated.get("door"):
        door, punch, added = stated["door"], stated.get("door_punch"), stated.get("door_added")
    else:
        punch, added = stated.get("punch_id"), stated.get("amends")
        door = stated.get("device" if punch is not None else "amends_device") or str(row["door"])
    return "" if door in own else door, punch, added, stated.get("occurred_at"), stated.get("direction"), stated["corrected_at"]
