"""How a terminal goes on after a fault of its chain that somebody has accepted: under the same login and name, as a new device in the database.

What has arrived stays under the old device, named after the moment. The chain goes on from the first row here that is sound and not there: after a restored
back-up from where it parted, after a changed row from the row behind it, after a gap from the row behind the gap.
"""

from __future__ import annotations

import json

from sqlite_utils import Database

from device.fleet.membership import MEMBERSHIP, set_value, value
from device.fleet.server import Connection
from device.storage.audit import Action
from device.storage.hash_chain import row_hash
from device.storage.store import Store

LOOKED_AT = 20_000  # rows of the database's, the newest, among which the last common one is looked for


def due(store: Store) -> bool:
    """Whether a chain stands still."""
    with store.reading() as db:
        return db.execute("SELECT 1 FROM fleet WHERE key LIKE 'fault.%' LIMIT 1").fetchone() is not None


def go_on(store: Store, connection: Connection) -> None:
    """Let the chains whose faults were accepted go on."""
    for row in connection.execute("SELECT chain FROM accepted_faults()").fetchall():
        chain = str(row["chain"])
        known = {one["id"]: one["hash"] for one in connection.execute("SELECT id, hash FROM known_rows(%s, %s)", [chain, LOOKED_AT]).fetchall()}
        with store.reading() as db:
            first, follows = _beginning(db, chain, known)
        found = connection.execute("SELECT continue_chain(%s, %s, %s)::text AS device", [chain, first, follows]).fetchone()
        assert found is not None
        _take(store, found["device"])


def _beginning(db: Database, chain: str, known: dict[int, str]) -> tuple[int, str | None]:
    """The first row to be sent, and the hash that it follows there; None: it follows nothing that is known."""
    here = dict(db.execute(f"SELECT id, hash FROM {chain} WHERE id >= ?", [min(known, default=0)]).fetchall())
    common = max((number for number, digest in known.items() if here.get(number) == digest), default=0)
    for row in db.query(f"SELECT * FROM {chain} WHERE id > ? ORDER BY id", [common]):
        if row_hash(row) == row["hash"]:
            joins = row["id"] == common + 1 and row["previous_hash"] == known.get(common)
            return row["id"], known[common] if joins else None
    return max([*here, common]) + 1, None


def renew(store: Store, connection: Connection) -> None:
    """After a connection: this login may have become a new device, although the answer was lost."""
    found = connection.execute("SELECT id::text AS device FROM me()").fetchone()
    if found and found["device"] != json.loads(value(store, MEMBERSHIP))["device"]:
        _take(store, found["device"])


def _take(store: Store, device: str) -> None:
    with store.transaction() as db:
        values = dict(db.execute("SELECT key, value FROM fleet WHERE key IN (?, 'own.devices')", [MEMBERSHIP]).fetchall())
        before = json.loads(values[MEMBERSHIP])
        set_value(db, "own.devices", json.dumps([*json.loads(values.get("own.devices", "[]")), before["device"], device]))
        set_value(db, MEMBERSHIP, json.dumps({**before, "device": device}))
        db.execute("DELETE FROM fleet WHERE key LIKE 'fault.%' OR key LIKE 'sent.%'")  # how far the server is, is asked anew
        store.note(Action.FLEET_CHAIN_CONTINUED, device=device)
