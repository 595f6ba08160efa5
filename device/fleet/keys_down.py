"""Keys of people from the company's database, each sealed for this terminal; one that replaces another seals the person's templates anew."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from device.fleet import records
from device.fleet.cursor import Row, position
from device.fleet.membership import private_key, set_value, uuids
from device.fleet.sealed_box import unbox
from device.fleet.server import Connection
from device.fleet.up import seal_for_readers
from device.storage import templates
from device.storage.key_folder import KeysError
from device.storage.sealing import SIZE
from device.storage.store import Store

KEY = "person::text AS person, wrapped, xid, seq"


def finish_keys(store: Store) -> None:
    """After a kill between sealing a person's templates with another key and taking that key over."""
    if waiting := store.keys.waiting():
        with store.reading() as db:
            taken = {person_id: templates.sealed_with(db, key, person_id) for person_id, key in waiting.items()}
        store.keys.promote(taken)


def take_keys_of(store: Store, connection: Connection, people: set[str]) -> None:
    """The keys of these people, where this terminal has none yet: their templates can then be opened at once."""
    held = store.keys.holders() if people else set()
    ids = {uuid: number for uuid, number in uuids(store, people).items() if number not in held}
    rows = connection.execute(f"SELECT {KEY} FROM wrapped_keys WHERE person = ANY (%s::uuid[])", [list(ids)]).fetchall() if ids else []
    take_keys(store, rows, ids)


def take_keys(store: Store, rows: Sequence[Row], ids: Mapping[str, int]) -> None:
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
                records.note_strange(db, f"key {row['person']}", strange[row["person"]])
            else:
                set_value(db, _name(row), position(row))
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


def _not_taken(store: Store, rows: Sequence[Row]) -> list[Row]:
    """Without the keys that came already, ahead of a template that they open."""
    with store.reading() as db:
        taken = dict(db.execute("SELECT key, value FROM fleet WHERE key IN (SELECT value FROM json_each(?))", [json.dumps([_name(row) for row in rows])]))
    return [row for row in rows if taken.get(_name(row)) != position(row)]


def _name(row: Row) -> str:
    return f"key.{row['person']}"


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
