"""From the company's database to this terminal: people, consents, PINs, templates and erasures, in rounds with their keys and what other doors recorded.

Each batch is stored together with its cursor (`device/fleet/cursor.py`), so that a terminal that is cut off goes on where it was.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from sqlite_utils import Database

from device.contract import ClockfaceError
from device.fleet import doors_down, keys_down, records
from device.fleet.cursor import Row, next_rows, note_cursor
from device.fleet.membership import Membership, set_value, uuids
from device.fleet.server import Connection
from device.storage import findings, templates
from device.storage.audit import Action
from device.storage.key_folder import KeysError
from device.storage.sealing import unseal
from device.storage.store import Store
from device.storage.templates import PlainTemplate

BATCH = 2000  # rows of state in one transaction: each page waits for the disk several times
KEYS = 500  # likewise: all templates that waited for them come at once
CROPS = 50  # in one round: they are large and wanted only for a change of model
STRANGE = (  # what a row raises whose content is not of the form that this version knows
    ClockfaceError, KeyError, TypeError, ValueError, OverflowError, sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError,
)  # fmt: skip


def receive(store: Store, member: Membership, connection: Connection, now: float) -> int:
    """One round; returns how many rows came down."""
    keys_down.finish_keys(store)
    rows = receive_state(store, member, connection) or receive_awaited(store, member, connection)
    rows += receive_keys(store, member, connection) + doors_down.receive(store, member, connection, now)
    return rows or receive_crops(store, connection)


def receive_keys(store: Store, member: Membership, connection: Connection) -> int:
    """Keys of people that were sealed for this terminal, as far as the people are known already, and the templates that waited for them."""
    rows = next_rows(store, connection, "keys", f"SELECT {keys_down.KEY} FROM wrapped_keys", KEYS)
    if not rows:
        return 0
    ids = uuids(store, {row["person"] for row in rows})
    known = [row["person"] in ids for row in rows]
    rows = rows[: known.index(False)] if False in known else rows
    keys_down.take_keys(store, rows, ids)
    _apply(store, member, _waiting(store, connection, [row["person"] for row in rows]))
    with store.transaction() as db:
        note_cursor(db, "keys", rows)
    return len(rows)


def receive_state(store: Store, member: Membership, connection: Connection, apply: Mapping[str, Any] | None = None) -> int:
    """What the company has decided, in order; of the rows of a page, people and their keys come first.

    Args:
        apply: kind -> what stores a row; None: as a terminal does. With one of its own, nothing that is sealed is read.
    """
    rows = next_rows(store, connection, "state", records.state("xid", "seq", sealed=apply is None), BATCH)
    if not rows:
        return 0
    people = [row for row in rows if row["kind"] == "person"]
    _apply(store, member, [row for row in people if not row["deleted"]], apply)
    for row in people:
        if row["deleted"]:  # each is a whole erasure, with key and write-ahead log
            _erase(store, connection, row["key"])
        elif row["body"].get("rotate"):
            keys_down.rotate(store, connection, row["key"])
    if apply is None:
        keys_down.take_keys_of(store, connection, {row["body"].get("person") for row in rows if row["kind"] == "template"})
    _apply(store, member, [row for row in rows if row["kind"] != "person"], apply)
    with store.transaction() as db:
        note_cursor(db, "state", rows)
    return len(rows)


def _apply(store: Store, member: Membership, rows: Sequence[Row], apply: Mapping[str, Any] | None = None) -> None:
    """Store these rows; what was changed here meanwhile is sent, and counts."""
    apply = APPLY if apply is None else apply
    owners = uuids(store, {row["body"].get("person") for row in rows if row["kind"] == "template"})
    keys = store.keys.of_each(owners.values()) if owners else {}
    with store.transaction() as db:
        db.execute("INSERT INTO fleet_applying VALUES (1)")
        changed = set(db.execute("SELECT kind, key FROM fleet_changes").fetchall())
        for row in rows:
            if (row["kind"], row["key"]) not in changed and row["kind"] in apply:
                if _is_awaited(db, row):
                    records.await_(db, row)
                else:
                    _store(apply[row["kind"]], store, db, row, keys)
        records.apply(store, db, member, [row for row in rows if row["kind"] not in apply])
        db.execute("DELETE FROM fleet_applying")


def _store(apply: Any, store: Store, db: Database, row: Row, keys: Mapping[int, bytes]) -> None:
    """Store one row. One that is not understood, whoever wrote it, is counted and holds up none of the others."""
    db.execute("SAVEPOINT one_row")
    try:
        apply(store, db, row, keys)
    except STRANGE as error:
        db.execute("ROLLBACK TO one_row")
        records.note_strange(db, f"{row['kind']} {row['key']}", error)
    db.execute("RELEASE one_row")


def _is_awaited(db: Database, row: Row) -> bool:
    """Whether it belongs to somebody who has not come yet: people who were changed last come last."""
    person = row["body"].get("person")
    return person is not None and not row["deleted"] and db.execute("SELECT 1 FROM people WHERE uuid = ?", [person]).fetchone() is None


def receive_awaited(store: Store, member: Membership, connection: Connection, apply: Mapping[str, Any] | None = None) -> int:
    """Rows that came before what they refer to; returns how many of them are stored now."""
    with store.reading() as db:
        awaited = db.execute(f"SELECT kind, key FROM fleet_awaited LIMIT {BATCH}").fetchall()
    if not awaited:
        return 0
    pairs = [[row[0] for row in awaited], [row[1] for row in awaited]]
    rows = connection.execute(f"{records.state(sealed=apply is None)} WHERE (kind, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))", pairs).fetchall()
    with store.transaction() as db:
        db.conn.executemany("DELETE FROM fleet_awaited WHERE kind = ? AND key = ?", awaited)
    _apply(store, member, rows, apply)
    with store.reading() as db:
        left = db.execute("SELECT count(*) FROM fleet_awaited").fetchone()[0]
    return max(0, len(awaited) - int(left))


def _person(store: Store, db: Database, row: Row, keys: Mapping[int, bytes]) -> None:
    body = row["body"]
    sites = None if row["sites"] is None else json.dumps(sorted(row["sites"]))
    values = [body["name"], body.get("code"), int(body.get("active", True)), body.get("department"), sites]
    found = db.execute("SELECT id, name, code, active, department, sites FROM people WHERE uuid = ?", [row["key"]]).fetchone()
    if found is None and body.get("code") is not None:
        found = _same_code(store, db, row)
    if found is None:
        sql = "INSERT INTO people (name, code, active, department, sites, created_at, uuid) VALUES (?, ?, ?, ?, ?, ?, ?)"
        person_id = db.execute(sql, [*values, body["created_at"], row["key"]]).lastrowid
        store.note_by("fleet", Action.PERSON_ADDED, person_id=person_id)
    elif list(found[1:]) != values:
        db.execute("UPDATE people SET name = ?, code = ?, active = ?, department = ?, sites = ? WHERE id = ?", [*values, found[0]])
        store.note_by("fleet", Action.FLEET_APPLIED, person_id=found[0])


def _same_code(store: Store, db: Database, row: Row) -> Any:
    """Somebody whom this terminal enrolled under the same code while it was alone: their record becomes that person's."""
    columns = "id, name, code, active, department, sites, uuid"
    found = db.execute(f"SELECT {columns} FROM people WHERE code = ? AND erased_at IS NULL", [row["body"]["code"]]).fetchone()
    if found is None:
        return None
    own = found[6]
    db.execute("UPDATE people SET uuid = ? WHERE id = ?", [row["key"], found[0]])
    db.execute("DELETE FROM fleet_changes WHERE kind = 'person' AND key = ?", [own])
    db.execute("UPDATE fleet_changes SET key = ? WHERE kind = 'pin' AND key = ?", [row["key"], own])
    db.execute("INSERT INTO fleet_changes (kind, key) VALUES ('alias', ?)", [f"{own} {row['key']}"])
    set_value(db, f"key.{row['key']}", "theirs")
    return found[:6]


