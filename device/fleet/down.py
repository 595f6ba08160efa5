"""From the company's database to this terminal: people, consents, PINs, templates and erasures, and what other doors have recorded.

Each batch is stored together with the place up to which it was read, so that a terminal that is cut off goes on where it was. A row counts as
read only when every earlier transaction of the server has ended: rows that were written early and committed late are not missed.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from sqlite_utils import Database

from device.contract import ClockfaceError
from device.fleet import records
from device.fleet.membership import Membership, private_key, set_value, uuids, value
from device.fleet.sealed_box import unbox
from device.fleet.server import Connection
from device.fleet.up import seal_for_readers
from device.storage import findings, templates
from device.storage.audit import Action
from device.storage.key_folder import KeysError
from device.storage.sealing import SIZE, unseal
from device.storage.store import Store
from device.storage.templates import PlainTemplate

BATCH = 2000  # rows of state in one transaction: each page waits for the disk several times
KEYS = 500  # likewise: all templates that waited for them come at once
CROPS = 50  # in one round: they are large and wanted only for a change of model
DAYS = 62  # of other doors' punches: this month and the one before it, so that their timesheets are whole at each door
TODAY = 86400  # s
START = "0:0"
KEY = "person::text AS person, wrapped, xid, seq"
WITHIN = "xid < pg_snapshot_xmin(pg_current_snapshot())"
Row = dict[str, Any]
STRANGE = (  # what a row raises whose content is not of the form that this version knows
    ClockfaceError, KeyError, TypeError, ValueError, OverflowError, sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError,
)  # fmt: skip


def receive(store: Store, member: Membership, connection: Connection, now: float) -> int:
    """One round; returns how many rows came down."""
    finish_keys(store)
    rows = receive_state(store, member, connection) or receive_awaited(store, member, connection)
    rows += receive_keys(store, member, connection) + receive_from_doors(store, member, connection, now)
    return rows or receive_crops(store, connection)


def finish_keys(store: Store) -> None:
    """After a kill between sealing a person's templates with another key and taking that key over."""
    if waiting := store.keys.waiting():
        with store.reading() as db:
            taken = {person_id: templates.sealed_with(db, key, person_id) for person_id, key in waiting.items()}
        store.keys.promote(taken)


def receive_keys(store: Store, member: Membership, connection: Connection) -> int:
    """Keys of people that were sealed for this terminal, as far as the people are known already, and the templates that waited for them."""
    rows = _page(store, connection, "keys", f"SELECT {KEY} FROM wrapped_keys", KEYS)
    if not rows:
        return 0
    ids = uuids(store, {row["person"] for row in rows})
    known = [row["person"] in ids for row in rows]
    rows = rows[: known.index(False)] if False in known else rows
    _take_keys(store, rows, ids)
    _apply(store, member, _waiting(store, connection, [row["person"] for row in rows]))
    with store.transaction() as db:
        note_place(db, "keys", rows)
    return len(rows)


def _not_taken(store: Store, rows: Sequence[Row]) -> list[Row]:
    """Without the keys that came already, ahead of a template that they open."""
    with store.reading() as db:
        taken = dict(db.execute("SELECT key, value FROM fleet WHERE key IN (SELECT value FROM json_each(?))", [json.dumps([_name(row) for row in rows])]))
    return [row for row in rows if taken.get(_name(row)) != _place(row)]


def _name(row: Row) -> str:
    return f"key.{row['person']}"


def _place(row: Row) -> str:
    return f"{row['xid']}:{row['seq']}"


def _take_keys(store: Store, rows: Sequence[Row], ids: Mapping[str, int]) -> None:
    """Store keys; one that replaces another seals the person's templates anew, and neither is lost where that is cut off."""
    rows = _not_taken(store, rows)
    if not rows:
        return
    private, held = private_key(store), store.keys.of_each({ids[row["person"]] for row in rows})
    fresh, strange = _unboxed(rows, private, ids)
    replaced = {person_id: key for person_id, key in fresh.items() if held.get(person_id) not in (None, key)}
    store.keys.keep({**{person_id: key for person_id, key in fresh.items() if person_id not in held}, **{-one: key for one, key in replaced.items()}})
    with store.transaction() as db:
        db.execute("INSERT INTO fleet_applying VALUES (1)")
        for person_id, key in replaced.items():
            templates.reseal(db, person_id, held[person_id], key)
        for row in rows:
            if row["person"] in strange:
                _note_strange(db, f"key {row['person']}", strange[row["person"]])
            else:
                set_value(db, _name(row), _place(row))
        db.execute("DELETE FROM fleet_applying")
    finish_keys(store)


def _unboxed(rows: Sequence[Row], private: bytes, ids: Mapping[str, int]) -> tuple[dict[int, bytes], dict[str, Exception]]:
    """Row number -> key, and person -> why theirs does not open: whoever sealed it did it wrongly, and holds up none of the others."""
    fresh, strange = dict[int, bytes](), dict[str, Exception]()
    for row in rows:
        try:
            key = unbox(row["wrapped"], private, row["person"])
            if len(key) != SIZE:
                raise ValueError(f"a key of {len(key)} bytes")
            fresh[ids[row["person"]]] = key
        except (KeysError, ValueError) as error:
            strange[row["person"]] = error
    return fresh, strange


