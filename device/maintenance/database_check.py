"""The check of the database: its version, integrity, hash chains and mode. Nothing is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sqlite_utils import Database

from device.storage import hash_chain, recovery
from device.storage.database import explained
from device.storage.schema import APPLICATION_ID, SCHEMA_VERSION


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    state: Literal["ok", "warning", "FAULT"]
    words: str  # the finding and, unless ok, what to do
    key: str = ""  # of the same in the catalogue of texts (area "check"), for pages that speak other languages; "": there is none
    values: Mapping[str, str | int] = field(default_factory=dict)  # in that text


def check_database(database: Path) -> Finding:
    """Read the whole database: its version, its integrity, its hash chains, who may read it."""
    recovery.refuse_empty(database)
    if not database.exists():
        return Finding("database", "warning", f'{database} does not exist yet: enrol somebody (`python -m device enroll "Name" --camera 0`)')
    with explained(database), closing(read_only(database)) as connection:
        owner, version = (connection.execute(f"PRAGMA {key}").fetchone()[0] for key in ("application_id", "user_version"))
        if owner != APPLICATION_ID:
            return Finding("database", "FAULT", f"{database} belongs to another program; give another file to --db")
        if version != SCHEMA_VERSION:
            return _other_version(database, version)
        faults = [row[0] for row in connection.execute("PRAGMA integrity_check(5)") if row[0] != "ok"]
        if faults:
            return Finding("database", "FAULT", f"{database} is damaged ({faults[0]}): stop the terminal, keep a copy, restore a backup")
        db = Database(connection, execute_plugins=False)
        reports = [hash_chain.verify(db, table) for table in hash_chain.CHAINED]
        people, punches = (connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("people", "punches"))
    broken = next((report for report in reports if not report.ok), None)
    if broken:
        return Finding("database", "FAULT", f"{database}: {broken.reason}; keep a copy and compare it with a backup")
    words = f"{database}: {people} people, {punches} punches, hash chains whole"
    if database.stat().st_mode & 0o077:
        return Finding("database", "warning", f"{words}, but others on this machine may read it: chmod 600 {database}")
    return Finding("database", "ok", words)


def read_only(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)


def _other_version(database: Path, version: int) -> Finding:
    if version > SCHEMA_VERSION:
        return Finding("database", "FAULT", f"{database} is from a newer version (schema {version}, this program supports {SCHEMA_VERSION}): update Clockface")
    return Finding("database", "warning", f"{database} is from an older version (schema {version}): the next start brings it up to date; keep a copy")
