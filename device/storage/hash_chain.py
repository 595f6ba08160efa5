"""The hash chain: each row of a chained table carries the hash of the row before it and its own.

A row that is changed, removed, exchanged or slipped in afterwards breaks the chain where it stands. Whoever can write
to the file and knows this page can compute the whole chain anew: note the head (`log --verify` prints it) elsewhere
from time to time, and that is found too.

The hash is SHA-256 over the row as JSON in UTF-8: every column but `hash`, keys sorted, no spaces, characters as they
are, floats in their shortest form that reads back the same. A column of LATER counts where it is not null, so that
rows from before it was there keep their hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sqlite_utils import Database

from device.storage.audit import Action

Value: TypeAlias = str | int | float | None

GENESIS = "0" * 64  # previous hash of the first row
CHAINED = {  # table -> name of one row
    "punches": "punch",
    "corrections": "correction",
    "audit": "audit row",
}
LATER = frozenset({"amends"})  # columns added to a chained table by a migration


@dataclass(frozen=True)
class ChainReport:
    """The result of verifying one chain."""

    table: str
    ok: bool
    count: int  # rows present
    head: str  # hash of the last valid row, to be noted elsewhere
    first_bad: int | None = None  # id of the first row that is missing or wrong
    reason: str = ""
    removed: int = 0  # rows removed by policy whose hashes are valid


def row_hash(row: Mapping[str, Value]) -> str:
    """SHA-256, 64 hex digits, over all columns but `hash` and those of LATER that are null."""
    fields = {key: value for key, value in row.items() if key != "hash" and not (key in LATER and value is None)}
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def append(db: Database, table: str, fields: Mapping[str, Value]) -> dict[str, Value]:
    """Insert a row at the end of a chain, inside the caller's write transaction.

    Ids count on from the highest ever given: after the last row was removed, its number stays missing.
    """
    last_id, last_hash = db.execute(f"SELECT id, hash FROM {table} ORDER BY id DESC LIMIT 1").fetchone() or (0, GENESIS)
    row: dict[str, Value] = {"id": max(last_id, _highest_id(db, table)) + 1, **fields, "previous_hash": last_hash}
    row["hash"] = row_hash(row)
    places = ", ".join(f":{key}" for key in row)
    db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", row)
    return row


def verify(db: Database, table: str) -> ChainReport:
    """Recompute a chain from its first row to its last; stops at the first break. Rows removed by policy are checked by their kept hashes."""
    count = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    gone, unproven = _removals(db, table)
    head, broken = _first_break(db.query(f"SELECT * FROM {table} ORDER BY id"), CHAINED[table], _highest_id(db, table), gone)
    broken = broken or unproven
    if broken is None:
        return ChainReport(table, True, count, head, removed=len(gone))
    return ChainReport(table, False, count, head, *broken, removed=len(gone))


def batch_digest(hashes: Iterable[str]) -> str:
    """SHA-256 over the hashes of rows that were removed together, corrections before punches, each by id: what the audit keeps of them."""
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _removals(db: Database, table: str) -> tuple[dict[int, tuple[str, str]], tuple[int, str] | None]:
    """Id -> previous hash and hash of rows removed by policy; and the first one that the audit does not prove."""
    if table == "audit":
        return {}, None
    gone = {row[0]: (row[1], row[2]) for row in db.execute("SELECT id, previous_hash, hash FROM removals WHERE chain = ?", [table])}
    batches = db.execute("SELECT audit_id, min(id) FROM removals WHERE chain = ? GROUP BY 1 ORDER BY 2", [table]).fetchall()
    for audit_id, first in batches:
        hashes = [row[0] for row in db.execute("SELECT hash FROM removals WHERE audit_id = ? ORDER BY chain, id", [audit_id])]
        sql = "SELECT json_extract(details, '$.sha256') FROM audit WHERE id = ? AND action = ?"
        said = db.execute(sql, [audit_id, Action.PUNCHES_REMOVED.value]).fetchone()
        if said is None or said[0] != batch_digest(hashes):
            return gone, (first, f"{CHAINED[table]} {first} was removed, but not as the audit says")
    return gone, None


def _first_break(rows: Iterable[dict[str, Value]], word: str, highest: int, gone: Mapping[int, tuple[str, str]]) -> tuple[str, tuple[int, str] | None]:
    expected, previous = 1, GENESIS
    for row in rows:
        while row["id"] != expected and expected in gone and gone[expected][0] == previous:
            expected, previous = expected + 1, gone[expected][1]
        if row["id"] != expected:
            return previous, (expected, f"{word} {expected} is missing")
        if row["hash"] != row_hash(row):
            return previous, (expected, f"{word} {expected} was changed after it was recorded")
        if row["previous_hash"] != previous:
            return previous, (expected, f"{word} {expected} does not follow the one before it")
        expected, previous = expected + 1, str(row["hash"])
    if expected <= highest:
        return previous, (expected, f"{word} {expected} is missing at the end")
    return previous, None


def _highest_id(db: Database, table: str) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", [table]).fetchone()
    return int(row[0]) if row else 0
