"""A desk's copies of the logs of all devices it may see, in its own database, so that every page works as at a terminal.

Each row is checked against the hash it was sent with, and appended to the desk's own hash chain; `copies` says whose row it is. What people and punches
are called here (row numbers) is the desk's own. Corrections that are made at the desk go up in a chain of the desk, which names them as everybody can read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb
from sqlite_utils import Database

from device.fleet.cursor import START, Row, note_cursor
from device.fleet.membership import Membership, value
from device.fleet.server import Connection, FleetError
from device.storage import hash_chain
from device.storage.store import Store

BATCH = 2000  # rows in one transaction
SENT = 500  # corrections, likewise
CHAINS = ("punches", "corrections")
COLUMNS = {  # what a row holds beside its place in the chain; a newer device may send more
    "punches": (
        "person_id", "occurred_at", "direction", "device", "method", "score", "lead", "threshold", "liveness", "model_id", "clock_synchronised", "boot_id",
        "monotonic_ms",
    ),
    "corrections": ("person_id", "punch_id", "amends", "occurred_at", "direction", "reason", "corrected_by", "corrected_at"),
}  # fmt: skip
POINTERS = {"punch_id": "punches", "amends": "corrections"}  # column of a correction -> the chain it points into
Ids = Mapping[str, int]  # uuid of a person -> row here


def receive(store: Store, connection: Connection) -> int:
    """One round; returns how many rows came."""
    return sum(_receive(store, connection, chain) for chain in CHAINS)


def _receive(store: Store, connection: Connection, chain: str) -> int:
    after = value(store, f"at.copies.{chain}", START).split(":")
    rows = connection.execute("SELECT * FROM copies(%s, %s::xid8, %s, %s)", [chain, *after, BATCH]).fetchall()
    if not rows:
        return 0
    with store.transaction() as db:
        db.execute("INSERT INTO fleet_applying VALUES (1)")
        for row in rows:
            _keep(db, chain, row)
        if chain == "punches":
            _keep_waiting(db)
        db.execute("DELETE FROM fleet_applying")
        note_cursor(db, f"copies.{chain}", rows)
    return len(rows)


def _keep(db: Database, chain: str, row: Row) -> bool:
    """Append a copy; False where it points at a row that has not come yet, and is kept for later."""
    device, fields = str(row["device"]), json.loads(row["content"])
    if hashlib.sha256(row["content"].encode()).hexdigest() != row["hash"]:
        raise FleetError(f"{row['name']}: row {row['id']} of its {chain} was changed after it was sent; run `fleet verify`", code="fleet.changed")
    if _row_of(db, chain, device, row["id"], exact=True) is not None or (chain == "corrections" and _is_own(db, row, fields)):
        return True
    fields["person_id"] = _person(db, str(row["person"]))
    if chain == "punches":
        fields["device"] = row["name"]
    elif not _point(db, device, _as_of_a_desk(fields)):
        told = {"device": device, "name": row["name"], "id": row["id"], "person": str(row["person"]), "content": row["content"], "hash": row["hash"]}
        db.execute("INSERT INTO copies_waiting (told) VALUES (?)", [json.dumps(told)])
        return False
    kept = hash_chain.append(db, chain, {name: fields.get(name) for name in COLUMNS[chain]})
    db.execute("INSERT INTO copies (chain, device, number, row) VALUES (?, ?, ?, ?)", [chain, device, row["id"], kept["id"]])
    return True


def _as_of_a_desk(fields: dict[str, Any]) -> dict[str, Any]:
    """A terminal that corrects another door's punch names that door beside its own numbers."""
    if fields.get("door"):
        fields |= {"punch_id": fields.get("door_punch"), "device": fields["door"], "amends": fields.get("door_added"), "amends_device": fields["door"]}
    return fields


def _point(db: Database, device: str, fields: dict[str, Any]) -> bool:
    """Let a correction point at rows here; False where one of them has not come yet."""
    for column, chain in POINTERS.items():
        if fields.get(column) is not None:
            owner = fields.get("device" if column == "punch_id" else "amends_device") or device
            fields[column] = _row_of(db, chain, owner, fields[column])
            if fields[column] is None:
                return False
    return True


def _row_of(db: Database, chain: str, device: str, number: int, exact: bool = False) -> int | None:
    """The row here of a device's row; a device that goes on after an accepted fault has its older rows under its old identity."""
    found = db.execute("SELECT row FROM copies WHERE chain = ? AND device = ? AND number = ?", [chain, device, number]).fetchone()
    if found or exact:
        return int(found[0]) if found else None
    before = db.execute("SELECT id FROM fleet_devices WHERE json_extract(told, '$.continued_as') = ?", [device]).fetchone()
    return _row_of(db, chain, before[0], number) if before else None


