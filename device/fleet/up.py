"""From this terminal to the company's database: its log, row by row as its hash chains cover it, and what was changed here.

Everything is in order and can be sent again: the server knows how far each chain has come, and a person's state is sent as it is now, not as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from device.fleet import continuation, records
from device.fleet.membership import Membership, set_value, uuids, value
from device.fleet.sealed_box import box
from device.fleet.server import Connection
from device.storage import findings, templates
from device.storage.fleet_state import fleet_state
from device.storage.hash_chain import hashed_text
from device.storage.sealing import seal
from device.storage.store import Store

ROWS = 500  # of a chain, or changes, in one transaction
KEYS = 1000  # sealed for other terminals in one round
RECENT = 10_000  # transactions of the server: looking at what changed in so many is cheaper than writing down each time that nothing has
GONE = ("CF003",)  # SQLSTATE: the person was erased, or belongs to another site: there is nothing to be sent any more
OTHERS_KEY = "CF004"  # another terminal has given this person a key before


def send_log(store: Store, connection: Connection) -> int:
    """Send the next rows of each chain; returns how many went up. A chain that stands still goes on once somebody has accepted its fault."""
    if continuation.due(store):
        continuation.go_on(store, connection)
    return sum(send_chain(store, connection, chain) for chain in ("punches", "corrections"))


def send(store: Store, member: Membership, connection: Connection) -> int:
    """Send what was changed here, and keys that others wait for; returns how many went up."""
    return send_changes(store, member, connection) + seal_for_others(store, connection)


def send_chain(store: Store, connection: Connection, chain: str) -> int:
    """Send the rows of a chain that the server does not have; a chain that it refuses waits until somebody has looked."""
    sent = int(value(store, f"sent.{chain}", "-1"))
    if sent < 0:  # after a start: the server may have lost rows, too
        row = connection.execute("SELECT id FROM head(%s)", [chain]).fetchone()
        sent = row["id"] if row else 0
    sql = f"SELECT t.*, p.uuid AS person_uuid FROM {chain} t JOIN people p ON p.id = t.person_id WHERE t.id > ? ORDER BY t.id LIMIT {ROWS}"
    with store.reading() as db:
        rows = list(db.query(sql, [sent]))
    if not rows or value(store, f"fault.{chain}"):
        return 0
    found = connection.execute("SELECT * FROM push(%s, %s)", [chain, Jsonb([_row(row) for row in rows])]).fetchone()
    assert found is not None
    with store.transaction() as db:
        set_value(db, f"sent.{chain}", str(found["head"]))
        if found["fault"]:
            set_value(db, f"fault.{chain}", found["fault"])
    return int(found["head"]) - sent if found["head"] > sent else 0


def _row(row: dict[str, Any]) -> dict[str, str]:
    person = row.pop("person_uuid")
    return {"content": hashed_text(row), "hash": row["hash"], "person": person}


def send_changes(store: Store, member: Membership, connection: Connection) -> int:
    """Send the present state of what was changed here, in the order in which it was changed first."""
    with store.reading() as db:
        rows = db.execute(f"SELECT id, kind, key FROM fleet_changes ORDER BY id LIMIT {ROWS}").fetchall()
    done: set[tuple[str, str]] = set()
    for number, kind, key in rows:
        if (kind, key) not in done and not _send_change(store, member, connection, kind, key):
            return len(done)  # it waits for a key that is on its way, and what follows may need it
        done.add((kind, key))
        with store.transaction() as db:
            db.execute("DELETE FROM fleet_changes WHERE id = ?", [number])
    return len(done)


def _send_change(store: Store, member: Membership, connection: Connection, kind: str, key: str) -> bool:
    try:
        return bool(SENDERS[kind](store, member, connection, key)) if kind in SENDERS else records.send(store, member, connection, kind, key)
    except psycopg.Error as error:
        if error.sqlstate in GONE:
            return True
        if error.sqlstate == OTHERS_KEY:  # sealed for this terminal by the other one, soon
            return False
        raise


def _person(store: Store, member: Membership, connection: Connection, key: str) -> bool:
    with store.reading() as db:
        columns = "name, code, active, department, sites, created_at, erased_at"
        row = db.execute(f"SELECT {columns} FROM people WHERE uuid = ?", [key]).fetchone()
    if row is None:
        return True
    name, code, active, department, sites, created_at, erased_at = row
    if erased_at is not None:
        connection.execute("SELECT erase(%s::uuid)", [key])
        connection.execute("SELECT confirm(%s::uuid)", [key])
        return True
    body = {"name": name, "code": code, "active": bool(active), "department": department, "created_at": created_at}
    known = json.loads(sites) if sites else [member.site_id] if member.desk and member.site_id else None
    found = connection.execute("SELECT stored FROM put('person', %s, %s::uuid[], %s)", [key, known if member.desk else None, Jsonb(body)]).fetchone()
    assert found is not None
    if found["stored"] != key:
        _alias(store, member, connection, f"{key} {found['stored']}")
        take_over(store, key, found["stored"])
    return True


def take_over(store: Store, own: str, known: str) -> None:
    """A person of this code exists elsewhere: this terminal's record becomes that person's. Where both are here already, HR must decide."""
    with store.transaction() as db:
        if db.execute("SELECT 1 FROM people WHERE uuid = ?", [known]).fetchone():
            findings.tell(db, own, known, None, "a terminal")
            return
        db.execute("INSERT INTO fleet_applying VALUES (1)")
        db.execute("UPDATE people SET uuid = ? WHERE uuid = ?", [known, own])
        db.execute("UPDATE fleet_changes SET key = ? WHERE key = ? AND kind IN ('person', 'pin')", [known, own])
        db.execute("DELETE FROM fleet_applying")
        set_value(db, f"key.{known}", "theirs")  # the person's key is that of the terminal which enrolled them first


def _consent(store: Store, member: Membership, connection: Connection, key: str) -> bool:
    columns = "wording, given_at, withdrawn_at, recorded_by, version, language, way"
    with store.reading() as db:
        row = next(db.query(f"SELECT p.uuid AS person, {columns} FROM consents c JOIN people p ON p.id = person_id WHERE c.uuid = ?", [key]), None)
    if row:
        connection.execute("SELECT put('consent', %s, NULL, %s)", [key, Jsonb(row)])
    return True


def _template(store: Store, member: Membership, connection: Connection, key: str) -> bool:
    with store.reading() as db:
        row = db.execute("SELECT t.id, p.id, p.uuid FROM templates t JOIN people p ON p.id = person_id WHERE t.uuid = ?", [key]).fetchone()
        if row is None:
            connection.execute("SELECT drop_state('template', %s)", [key])
            return True
        template_id, person_id, person = row
        secret = store.keys.of(person_id)
        if secret is None:
            return True
        opened = templates.opened(db, secret, template_id)
    if value(store, f"key.{person}") == "theirs":
        return False
    if not value(store, f"key.{person}"):
        seal_for_readers(connection, person, secret)
        with store.transaction() as db:
            set_value(db, f"key.{person}", "ours")
    body = {"person": person, "model_id": opened.model_id, "quality": opened.quality, "source": opened.source, "created_at": opened.created_at}
    sealed = seal(secret, opened.embedding, f"embedding of {person} for {opened.model_id}")
    crop = None if opened.crop is None else seal(secret, opened.crop, f"crop of {person} for {opened.model_id}")
    connection.execute("SELECT put('template', %s, NULL, %s, %s, %s)", [key, Jsonb(body), sealed, crop])
    return True


def _pin(store: Store, member: Membership, connection: Connection, key: str) -> bool:
    with store.reading() as db:
        row = db.execute("SELECT hash, set_at FROM pins JOIN people p ON p.id = person_id WHERE p.uuid = ?", [key]).fetchone()
    if row is None:
        connection.execute("SELECT drop_state('pin', %s)", [key])
    else:
        connection.execute("SELECT put('pin', %s, NULL, %s)", [key, Jsonb({"person": key, "hash": row[0], "set_at": row[1]})])
    return True


def _alias(store: Store, member: Membership, connection: Connection, key: str) -> bool:
    """Rows that were sent before name somebody by an identity that the company does not know: tell it who that is."""
    own, known = key.split()
    connection.execute("SELECT known_as(%s::uuid, %s::uuid)", [own, known])
    return True


def _finding(store: Store, member: Membership, connection: Connection, key: str) -> bool:
    """A finding, or that HR has decided it; what was decided elsewhere meanwhile stands."""
    with store.reading() as db:
        row = db.execute("SELECT one, other, score, device, decided FROM findings WHERE key = ?", [key]).fetchone()
    known = connection.execute("SELECT body ->> 'decided' AS decided FROM state WHERE kind = 'finding' AND key = %s", [key]).fetchone()
    if row and not (known and (known["decided"] or not row[4])):
        body = {"people": row[:2], "score": row[2], "device": row[3] if row[4] else member.name, "decided": row[4]}
        connection.execute("SELECT put('finding', %s, NULL, %s)", [key, Jsonb(body)])
    return True


def _accept(store: Store, member: Membership, connection: Connection, key: str) -> bool:
    connection.execute("SELECT accept_faults(%s::uuid)", [key])
    return True


SENDERS: Mapping[str, Any] = {
    "accept": _accept, "person": _person, "consent": _consent, "template": _template, "pin": _pin, "alias": _alias, "finding": _finding,
}  # fmt: skip


def seal_for_readers(connection: Connection, person: str, key: bytes) -> None:
    """Seal a key that was made here for every terminal that may open it."""
    readers = connection.execute("SELECT * FROM readers(%s::uuid)", [person]).fetchall()
    boxes = [box(key, reader["public_key"], person) for reader in readers]
    sql = "SELECT wrap_all(array_fill(%s::uuid, ARRAY[%s::int]), %s::uuid[], %s, true)"
    connection.execute(sql, [person, len(readers), [reader["device"] for reader in readers], boxes])


def seal_for_others(store: Store, connection: Connection) -> int:
    """Seal keys that this terminal has for terminals that lack them: what has changed since all of them had everything is looked at."""
    since = value(store, "sealed", "0")
    row = connection.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS now").fetchone()
    with connection.transaction():  # in which this terminal is the one of its site that seals
        missing = connection.execute("SELECT * FROM missing_keys(%s::xid8, %s)", [since, KEYS]).fetchall()
        if missing and missing[0]["person"] is not None:
            return _seal(store, connection, missing)
    if not missing and row is not None and (since == "0" or int(row["now"]) - int(since) > RECENT):
        with store.transaction() as db:
            set_value(db, "sealed", row["now"])
    return 0


def _seal(store: Store, connection: Connection, missing: list[dict[str, Any]]) -> int:
    ids = uuids(store, {str(one["person"]) for one in missing})
    keys = store.keys.of_each(ids.values())
    known = [(one, key) for one in missing if (key := keys.get(ids.get(str(one["person"]), -1))) is not None]
    boxes = [box(key, one["public_key"], str(one["person"])) for one, key in known]
    connection.execute("SELECT wrap_all(%s::uuid[], %s::uuid[], %s, false)", [[one["person"] for one, _ in known], [one["device"] for one, _ in known], boxes])
    return len(known)


def health(store: Store) -> dict[str, Any]:
    """What a device tells of its exchange; its program adds camera, model and version."""
    with store.reading() as db:
        state = fleet_state(db)
    if state is None:
        return {"waiting": 0}
    told: dict[str, Any] = {"waiting": state.waiting}
    more = {"chains": state.faults, "twins": state.twins, "not_understood": state.strange}
    return {**told, **{name: value for name, value in more.items() if value}}