def receive_state(store: Store, member: Membership, connection: Connection, apply: Mapping[str, Any] | None = None) -> int:
    """What the company has decided, in order; of the rows of a page, people and their keys come first.

    Args:
        apply: kind -> what stores a row; None: as a terminal does. With one of its own, nothing that is sealed is read.
    """
    rows = _page(store, connection, "state", records.state("xid", "seq", sealed=apply is None))
    if not rows:
        return 0
    people = [row for row in rows if row["kind"] == "person"]
    _apply(store, member, [row for row in people if not row["deleted"]], apply)
    for row in people:
        if row["deleted"]:  # each is a whole erasure, with key and write-ahead log
            _erase(store, connection, row["key"])
        elif row["body"].get("rotate"):
            rotate(store, connection, row["key"])
    if apply is None:
        _keys_for(store, connection, {row["body"].get("person") for row in rows if row["kind"] == "template"})
    _apply(store, member, [row for row in rows if row["kind"] != "person"], apply)
    with store.transaction() as db:
        note_place(db, "state", rows)
    return len(rows)


def _keys_for(store: Store, connection: Connection, people: set[str]) -> None:
    """The keys of these people, where this terminal has none yet: their templates can then be opened at once."""
    held = store.keys.holders() if people else set()
    ids = {uuid: number for uuid, number in uuids(store, people).items() if number not in held}
    rows = connection.execute(f"SELECT {KEY} FROM wrapped_keys WHERE person = ANY (%s::uuid[])", [list(ids)]).fetchall() if ids else []
    _take_keys(store, rows, ids)


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
        _note_strange(db, f"{row['kind']} {row['key']}", error)
    db.execute("RELEASE one_row")


def _note_strange(db: Database, what: str, error: Exception) -> None:
    set_value(db, f"strange.{what}", type(error).__name__)


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
    after, since = value(store, "at.doors", START).split(":"), int((now - TODAY) * 1000)
    while rows := connection.execute("SELECT * FROM doors(%s::xid8, %s, %s, %s)", [*after, since, BATCH]).fetchall():
        ids = uuids(store, {str(row["person"]) for row in rows})
        with store.transaction() as db:
            _keep_doors(db, ids, rows)
        after = _place(rows[-1]).split(":")  # not noted: those before it are still to come


def _keep_doors(db: Database, ids: Mapping[str, int], rows: Sequence[Row]) -> None:
    for row in rows:
        if (person_id := ids.get(str(row["person"]))) is not None:
            values = [str(row["door"]), row["id"], row["device"], person_id, row["occurred_at"], row["direction"], row["method"]]
            db.execute("INSERT INTO door_punches VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values)


def receive_from_doors(store: Store, member: Membership, connection: Connection, now: float) -> int:
    """What other doors have recorded and corrected."""
    return receive_doors(store, connection, now) + receive_corrections(store, member, connection, now)


def receive_doors(store: Store, connection: Connection, now: float) -> int:
    """Other doors' punches of the last days, so that direction, refractory period and Today hold across doors."""
    after, since = value(store, "at.doors", START).split(":"), int((now - DAYS * 86400) * 1000)
    rows = connection.execute("SELECT * FROM doors(%s::xid8, %s, %s, %s)", [*after, since, BATCH]).fetchall()
    rows, ids = _with_people(store, connection, rows)
    with store.transaction() as db:
        _keep_doors(db, ids, rows)
        if rows:
            note_place(db, "doors", rows)
        db.execute("DELETE FROM door_punches WHERE occurred_at < ?", [since])
    return len(rows)


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


def receive_corrections(store: Store, member: Membership, connection: Connection, now: float) -> int:
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
        if rows:
            note_place(db, "corrections", rows)
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


def receive_crops(store: Store, connection: Connection) -> int:
    """Enrolment crops, when there is nothing else to do: a change of model needs them."""
    sql = "SELECT key, body, sealed_crop, xid, seq FROM state"
    rows = _page(store, connection, "crops", sql, CROPS, "kind = 'template' AND sealed_crop IS NOT NULL AND NOT deleted")
    keys = store.keys.of_each(uuids(store, {row["body"]["person"] for row in rows}).values()) if rows else {}
    with store.transaction() as db:
        db.execute("INSERT INTO fleet_applying VALUES (1)")
        for row in rows:
            key = keys.get(owner_of(db, row) or 0)
            if key is not None:
                crop = unseal(key, row["sealed_crop"], f"crop of {row['body']['person']} for {row['body']['model_id']}")
                templates.keep_crop(db, key, row["key"], crop)
        db.execute("DELETE FROM fleet_applying")
        if rows:
            note_place(db, "crops", rows)
    return len(rows)


def rotate(store: Store, connection: Connection, person: str) -> None:
    """Give a person another key after a terminal that knew the old one was revoked. One terminal does it; the others get the new key sealed for them."""
    with store.reading() as db:
        row = db.execute("SELECT id FROM people WHERE uuid = ?", [person]).fetchone()
    old = store.keys.of(row[0]) if row else None
    if old is None:
        return
    with connection.transaction():
        claimed = connection.execute("SELECT claim_rotation(%s::uuid) AS claimed", [person]).fetchone()
        if claimed is None or not claimed["claimed"]:
            return
        new = os.urandom(SIZE)
        seal_for_readers(connection, person, new)
    with store.transaction() as db:
        db.execute("INSERT INTO fleet_changes (kind, key) SELECT 'template', uuid FROM templates WHERE person_id = ?", [row[0]])


def _page(store: Store, connection: Connection, name: str, sql: str, most: int = BATCH, condition: str = "true") -> list[Row]:
    """The next rows in the order in which they became visible."""
    after = value(store, f"at.{name}", START).split(":")
    return connection.execute(f"{sql} WHERE (xid, seq) > (%s::xid8, %s) AND {WITHIN} AND {condition} ORDER BY xid, seq LIMIT {most}", after).fetchall()


def note_place(db: Database, name: str, rows: list[Row]) -> None:
    if rows:
        set_value(db, f"at.{name}", _place(rows[-1]))
