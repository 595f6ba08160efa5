"""The tables whose rows belong to the whole company: plans, absences, locks, requests and the like (docs/fleet.md).

A row travels as JSON of its columns under a key that holds everywhere; what it refers to is named by such keys, too, never by a row's number here.
So a column that a later migration adds travels without a change to this file.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

from sqlite_utils import Database

Row = dict[str, Any]


@dataclass(frozen=True)
class RecordKind:
    """One table; the company's database has the same name in `record_kinds`, which says who gets the rows."""

    table: str
    lists: Mapping[str, str] = field(default_factory=dict)  # column with a JSON list of ids -> their table
    where: str = ""  # which rows; `{row}` is the row
    of_site: bool = False  # each site has its own row of the same name
    label: str = ""  # a column that is unique in one terminal, though two may have given the same text


KINDS = {
    kind.table: kind
    for kind in (  # in this order a terminal that joins sends them: what others refer to comes first
        RecordKind("settings", where="{row}.key = 'site'", of_site=True),  # the rules of the site
        RecordKind("shifts", label="name"),
        RecordKind("plans", lists={"cycle": "shifts", "further": "shifts"}, label="name"),
        RecordKind("assignments"),
        RecordKind("holidays", of_site=True),
        RecordKind("absences"),
        RecordKind("employments"),
        RecordKind("period_locks"),
        RecordKind("locked_sheets"),
        RecordKind("correction_requests"),
        RecordKind("correction_decisions"),
        RecordKind("overtime_approvals"),
        RecordKind("account_bookings"),
        RecordKind("calendar_days"),
        RecordKind("plan_calendars"),
        RecordKind("person_calendars"),
    )
}
LOGS = {"punches": "door_punch", "corrections": "door_added"}  # rows of a terminal's log -> the column that holds a number in another door's log

NOTED = """
CREATE TRIGGER IF NOT EXISTS {table}_{event}_to_the_fleet AFTER {event} ON {table}
WHEN EXISTS (SELECT 1 FROM fleet WHERE key = 'membership') AND NOT EXISTS (SELECT 1 FROM fleet_applying)
    AND NOT EXISTS (SELECT 1 FROM removing) AND {condition}
BEGIN INSERT INTO fleet_changes (kind, key) VALUES ('{table}', json_array({key})); END;
"""


def note_changes(db: Database) -> None:
    """Make the triggers that note each change for the fleet; a migration that rebuilds a table loses them, so this runs after every migration."""
    for kind in KINDS.values():
        for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            condition, key = kind.where.format(row=row) or "1", ", ".join(f"{row}.{column}" for column in primary_key(db, kind.table))
            db.execute(NOTED.format(table=kind.table, event=event, condition=condition, key=key))


def note_all(db: Database) -> None:
    """Note every row that is here already: the terminal has joined."""
    for kind in KINDS.values():
        columns, condition = ", ".join(primary_key(db, kind.table)), kind.where.format(row=kind.table) or "1"
        db.execute(f"INSERT INTO fleet_changes (kind, key) SELECT '{kind.table}', json_array({columns}) FROM {kind.table} WHERE {condition} ORDER BY {columns}")


def primary_key(db: Database, table: str) -> list[str]:
    found = sorted((row[5], row[1]) for row in db.execute(f"PRAGMA table_info({table})").fetchall() if row[5])
    return [name for _, name in found]


def columns(db: Database, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})").fetchall()]


def numbered(db: Database, table: str) -> bool:
    """Whether its rows have a number of this terminal's own; else their key follows from what they hold."""
    return primary_key(db, table) == ["id"]


def parents(db: Database, table: str) -> dict[str, str]:
    """Column -> the table it refers to."""
    return {row[3]: row[2] for row in db.execute(f"PRAGMA foreign_key_list({table})").fetchall()}


def local_row(db: Database, kind: str, place: str) -> Row | None:
    """The row at a place: the JSON list of its primary key, such as [17]."""
    condition = " AND ".join(f"{column} = ?" for column in primary_key(db, kind))
    return next(iter(db.query(f"SELECT * FROM {kind} WHERE {condition}", json.loads(place))), None)


