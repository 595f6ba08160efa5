"""Older states of the database that stay beside it: before a restore or an update, damaged, or staged for the next start. An erasure reaches them, too."""

from __future__ import annotations

import glob
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from device.storage.database import DamagedError, explained
from device.storage.database_files import LOGS, remove
from device.storage.keys import PersonKeys
from device.system.clock import to_ms

# Set with each removal and each restore, until the log and the copies have been cleaned.
UNFINISHED = "INSERT INTO settings (key, value) VALUES ('removal', '\"unfinished\"') ON CONFLICT DO NOTHING"
CUT_OFF_SECONDS = 86_400.0  # an erasure that was cut off is not longer ago than this when the damage that ended it is found
ENDINGS = ("before-restore", "before-update", "restore", "damaged-*")
WITHOUT = ("templates", "faces_elsewhere", "pins")  # tables that keep no row of a person who is erased


def kept_copies(database: Path) -> list[Path]:
    """The files of older states, without their logs."""
    found = [path for ending in ENDINGS for path in sorted(database.parent.glob(f"{glob.escape(database.name)}.{ending}"))]
    return [path for path in found if path.is_file() and not path.is_symlink() and not path.name.endswith(LOGS)]


def erase_in_copies(database: Path, keys: PersonKeys) -> list[Path]:
    """Erase in every older state of this store the people whose keys are erased; returns what was removed, since it cannot be cleaned.

    A damaged one stays if it is younger than all erasures: what was erased before is not in it.

    Raises:
        StoreError: another process holds one of them.
    """
    beside = glob.escape(database.name)
    logs = [path for ending in LOGS for path in database.parent.glob(f"{beside}.*{ending}")]
    removed = [log for log in logs if not log.with_name(log.name.rpartition("-")[0]).exists()]  # nothing opens them any more
    for log in removed:
        log.unlink()
    for copy in kept_copies(database):
        try:
            with explained(copy), closing(sqlite3.connect(copy, timeout=5)) as db:
                _erase_in(db, keys.store, json.dumps(keys.erased()))
        except DamagedError:
            if keys.erased_last() > copy.stat().st_mtime - CUT_OFF_SECONDS:
                remove(copy)
                removed.append(copy)
    return removed


def _erase_in(db: sqlite3.Connection, identity: str, erased: str) -> None:
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "people" not in tables:
        raise sqlite3.DatabaseError("malformed: not a whole copy")
    if "identity" in tables and db.execute("SELECT id FROM identity").fetchone()[0] != identity:
        return  # of another terminal, whose people have other ids
    if (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(f"malformed: {found}")
    for pragma in ("secure_delete = ON", "synchronous = FULL", "journal_mode = DELETE"):
        db.execute(f"PRAGMA {pragma}")
    these = "IN (SELECT value FROM json_each(?))"
    with db:
        for table in tables.intersection(WITHOUT):
            db.execute(f"DELETE FROM {table} WHERE person_id {these}", [erased])
        if any(row[1] == "answer" for row in db.execute("PRAGMA table_info(outbox)")):
            db.execute(f"UPDATE outbox SET answer = NULL WHERE person_id {these}", [erased])
        sql = f"UPDATE people SET name = 'erased-' || id, code = NULL, active = 0, erased_at = coalesce(erased_at, ?) WHERE id {these}"
        db.execute(sql, [to_ms(time.time()), erased])