def _erase(store: Store, connection: Connection, key: str) -> None:
    with store.reading() as db:
        row = db.execute("SELECT id FROM people WHERE uuid = ? AND erased_at IS NULL", [key]).fetchone()
    if row:
        store.erase(row[0])
    connection.execute("SELECT confirm(%s::uuid)", [key])


def _consent(store: Store, db: Database, row: Row, keys: Mapping[int, bytes]) -> None:
    body, person_id = row["body"], owner_of(db, row)
    if person_id is None or row["deleted"]:
        return
    values = [body[name] for name in ("wording", "given_at", "withdrawn_at", "recorded_by", "version", "language", "way")]
    sql = "INSERT INTO consents (person_id, wording, given_at, withdrawn_at, recorded_by, version, language, way, uuid) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    db.execute(f"{sql} ON CONFLICT (uuid) DO UPDATE SET withdrawn_at = excluded.withdrawn_at", [person_id, *values, row["key"]])


def _template(store: Store, db: Database, row: Row, keys: Mapping[int, bytes]) -> None:
    if row["deleted"]:
        db.execute("DELETE FROM templates WHERE uuid = ?", [row["key"]])
        db.execute("DELETE FROM fleet_waiting WHERE template = ?", [row["key"]])
        return
    body, person_id = row["body"], owner_of(db, row)
    if person_id is None:
        return
    try:
        key = keys[person_id]
        plain = unseal(key, row["sealed"], f"embedding of {body['person']} for {body['model_id']}")
    except (KeyError, KeysError):
        db.execute("INSERT INTO fleet_waiting VALUES (?) ON CONFLICT DO NOTHING", [row["key"]])
        return
    templates.keep(db, key, person_id, row["key"], PlainTemplate(body["model_id"], plain, None, body["quality"], body["source"], body["created_at"]))
    db.execute("DELETE FROM fleet_waiting WHERE template = ?", [row["key"]])