@dataclass(frozen=True)
class Names:
    """How this terminal's own numbers are named for the others, and back. `site` is the uuid of its site, "" for a desk of all sites; `door` its name,
    `devices` its uuids: the one in force first."""

    db: Database
    site: str
    door: str
    devices: Sequence[str]
    desk: bool = False

    def outgoing(self, kind: str, row: Row) -> dict[str, Any] | None:
        """A row as it travels; None: it refers to a correction of this desk that has not been sent yet."""
        found, refers = {key: value for key, value in row.items() if key != "id"}, parents(self.db, kind)
        for column, table in refers.items():
            named = self._named(column, table, found.pop(column))
            if named is None:
                return None
            found |= named
        for column, table in KINDS[kind].lists.items():
            found[column] = [None if number is None else self.key(table, json.dumps([number])) for number in json.loads(found[column])]
        for column in found:
            if column.endswith("_by") and found[column]:
                found[column] = self._actor(found[column])
        person = next((found[column] for column, table in refers.items() if table == "people"), None) or self._person_of_parent(row, refers)
        return {"row": found, **({"person": person} if person else {})}

    def _named(self, column: str, table: str, number: int | None) -> Row | None:
        if number is None:
            return {} if table in LOGS else {column: None}
        if table == "people":
            return {column: self._one("SELECT uuid FROM people WHERE id = ?", number)}
        if table in LOGS:
            place = self._in_log(table, number)
            return place and {"door": place[0], _elsewhere(column, table): place[1]}
        return {column: self.key(table, json.dumps([number]))} if table in KINDS else {}

    def _in_log(self, table: str, number: int) -> tuple[str, int] | None:
        """Whose log a row stands in, and its number there: a desk holds copies of all logs in one."""
        if not self.desk:
            return self.devices[0], number
        found = self.db.execute("SELECT device, number FROM copies WHERE chain = ? AND row = ?", [table, number]).fetchone()
        return found and (str(found[0]), int(found[1]))

    def _from_log(self, table: str, door: str, number: int) -> int | None:
        if not self.desk:
            return number if door in self.devices else None
        found = self._one("SELECT row FROM copies WHERE chain = ? AND device = ? AND number = ?", table, door, number)
        return None if found is None else int(found)

    def _person_of_parent(self, row: Row, refers: Mapping[str, str]) -> str | None:
        """The person of a row that is about another one, as a decision is about a request."""
        for column, table in refers.items():
            if table in KINDS and "person_id" in columns(self.db, table) and row[column] is not None:
                return str(self._one(f"SELECT p.uuid FROM {table} t JOIN people p ON p.id = t.person_id WHERE t.id = ?", row[column]))
        return None

    def _actor(self, text: str) -> str:
        """People are known by their uuid, and so is a user whose person is known; another user by the login and the name of the terminal."""
        if match := re.fullmatch(r"user:(\d+)", text):
            uuid = self._one("SELECT p.uuid FROM users u JOIN people p ON p.id = u.person_id WHERE u.id = ?", int(match[1]))
            return f"person:{uuid}" if uuid else f"{self._one('SELECT login FROM users WHERE id = ?', int(match[1])) or text} ({self.door})"
        if match := re.fullmatch(r"person:(\d+)", text):
            return f"person:{self._one('SELECT uuid FROM people WHERE id = ?', int(match[1]))}"
        return text

    def incoming(self, kind: str, body: Mapping[str, Any]) -> Row | None:
        """A row that came, with this terminal's numbers and the columns that it knows; None: what it refers to has not come yet."""
        found, refers = dict(body["row"]), parents(self.db, kind)
        for column, table in refers.items():
            if table in LOGS:
                if found.get("door") and found.get(_elsewhere(column, table)) is not None:
                    found[column] = self._from_log(table, found["door"], found[_elsewhere(column, table)])
                    if found[column] is not None:
                        del found[_elsewhere(column, table)]
                    elif self.desk:
                        return None
            elif found.get(column) is not None:
                found[column] = self.number(table, found[column])
                if found[column] is None:
                    return None
        if self.desk or found.get("door") in self.devices:
            found["door"] = None
        for column, table in KINDS[kind].lists.items():
            if column not in found:
                continue  # an older version sent it
            numbers = [None if key is None else self.number(table, key) for key in found[column]]
            if any(number is None and key is not None for number, key in zip(numbers, found[column], strict=True)):
                return None
            found[column] = json.dumps(numbers)
        for column in found:
            if column.endswith("_by") and str(found[column]).startswith("person:"):
                found[column] = f"person:{self.number('people', found[column][7:]) or found[column][7:]}"
        known = columns(self.db, kind)
        return {column: value for column, value in found.items() if column in known and column != "id"}

    def number(self, table: str, key: str) -> int | None:
        """The row number here of something that is known by a key; None: not here."""
        if table == "people":
            found = self._one("SELECT id FROM people WHERE uuid = ?", key)
            return None if found is None else int(found)
        place = self._one("SELECT row FROM fleet_records WHERE kind = ? AND key = ?", table, key)
        return int(json.loads(place)[0]) if place and local_row(self.db, table, place) else None

    def key(self, kind: str, place: str) -> str:
        """The key of a row; a new one is noted, so that it stays the same when it is sent again."""
        known = self._one("SELECT key FROM fleet_records WHERE kind = ? AND row = ? ORDER BY version DESC LIMIT 1", kind, place)
        if known is None:
            known = str(uuid4()) if numbered(self.db, kind) else self._natural(kind, json.loads(place))
            sql = "INSERT INTO fleet_records VALUES (?, ?, ?, 0, NULL) ON CONFLICT (kind, key) DO UPDATE SET row = excluded.row"
            self.db.execute(sql, [kind, known, place])
        return str(known)

    def _natural(self, kind: str, values: Sequence[Any]) -> str:
        refers, names = parents(self.db, kind), primary_key(self.db, kind)
        parts = [(self._named(name, refers[name], value) or {})[name] if name in refers else value for name, value in zip(names, values, strict=True)]
        return str(uuid5(NAMESPACE_OID, json.dumps(["clockface", self.site if KINDS[kind].of_site else "", kind, *parts])))

    def _one(self, sql: str, *values: Any) -> Any:
        row = self.db.execute(sql, list(values)).fetchone()
        return row[0] if row else None


