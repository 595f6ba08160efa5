"""The database across an update: a release that changes its schema gets a copy to go back to, for as long as it is on trial."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from device.database import TerminalLock, explained

RECORDED = (  # what nobody may lose by going back; templates of the new model, audit and outbox rows follow from it
    "SELECT id, name, code, active, erased_at FROM people ORDER BY id",
    "SELECT id, person_id, given_at, withdrawn_at FROM consents ORDER BY id",
    "SELECT count(*), max(id) FROM punches",
    "SELECT count(*), max(id) FROM corrections",
)


def schema_of(database: Path) -> int:
    """The schema of a database, 0 where there is none yet."""
    if not database.exists():
        return 0
    with explained(database), closing(_open(database, "ro")) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def keep_copy(database: Path, schema: int) -> Path | None:
    """Copy the database, with mode 600, where a release with this schema would change it. Returns the copy."""
    if not database.exists() or schema_of(database) >= schema:
        return None
    copy = database.with_name(f"{database.name}.before-update")
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with explained(database), closing(_open(database, "rw")) as source, closing(_open(copy, "rw")) as target:
        target.execute("PRAGMA synchronous = FULL")
        source.backup(target)
    return copy


def restore(database: Path, copy: Path) -> bool:
    """Put the copy's content back, in one transaction; False, and nothing changed, where people or punches were recorded meanwhile.

    Raises:
        StoreError: a terminal runs on the database, or one of the files is damaged.
    """
    lock = TerminalLock(database)
    try:
        with explained(database), closing(_open(database, "rw")) as now, closing(_open(copy, "rw")) as before:
            if _version(now) == _version(before):
                return True
            if _recorded(now) != _recorded(before):
                return False
            before.backup(now)
    finally:
        lock.release()
    return True


def _recorded(connection: sqlite3.Connection) -> list[Any]:
    return [connection.execute(sql).fetchall() for sql in RECORDED]


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode={mode}", uri=True, timeout=5.0)