def _keep_waiting(db: Database) -> None:
    """Corrections whose punch has come by now."""
    for number, told in db.execute("SELECT id, told FROM copies_waiting ORDER BY id").fetchall():
        db.execute("DELETE FROM copies_waiting WHERE id = ?", [number])
        _keep(db, "corrections", json.loads(told))


def _person(db: Database, uuid: str) -> int:
    """The person here; somebody who was erased before this desk joined gets a record without a name."""
    found = db.execute("SELECT id FROM people WHERE uuid = ?", [uuid]).fetchone()
    if found:
        return int(found[0])
    sql = "INSERT INTO people (name, active, created_at, erased_at, uuid) VALUES ('erased', 0, 0, 0, ?)"
    person_id = int(db.execute(sql, [uuid]).lastrowid or 0)
    db.execute("UPDATE people SET name = ? WHERE id = ?", [f"erased-{person_id}", person_id])
    return person_id


# Up: what was corrected here.


def send(store: Store, member: Membership, connection: Connection) -> int:
    """Send this desk's own corrections, in order; returns how many. Each follows the one before it, which the server names."""
    head = connection.execute("SELECT id, hash FROM head('corrections')").fetchone() or {"id": 0, "hash": None}
    with store.reading() as db:
        behind = _newest(db, member.device) < head["id"]  # a push whose answer was lost, or a back-up that was restored: those rows come down first
        rows = [] if behind else _chained(db, member.device, head)
    if not rows:
        return 0
    found = connection.execute("SELECT * FROM push('corrections', %s)", [Jsonb(rows)]).fetchone()
    assert found is not None
    with store.transaction() as db:
        for row in list(db.query(f"{OWN} ORDER BY c.id LIMIT ?", [found["head"] - head["id"]])):
            _note_own(db, member.device, _newest(db, member.device) + 1, row["id"])
    return int(found["head"] - head["id"])


def _chained(db: Database, own: str, head: Row) -> list[dict[str, str]]:
    """What waits, as rows that follow the server's head."""
    rows, numbers, previous = [], dict[int, int](), head["hash"] or hash_chain.GENESIS
    for number, row in enumerate(db.query(f"{OWN} ORDER BY c.id LIMIT {SENT}"), int(head["id"]) + 1):
        numbers[row["id"]] = number
        content = hash_chain.hashed_text({**_named(db, row, own, numbers), "id": number, "previous_hash": previous})
        previous = hashlib.sha256(content.encode()).hexdigest()
        rows.append({"content": content, "hash": previous, "person": row["person"]})
    return rows


OWN = """SELECT c.id, c.punch_id, c.amends, c.occurred_at, c.direction, c.reason, c.corrected_by, c.corrected_at, p.uuid AS person
    FROM corrections c JOIN people p ON p.id = c.person_id WHERE NOT EXISTS (SELECT 1 FROM copies o WHERE o.chain = 'corrections' AND o.row = c.id)"""


def _named(db: Database, row: dict[str, Any], own: str, numbers: Mapping[int, int]) -> dict[str, Any]:
    """A correction with what it points at named by device and number there."""
    fields = {name: row[name] for name in ("person", "occurred_at", "direction", "reason", "corrected_by", "corrected_at")}
    for column, chain, device in (("punch_id", "punches", "device"), ("amends", "corrections", "amends_device")):
        fields[column], fields[device] = None, None
        if row[column] is not None:
            found = db.execute("SELECT number, device FROM copies WHERE chain = ? AND row = ?", [chain, row[column]]).fetchone()
            fields[column], fields[device] = found or (numbers[row[column]], own)
    return fields


def _newest(db: Database, own: str) -> int:
    """Number of the newest correction of this desk that is known to have been sent."""
    return int(db.execute("SELECT coalesce(max(number), 0) FROM copies WHERE chain = 'corrections' AND device = ?", [own]).fetchone()[0])


def _note_own(db: Database, own: str, number: int, row: int) -> None:
    db.execute("INSERT INTO copies (chain, device, number, row) VALUES ('corrections', ?, ?, ?)", [own, number, row])


def _is_own(db: Database, row: Row, fields: Mapping[str, Any]) -> bool:
    """Whether a row that comes down was made here and sent, although the answer was lost."""
    own = db.execute("SELECT json_extract(value, '$.device') FROM fleet WHERE key = 'membership'").fetchone()[0]
    if str(row["device"]) == own:
        same = ("person", "occurred_at", "direction", "reason", "corrected_by", "corrected_at")
        for waiting in db.query(f"{OWN} ORDER BY c.id LIMIT {SENT}"):
            if all(waiting[name] == fields[name] for name in same):
                _note_own(db, own, row["id"], waiting["id"])
                return True
    return False