def _elsewhere(column: str, table: str) -> str:
    """Where the number in another door's log stands: correction_decisions has `door_correction` beside `correction_id`."""
    return "door_correction" if column == "correction_id" else LOGS[table]


def write(db: Database, kind: str, fields: Row, place: str | None) -> str:
    """Insert a row, or change the one at `place`; returns its place. Triggers that guard the table do not hold what the company has accepted."""
    try:
        with _undone_if_refused(db):
            return _written(db, kind, fields, place)
    except sqlite3.IntegrityError as error:
        if "constraint failed" in str(error):
            raise
    with _undone_if_refused(db), without_triggers(db, kind):
        return _written(db, kind, fields, place)


@contextmanager
def _undone_if_refused(db: Database) -> Iterator[None]:
    db.execute("SAVEPOINT record")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK TO record")
        db.execute("RELEASE record")
        raise
    db.execute("RELEASE record")


def _written(db: Database, kind: str, fields: Row, place: str | None) -> str:
    keys = primary_key(db, kind)
    if place is not None and local_row(db, kind, place) is not None:
        changed = ", ".join(f"{column} = :{column}" for column in fields)
        same = " AND ".join(f"{column} = :key_{column}" for column in keys)
        values = {f"key_{name}": value for name, value in zip(keys, json.loads(place), strict=True)}
        db.execute(f"UPDATE {kind} SET {changed} WHERE {same}", {**fields, **values})
        return place
    number = db.execute(f"INSERT INTO {kind} ({', '.join(fields)}) VALUES ({', '.join(f':{column}' for column in fields)})", fields).lastrowid
    return json.dumps([number] if keys == ["id"] else [fields[column] for column in keys], ensure_ascii=False, separators=(",", ":"))


def remove(db: Database, kind: str, place: str) -> None:
    """Remove a row, whatever triggers say: the company has removed it, or never took it."""
    same = " AND ".join(f"{column} = ?" for column in primary_key(db, kind))
    with _undone_if_refused(db), without_triggers(db, kind):
        db.execute(f"DELETE FROM {kind} WHERE {same}", json.loads(place))


@contextmanager
def without_triggers(db: Database, table: str) -> Iterator[None]:
    """Inside a transaction: the table's triggers are away during the block, for this transaction alone."""
    triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", [table]).fetchall()
    for name, _ in triggers:
        db.execute(f"DROP TRIGGER {name}")
    yield
    for _, sql in triggers:
        db.execute(sql)
