"""The database during an update: when a release changes its schema, a copy to go back to is kept during the trial."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from urllib.parse import quote

from device.storage.database import TerminalLock, explained
from device.storage.database_files import remove
from device.system.ownership import acting_as_owner

DERIVED = frozenset(  # may be lost by going back: made again, or only about rows of tables that are compared
    ("templates", "audit", "outbox", "targets", "sightings", "refusals", "refusal_alarms", "notices", "tellings", "matters",
     "sessions", "attempts", "settings", "gallery_version", "identity")
)


def schema_of(database: Path) -> int:
    """The schema version of a database, 0 if there is none yet."""
    if not database.exists():
        return 0
    with acting_as_owner(database), explained(database), closing(_open(database, "ro")) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def keep_copy(database: Path, schema: int) -> Path | None:
    """Copy the database, with mode 600, if a release with this schema would migrate it. Returns the copy; None: none is needed."""
    if not database.exists() or schema_of(database) >= schema:
        return None
    copy = database.with_name(f"{database.name}.before-update")
    with acting_as_owner(database):
        _copy(database, copy)
    return copy


def _copy(database: Path, copy: Path) -> None:
    remove(copy)  # with its journal, which would be applied to the new one
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with explained(database), closing(_open(database, "rw")) as source, closing(_open(copy, "rw")) as target:
        target.execute("PRAGMA synchronous = FULL")
        source.backup(target)


def restore(database: Path, copy: Path) -> bool:
    """Restore the content of the copy in one transaction; False, with nothing changed, if people or punches were recorded meanwhile.

    Raises:
        StoreError: a terminal runs on the database, or one of the files is damaged.
    """
    lock = TerminalLock(database)
    try:
        with acting_as_owner(database), explained(database), closing(_open(database, "rw")) as now, closing(_open(copy, "rw")) as before:
            if _version(now) == _version(before):
                return True
            if not _recorded_the_same(before, now):
                return False
            before.backup(now)
    finally:
        lock.release()
    return True


def _recorded_the_same(before: sqlite3.Connection, now: sqlite3.Connection) -> bool:
    """Whether nothing was recorded meanwhile: in every column that it had, every table that there was has the same rows."""
    for (table,) in before.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_%' ESCAPE '\\'"):
        known = {row[1] for row in now.execute(f'PRAGMA table_info("{table}")')}
        columns = ", ".join(f'"{row[1]}"' for row in before.execute(f'PRAGMA table_info("{table}")') if row[1] in known)
        if table in DERIVED or not columns:
            continue
        rows = [connection.execute(f'SELECT {columns} FROM "{table}" ORDER BY 1') for connection in (before, now)]
        if any(one != other for one, other in zip_longest(*rows)):
            return False
    return True


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode={mode}", uri=True, timeout=5.0)
