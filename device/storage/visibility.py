"""What a login of some departments sees: during its requests, each table with a person shows the rows of its people alone.

Temporary views take the place of the tables on this one connection: SQLite looks names up in the temporary schema first. So it holds for every query,
whoever wrote it and when. Nothing can be written through such a view; the few operations that a team lead has name the table itself (`main.corrections`)
and look the person up before, through the views.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from sqlite_utils import Database

PEOPLE = {  # table -> the column that says whom a row is about
    "people": "id",
    **dict.fromkeys(
        ("absences", "account_bookings", "assignments", "consents", "correction_requests", "corrections", "door_corrections", "door_punches", "employments",
         "faces_elsewhere", "locked_sheets", "matters", "outbox", "person_calendars", "overtime_approvals", "pins", "punches", "templates"),
        "person_id",
    ),
}  # fmt: skip
UNSEEN = frozenset({"users"})  # names people, but shows nothing of them; its pages are for administrators


def narrow(db: Database, departments: Sequence[str]) -> None:
    """From now on, this connection shows the people of these departments alone."""
    db.execute("CREATE TEMP TABLE visible (id INTEGER PRIMARY KEY)")
    marks = ", ".join("?" * len(departments))
    db.execute(f"INSERT INTO temp.visible SELECT id FROM main.people WHERE department COLLATE NOCASE IN ({marks}) AND erased_at IS NULL", list(departments))
    for table, column in PEOPLE.items():
        db.execute(f"CREATE TEMP VIEW {table} AS SELECT * FROM main.{table} WHERE {column} IN (SELECT id FROM temp.visible)")


def widen(db: Database) -> None:
    """Show everything again.

    Raises:
        sqlite3.Error: that could not be done; the connection must not be used by others.
    """
    if db.conn.in_transaction:
        raise sqlite3.OperationalError("a request ended within a transaction")
    for table in PEOPLE:
        db.execute(f"DROP VIEW IF EXISTS temp.{table}")
    db.execute("DROP TABLE IF EXISTS temp.visible")
