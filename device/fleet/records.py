"""Company records up and down: rows of the tables in `device/storage/company_records.py`, each with a version that the company's database counts.

Of two changes of one row the later version counts, and the audit of both terminals says which one was overruled. Of two rows that are never changed the
first one stands, and a change of days that were locked meanwhile is refused: the terminal that made it takes the company's row instead.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sqlite_utils import Database

from device.fleet.membership import JOINED, Membership, set_value
from device.fleet.server import Connection
from device.storage.audit import Action
from device.storage.company_records import KINDS, Names, local_row, numbered, primary_key, remove, write
from device.storage.store import Store

LOCKED, STANDS = "CF005", "CF006"  # SQLSTATE: days of a locked period; another row has this key and is never changed
FEW = 20  # rows of people that are told one by one; of more, everything is read again once


def state(*more: str, sealed: bool = True) -> str:
    """The statement that reads rows of the state, up to its WHERE."""
    columns = ("kind", "key", "sites::text[] AS sites", "body", "sealed" if sealed else "NULL::bytea AS sealed", "deleted", "version", "base")
    return f"SELECT {', '.join((*columns, '(extract(epoch FROM at) * 1000000)::bigint AS arrived', *more))} FROM state"


def own_devices(db: Database, member: Membership) -> list[str]:
    """The uuids of this terminal, the one in force first; it gets another one where its log goes on after a fault."""
    row = db.execute("SELECT value FROM fleet WHERE key = 'own.devices'").fetchone()
    return list(dict.fromkeys([member.device, *(json.loads(row[0]) if row else [])]))


def names(db: Database, member: Membership) -> Names:
    return Names(db, member.site_id, member.name, own_devices(db, member), member.desk)


def send(store: Store, member: Membership, connection: Connection, kind: str, place: str) -> bool:
    """Send a row as it is now."""
    with store.transaction() as db:
        named, row = names(db, member), local_row(db, kind, place)
        key = named.key(kind, place)
        base = int(db.execute("SELECT version FROM fleet_records WHERE kind = ? AND key = ?", [kind, key]).fetchone()[0])
        body = {} if row is None else named.outgoing(kind, row)
    if body is None:
        return False  # a desk sends what it refers to first
    try:
        found = connection.execute("SELECT * FROM put_record(%s, %s, %s, %s, %s)", [kind, key, base, Jsonb(body), row is None]).fetchone()
    except psycopg.Error as error:
        if error.sqlstate not in (LOCKED, STANDS):
            raise
        _take_the_companys(store, member, connection, kind, key, place, error.diag.message_primary or "")
        return True
    assert found is not None
    with store.transaction() as db:
        db.execute("UPDATE fleet_records SET version = ?, arrived = ? WHERE kind = ? AND key = ?", [found["stored"], found["arrived"], kind, key])
        if found["over"] is not None:
            store.note_by("fleet", Action.FLEET_OVERRULED, table=kind, row=place, record=key, lost=found["over"], won=found["stored"], by=member.name)
    return True


def _take_the_companys(store: Store, member: Membership, connection: Connection, kind: str, key: str, place: str, reason: str) -> None:
    """This terminal's change was refused: the company's row takes its place, and where there is none, the row goes."""
    rows = connection.execute(f"{state()} WHERE kind = %s AND key = %s", [kind, key]).fetchall()
    with store.transaction() as db:
        db.execute("INSERT INTO fleet_applying VALUES (1)")
        db.execute("DELETE FROM fleet_changes WHERE kind = ? AND key = ?", [kind, place])
        for row in rows:
            _store(store, db, member, row)
        if not rows and local_row(db, kind, place) is not None:
            with suppress(sqlite3.IntegrityError):  # something that was made later refers to it: it stays, and the audit tells
                remove(db, kind, place)
        store.note_by("fleet", Action.FLEET_REFUSED, table=kind, row=place, record=key, reason=reason)
        store.note_by("fleet", Action.FLEET_APPLIED, table=kind)
        db.execute("DELETE FROM fleet_applying")


def apply(store: Store, db: Database, member: Membership, rows: Sequence[dict[str, Any]]) -> None:
    """Store rows that came, inside a transaction with a row in `fleet_applying`; what cannot be stored yet waits in `fleet_awaited`."""
    people: set[int | None] = set()
    for row in rows:
        if row["kind"] not in KINDS:
            await_(db, row)  # of a newer version: stored after an update
        elif _newer(db, row) and not _changed_here(store, db, member, row):
            if (place := _store(store, db, member, row)) is None:
                await_(db, row)
                continue
            found = (local_row(db, row["kind"], place) if place else None) or {}
            people.add(found.get("person_id"))
    everybody = None in people or len(people) > FEW
    for told in [{}] if everybody else [{"person_id": person} for person in sorted(people, key=str)]:
        store.note_by("fleet", Action.FLEET_APPLIED, **told)


def await_(db: Database, row: dict[str, Any]) -> None:
    db.execute("INSERT INTO fleet_awaited VALUES (?, ?) ON CONFLICT DO NOTHING", [row["kind"], row["key"]])


def note_strange(db: Database, what: str, error: Exception) -> None:
    """Count something that is not understood; the doctor and the page of devices tell of it."""
    set_value(db, f"strange.{what}", type(error).__name__)


def _newer(db: Database, row: dict[str, Any]) -> bool:
    known = db.execute("SELECT version FROM fleet_records WHERE kind = ? AND key = ?", [row["kind"], row["key"]]).fetchone()
    return known is None or bool(known[0] < row["version"])


def _changed_here(store: Store, db: Database, member: Membership, row: dict[str, Any]) -> bool:
    """Whether a change made here waits to be sent, and so will be the newer one; what was here before the terminal joined gives way."""
    place = _place(db, member, row)
    found = db.execute("SELECT max(id) FROM fleet_changes WHERE kind = ? AND key = ?", [row["kind"], place]).fetchone()[0]
    if found is None:
        return False
    if found > int(_joined(db)):
        return True
    db.execute("DELETE FROM fleet_changes WHERE kind = ? AND key = ?", [row["kind"], place])
    store.note_by("fleet", Action.FLEET_OVERRULED, table=row["kind"], row=place, record=row["key"], lost=0, won=row["version"], by=row["body"].get("by"))
    return False


def _joined(db: Database) -> str:
    row = db.execute("SELECT value FROM fleet WHERE key = ?", [JOINED]).fetchone()
    return str(row[0]) if row else "0"


def _place(db: Database, member: Membership, row: dict[str, Any]) -> str | None:
    """Where the row stands here: known by its key, or by what it holds."""
    kind = row["kind"]
    known = db.execute("SELECT row FROM fleet_records WHERE kind = ? AND key = ?", [kind, row["key"]]).fetchone()
    if known is not None:
        return str(known[0])
    if "row" not in row["body"] or (fields := names(db, member).incoming(kind, row["body"])) is None:
        return None
    if not numbered(db, kind):
        return json.dumps([fields[column] for column in primary_key(db, kind)], ensure_ascii=False, separators=(",", ":"))
    return _of_the_same_label(db, member, kind, fields, row["body"])


def _of_the_same_label(db: Database, member: Membership, kind: str, fields: dict[str, Any], body: dict[str, Any]) -> str | None:
    """A row that says the same under the same name: made at two terminals. One that says something else makes room by the name of the terminal."""
    label = KINDS[kind].label
    if not label:
        return None
    found = next(iter(db.query(f"SELECT * FROM {kind} WHERE {label} = ?", [fields[label]])), None)
    if found is None or {key: found[key] for key in fields} != fields:
        return None
    return json.dumps([found["id"]])


def _store(store: Store, db: Database, member: Membership, row: dict[str, Any]) -> str | None:
    """Store one row; returns its place, "" where there is nothing to be removed, None where what it refers to is not here yet."""
    kind, place = row["kind"], _place(db, member, row)
    try:
        if row["deleted"]:
            if place is None or "row" not in row["body"]:  # of a person who is erased: what is here stays under the pseudonym
                return ""
            remove(db, kind, place)
        else:
            fields = names(db, member).incoming(kind, row["body"])
            if fields is None:
                return None
            if place is None and KINDS[kind].label:
                fields = _another_label(db, kind, fields, str(row["body"].get("by")))
            place = write(db, kind, fields, place)
    except sqlite3.IntegrityError:
        return None
    _note_version(store, db, row, place)
    return place


def _another_label(db: Database, kind: str, fields: dict[str, Any], door: str) -> dict[str, Any]:
    """The same row under a name that is free here."""
    label, number = KINDS[kind].label, 1
    text = wanted = str(fields[label])
    while db.execute(f"SELECT 1 FROM {kind} WHERE {label} = ?", [text]).fetchone():
        text, number = f"{wanted} ({door})" if number == 1 else f"{wanted} ({door} {number})", number + 1
    return {**fields, label: text}


def _note_version(store: Store, db: Database, row: dict[str, Any], place: str) -> None:
    kind, key, version, base = row["kind"], row["key"], row["version"], row["base"]
    known = db.execute("SELECT version FROM fleet_records WHERE kind = ? AND key = ?", [kind, key]).fetchone()
    if known and base is not None and known[0] > base:
        store.note_by("fleet", Action.FLEET_OVERRULED, table=kind, row=place, record=key, lost=known[0], won=version, by=row["body"].get("by"))
    changed = "row = excluded.row, version = excluded.version, arrived = excluded.arrived"
    sql = f"INSERT INTO fleet_records VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET {changed}"
    db.execute(sql, [kind, key, place, version, row["arrived"]])

