"""The hash chain: each row of a chained table carries the hash of the row before it and its own.

A row that is changed, removed, swapped or inserted afterwards breaks the chain at its place. An attacker who can write
to the file can compute the whole chain anew: to detect this as well, note the head (`log --verify` prints it) outside
the terminal from time to time.

The hash is SHA-256 over the row as JSON in UTF-8: every column but `hash`, keys sorted, no spaces, characters as they
are, floats in their shortest form that reads back the same. A column in LATER is hashed only where it is not null, so
that rows older than the column keep their hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, TypeAlias

from sqlite_utils import Database

from device.storage.audit import Action

Value: TypeAlias = str | int | float | None

GENESIS = "0" * 64  # previous hash of the first row
CHAINED = {  # table -> name of one row
    "punches": "punch",
    "corrections": "correction",
    "audit": "audit row",
}
LATER = frozenset({"amends", "door", "door_punch", "door_added"})  # columns added to a chained table by a migration
AS_JSON: dict[type, Callable[[Any], str]] = {str: encode_basestring, int: int.__repr__, float: float.__repr__, type(None): lambda value: "null"}


@dataclass(frozen=True)
class ChainReport:
    """The result of verifying one chain."""

    table: str
    ok: bool
    count: int  # rows present
    head: str  # hash of the last valid row, to be noted outside the terminal
    first_bad: int | None = None  # id of the first row that is missing or wrong
    reason: str = ""
    removed: int = 0  # rows removed by policy, whose hashes are kept


def hashed_text(row: Mapping[str, Value]) -> str:
    """What the hash covers: all columns but `hash` and those of LATER that are null, as JSON."""
    fields = {key: value for key, value in row.items() if key != "hash" and not (key in LATER and value is None)}
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def row_hash(row: Mapping[str, Value]) -> str:
    """SHA-256, 64 hex digits, of `hashed_text`."""
    return hashlib.sha256(hashed_text(row).encode()).hexdigest()


def texts(columns: Sequence[str]) -> Callable[[Sequence[Value]], str]:
    """`hashed_text` of rows that hold the values of these columns, sorted and without `hash`, in half the time: millions of rows are verified with it."""
    names = [(f'"{column}":', column in LATER) for column in columns]

    def text(values: Sequence[Value]) -> str:
        cells = [name + AS_JSON[type(value)](value) for (name, later), value in zip(names, values, strict=True) if value is not None or not later]
        return f"{{{','.join(cells)}}}"

    return text


def append(db: Database, table: str, fields: Mapping[str, Value]) -> dict[str, Value]:
    """Insert a row at the end of a chain, inside the caller's write transaction.

    Ids continue from the highest ever used: if the last row was removed, its id stays missing.
    """
    last_id, last_hash = db.execute(f"SELECT id, hash FROM main.{table} ORDER BY id DESC LIMIT 1").fetchone() or (0, GENESIS)
    row: dict[str, Value] = {"id": max(last_id, _highest_id(db, table)) + 1, **fields, "previous_hash": last_hash}
    row["hash"] = row_hash(row)
    places = ", ".join(f":{key}" for key in row)
    db.execute(f"INSERT INTO main.{table} ({', '.join(row)}) VALUES ({places})", row)
    return row


def verify(db: Database, table: str) -> ChainReport:
    """Recompute a chain from its first row to its last; stops at the first break. For rows removed by policy it uses the kept hashes."""
    count = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    removed, unproven = _removals(db, table)
    head, broken = _first_break(_links(db, table), CHAINED[table], _highest_id(db, table), removed)
    broken = broken or unproven
    if broken is None:
        return ChainReport(table, True, count, head, removed=len(removed))
    return ChainReport(table, False, count, head, *broken, removed=len(removed))


def batch_digest(hashes: Iterable[str]) -> str:
    """SHA-256 over the hashes of rows that were removed together, corrections before punches, each by id; the audit holds it."""
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _removals(db: Database, table: str) -> tuple[dict[int, tuple[str, str]], tuple[int, str] | None]:
    """id -> previous hash and hash of each row removed by policy; and the first of these that the audit does not prove."""
    if table == "audit":
        return {}, None
    removed = {row[0]: (row[1], row[2]) for row in db.execute("SELECT id, previous_hash, hash FROM removals WHERE chain = ?", [table])}
    batches = db.execute("SELECT audit_id, min(id) FROM removals WHERE chain = ? GROUP BY 1 ORDER BY 2", [table]).fetchall()
    for audit_id, first in batches:
        hashes = [row[0] for row in db.execute("SELECT hash FROM removals WHERE audit_id = ? ORDER BY chain, id", [audit_id])]
        sql = "SELECT json_extract(details, '$.sha256') FROM audit WHERE id = ? AND action = ?"
        audited = db.execute(sql, [audit_id, Action.PUNCHES_REMOVED.value]).fetchone()
        if audited is None or audited[0] != batch_digest(hashes):
            return removed, (first, f"{CHAINED[table]} {first} was removed, but the audit does not prove it")
    return removed, None


def _links(db: Database, table: str) -> Iterator[tuple[int, str, str, str]]:
    """Id, hash and previous hash of each row as stored, and the hash that it should have."""
    columns = sorted(name for name in db[table].columns_dict if name != "hash")
    text, sha256 = texts(columns), hashlib.sha256
    for number, stored, previous, *values in db.execute(f"SELECT id, hash, previous_hash, {', '.join(columns)} FROM {table} ORDER BY id"):
        yield number, stored, previous, sha256(text(values).encode()).hexdigest()


def _first_break(
    links: Iterable[tuple[int, str, str, str]], word: str, highest: int, removed: Mapping[int, tuple[str, str]]
) -> tuple[str, tuple[int, str] | None]:
    expected, head = 1, GENESIS
    for number, stored, previous, computed in links:
        while number != expected and expected in removed and removed[expected][0] == head:
            expected, head = expected + 1, removed[expected][1]
        if number != expected:
            return head, (expected, f"{word} {expected} is missing")
        if stored != computed:
            return head, (expected, f"{word} {expected} was changed after it was recorded")
        if previous != head:
            return head, (expected, f"{word} {expected} does not follow the one before it")
        expected, head = expected + 1, stored
    if expected <= highest:
        return head, (expected, f"{word} {expected} is missing at the end")
    return head, None


def _highest_id(db: Database, table: str) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", [table]).fetchone()
    return int(row[0]) if row else 0
