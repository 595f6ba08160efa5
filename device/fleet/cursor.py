"""Cursors: up to which row of each kind this terminal has read the company's database, so that it goes on there after it was cut off.

A row counts as read only when every earlier transaction of the server has ended: rows that were written early and committed late are not missed.
"""

from __future__ import annotations

from typing import Any

from sqlite_utils import Database

from device.fleet.membership import set_value, value
from device.fleet.server import Connection
from device.storage.store import Store

START = "0:0"
WITHIN = "xid < pg_snapshot_xmin(pg_current_snapshot())"
Row = dict[str, Any]


def next_rows(store: Store, connection: Connection, name: str, sql: str, most: int, condition: str = "true") -> list[Row]:
    """The next rows in the order in which they became visible."""
    after = value(store, f"at.{name}", START).split(":")
    return connection.execute(f"{sql} WHERE (xid, seq) > (%s::xid8, %s) AND {WITHIN} AND {condition} ORDER BY xid, seq LIMIT {most}", after).fetchall()


def note_cursor(db: Database, name: str, rows: list[Row]) -> None:
    """Note, in the transaction that stores them, that these rows are read."""
    if rows:
        set_value(db, f"at.{name}", position(rows[-1]))


def position(row: Row) -> str:
    """Where a row stands in the order of the company's database."""
    return f"{row['xid']}:{row['seq']}"