def _pin(store: Store, db: Database, row: Row, keys: Mapping[int, bytes]) -> None:
    person_id = owner_of(db, row)
    if person_id is not None and row["deleted"]:
        db.execute("DELETE FROM pins WHERE person_id = ?", [person_id])
    elif person_id is not None:
        sql = "INSERT INTO pins VALUES (?, ?, ?) ON CONFLICT (person_id) DO UPDATE SET hash = excluded.hash, set_at = excluded.set_at"
        db.execute(sql, [person_id, row["body"]["hash"], row["body"]["set_at"]])


def _finding(store: Store, db: Database, row: Row, keys: Mapping[int, bytes]) -> None:
    body = row["body"]
    one, other = body["people"]
    findings.tell(db, one, other, body["score"], body["device"])
    db.execute("UPDATE findings SET device = ?, decided = coalesce(?, decided) WHERE key = ?", [body["device"], body["decided"], row["key"]])


APPLY: Mapping[str, Any] = {"person": _person, "consent": _consent, "template": _template, "pin": _pin, "finding": _finding}


def owner_of(db: Database, row: Row) -> int | None:
    found = db.execute("SELECT id FROM people WHERE uuid = ? AND erased_at IS NULL", [row["body"].get("person")]).fetchone()
    return int(found[0]) if found else None


def _waiting(store: Store, connection: Connection, people: Sequence[str]) -> list[Row]:
    """The templates of these people that came before their key."""
    with store.reading() as db:
        waiting = {row[0] for row in db.execute("SELECT template FROM fleet_waiting")}
    if not waiting:
        return []
    return [row for row in connection.execute("SELECT * FROM templates_of(%s::uuid[])", [people]).fetchall() if row["key"] in waiting]


def receive_newest(store: Store, member: Membership, connection: Connection, now: float) -> None:
    """After a connection: what the company has decided and today's punches of other doors, ahead of those of earlier days."""
    while receive_state(store, member, connection):
        pass
    receive_awaited(store, member, connection)
    doors_down.receive_today(store, connection, now)


def receive_crops(store: Store, connection: Connection) -> int:
    """Enrolment crops, when there is nothing else to do: a change of model needs them."""
    sql = "SELECT key, body, sealed_crop, xid, seq FROM state"
    rows = next_rows(store, connection, "crops", sql, CROPS, "kind = 'template' AND sealed_crop IS NOT NULL AND NOT deleted")
    keys = store.keys.of_each(uuids(store, {row["body"]["person"] for row in rows}).values()) if rows else {}
    with store.transaction() as db:
        db.execute("INSERT INTO fleet_applying VALUES (1)")
        for row in rows:
            key = keys.get(owner_of(db, row) or 0)
            if key is not None:
                crop = unseal(key, row["sealed_crop"], f"crop of {row['body']['person']} for {row['body']['model_id']}")
                templates.keep_crop(db, key, row["key"], crop)
        db.execute("DELETE FROM fleet_applying")
        note_cursor(db, "crops", rows)
    return len(rows)
