"""The last good copy of the database, and how it is restored when the file is damaged.

The copy is made while the terminal runs and checked before it replaces the previous one. A start that finds the database
damaged restores the copy and adds to it the newer rows of the damaged file that the hash chains prove intact. What could
not be read is lost; the loss is reported, and noted in the audit.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from device.contract import ClockfaceError
from device.storage import hash_chain, outbox_rows
from device.storage.audit import Action
from device.storage.database import StoreError, TerminalLock, connect, writing
from device.storage.database_files import remove, take_place
from device.storage.hash_chain import CHAINED, GENESIS, row_hash
from device.storage.kept_copies import UNFINISHED
from device.system.clock import iso_utc, to_ms
from device.system.files import Disk

BUSY_MS = 5000
MISSING = "it is missing"
GROWING = ("people", "templates", *CHAINED)  # tables whose newer rows can be added to the copy, parents first
DAMAGE = ("malformed", "not a database", "disk i/o error", "corrupt")  # parts of SQLite's messages


class CopyError(ClockfaceError):
    """The copy cannot be made; the previous one is still there."""

    code = "recovery"


def copy_of(database: Path) -> Path:
    return database.with_name(f"{database.name}.good")


def _draft(database: Path) -> Path:
    return database.with_name(f".{database.name}.good.new")


def _restored_draft(database: Path) -> Path:
    return database.with_name(f".{database.name}.restored.new")


def keep(database: Path, disk: Disk | None = None) -> Path:
    """Copy the database while others use it, check the copy, and replace the previous one.

    Raises:
        CopyError: the database is damaged, or there is no room; the previous copy stays.
    """
    target, new = copy_of(database), _draft(database)
    remove(new)
    try:
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(database, timeout=30)) as source, closing(sqlite3.connect(new)) as copy:
            source.backup(copy, pages=2000, sleep=0.005)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file
        if found := damage(new):
            raise CopyError(
                f"database {database} is damaged ({found}): the previous copy stays; restart the terminal, which restores it", code="recovery.damaged"
            )
        (disk or Disk()).sync(new)
        (disk or Disk()).rename(new, target)
    except (OSError, sqlite3.Error) as error:
        raise CopyError(
            f"no copy of {database} was made ({error}): free as much space as the database takes, and check that its folder can be written",
            code="recovery.not_written",
        ) from error
    finally:
        remove(new)
    return target


def refuse_empty(database: Path) -> None:
    """Refuse to start with an empty database where one was lost: the copy of it would soon be overwritten by an empty one.

    Raises:
        StoreError: the database is missing, but its copy or an interrupted restore is there.
    """
    left = [copy for copy in (copy_of(database), restored_of(database)) if os.path.exists(copy)]
    if left and not os.path.exists(database):
        raise StoreError(
            f"database {database} is missing, but {left[0].name} is there: start the terminal (`python -m device run`),"
            f" which restores it, or restore a backup; to begin with an empty one, remove {' and '.join(copy.name for copy in left)} first",
            code="store.copy_left",
        )


def renew(database: Path) -> None:
    """Make a new copy where there is one: a person who was erased must not come back with the old one, nor stay in one that is only begun."""
    for draft in (_draft(database), _restored_draft(database)):
        remove(draft)
    if copy_of(database).exists():
        keep(database)


def damage(database: Path) -> str:
    """The damage that SQLite finds in the file, "" if there is none; a lock or a missing permission is no damage."""
    if not database.exists():
        return MISSING
    try:
        with closing(sqlite3.connect(database, timeout=2)) as db:
            found = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
            empty = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            return "it is empty" if empty else "" if found == "ok" else found
    except sqlite3.Error as error:
        return str(error) if any(word in str(error).lower() for word in DAMAGE) else ""


def restored_of(database: Path) -> Path:
    """The replacement of a damaged database; a file of this name is complete."""
    return database.with_name(f"{database.name}.restored")


def rescue(database: Path, now: float | None = None) -> list[str]:
    """Restore the last good copy if the database is damaged or missing; returns the lines to report, none if the database is sound.

    Without a copy nothing is changed. The damaged file is kept beside it. A restore that a power cut interrupted is resumed.

    Raises:
        StoreError: a terminal runs on the database, or the copy cannot be put in place.
    """
    good, ready = copy_of(database), restored_of(database)
    found = "" if ready.exists() or not good.exists() else damage(database)
    if not ready.exists() and (not found or damage(good)):
        return []
    lock = TerminalLock(database)
    try:
        if found:
            _prepare(database, found, time.time() if now is None else now)
        details = _details(ready)
        take_place(ready, database, database.with_name(details["kept_as"]))
    finally:
        lock.release()
    return _report(database, details)


def _prepare(database: Path, found: str, now: float) -> None:
    """Make the replacement: the copy, the intact newer rows, and a row in the audit. The damaged file is not changed."""
    good, new = copy_of(database), _restored_draft(database)
    made_at = good.stat().st_mtime
    remove(new)  # left by an interrupted attempt
    shutil.copyfile(good, new)
    new.chmod(0o600)
    with closing(connect(new, BUSY_MS, must_exist=True)) as db:
        saved = _salvage(database, db, new)
        kept_as = f"{database.name}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}"
        details = {"found": found, "copy_made_at": iso_utc(made_at), "kept_as": kept_as, "saved": saved}
        with writing(db, new):
            row: dict[str, hash_chain.Value] = {
                "at": to_ms(now),
                "actor": "terminal",
                "action": Action.DATABASE_RESTORED.value,
                "details": json.dumps(details, sort_keys=True),
            }
            hash_chain.append(db, "audit", row)
            db.execute(UNFINISHED)
        db.execute("PRAGMA journal_mode = DELETE")  # one file
    Disk().sync(new)
    Disk().rename(new, restored_of(database))


def _details(ready: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(ready)) as db:
        text = db.execute("SELECT details FROM audit WHERE action = ? ORDER BY id DESC LIMIT 1", [Action.DATABASE_RESTORED.value]).fetchone()[0]
    return dict(json.loads(text))


def _salvage(damaged: Path, db: Database, database: Path) -> dict[str, int]:
    """Add newer rows of the damaged file, table by table, up to the first that cannot be read or does not fit; returns how many per table."""
    saved = dict.fromkeys(GROWING, 0)
    if not damaged.exists():
        return saved
    with closing(sqlite3.connect(damaged)) as old:
        old.row_factory = sqlite3.Row
        for table in GROWING:
            last = db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]
            for row in _newer(old, table, last):
                if not _added(db, database, table, dict(row)):
                    break
                saved[table] += 1
    return saved


def _newer(old: sqlite3.Connection, table: str, last: int) -> Iterator[sqlite3.Row]:
    with suppress(sqlite3.Error):  # the damaged part begins, or the table has another version
        yield from old.execute(f"SELECT * FROM {table} WHERE id > ? ORDER BY id", [last])


def _added(db: Database, database: Path, table: str, row: dict[str, object]) -> bool:
    """Add a row; returns whether it was intact and fitted. A chained row must be the next link, which the table's trigger checks as well."""
    if table in CHAINED and not _is_next(db, table, row):
        return False
    try:
        with writing(db, database):
            places = ", ".join("?" * len(row))
            db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values()))
            if table in ("punches", "corrections"):
                event_id = {"punch_id" if table == "punches" else "correction_id": int(str(row["id"]))}
                outbox_rows.add(db, None, int(str(row["person_id"])), to_ms(time.time()), **event_id)  # a receiver that already has it knows its id
    except ClockfaceError:
        return False
    return True


def _is_next(db: Database, table: str, row: dict[str, object]) -> bool:
    last = db.execute(f"SELECT hash FROM {table} ORDER BY id DESC LIMIT 1").fetchone()
    return row["previous_hash"] == (last[0] if last else GENESIS) and row["hash"] == row_hash(row)  # type: ignore[arg-type]


def _report(database: Path, details: dict[str, Any]) -> list[str]:
    found, made_at = " ".join(details["found"].split()), details["copy_made_at"]
    more = ", ".join(f"{count} {table}" for table in GROWING if (count := details["saved"][table])) or "nothing"
    happened = f"was damaged ({found}) and is kept as {details['kept_as']}" if found != MISSING else "was missing"
    return [
        f"database {database} {happened}: restored from the copy of {made_at}",
        f"saved from the damaged file: {more}; anything else recorded after {made_at} is LOST: compare with the connected systems and correct what is missing",
    ]
