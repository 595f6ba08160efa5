"""Backup and restore: database and configuration in one sealed file, which is checked before it replaces the database.

A backup is made while the terminal runs. A restore needs a stopped terminal: on the command line it is done at once, from
the web pages at the next start (`stage`, then `apply_staged`).
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from device.contract import ClockfaceError
from device.maintenance.database_check import check_database
from device.maintenance.encryption import seal, unseal
from device.storage import recovery
from device.storage.database import StoreError, TerminalLock, explained
from device.storage.schema import SCHEMA_VERSION
from device.system.clock import iso_utc
from device.system.files import Disk

DATABASE, CONFIG, MANIFEST = "clockface.db", "clockface.toml", "manifest.json"
LARGEST_CONFIG = 1_000_000  # bytes


class BackupError(ClockfaceError):
    """A backup cannot be made or restored; the message says why."""

    code = "backup"


@dataclass(frozen=True)
class Contents:
    """What a backup holds."""

    made_at: str
    people: int
    punches: int
    words: str  # what the check of the database found


def create(database: Path, config_file: Path | None, target: Path, passphrase: str) -> None:
    """Write a backup into one file of mode 600, completely or not at all.

    Raises:
        SealError, StoreError, BackupError: weak passphrase, unreadable database, no room.
    """
    try:
        with tempfile.TemporaryDirectory(dir=database.parent, prefix=".backup-") as folder:
            copy, packed, sealed = (Path(folder) / name for name in (DATABASE, "packed", "sealed"))
            _copy(database, copy)
            manifest = json.dumps({"made_at": iso_utc(time.time()), "schema": SCHEMA_VERSION}).encode()
            with tarfile.open(packed, "w") as tar:
                tar.add(copy, DATABASE)
                if config_file is not None and config_file.is_file():
                    tar.add(config_file, CONFIG)
                (Path(folder) / MANIFEST).write_bytes(manifest)
                tar.add(Path(folder) / MANIFEST, MANIFEST)
            with packed.open("rb") as plain, os.fdopen(os.open(sealed, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
                seal(plain, out, passphrase)
                out.flush()
                os.fsync(out.fileno())
            shutil.move(sealed, target)
    except OSError as error:
        raise BackupError(
            f"no backup was written: {error.strerror or error}; check that there is free space for twice the size of the database", code="backup.not_written"
        ) from error


def _copy(database: Path, copy: Path) -> None:
    """Use SQLite's online backup: one consistent state, while others write."""
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT, 0o600))
    with explained(database), closing(sqlite3.connect(database, timeout=30)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target, pages=2000, sleep=0.005)
        target.execute("PRAGMA journal_mode = DELETE")
        target.execute("DELETE FROM sessions")
        target.commit()


def stage(sealed: Path, passphrase: str, database: Path) -> Contents:
    """Open and check a backup, and put it beside the database for `apply_staged`.

    Raises:
        SealError, BackupError: wrong passphrase, not a backup, its database is damaged or its chain is broken.
    """
    try:
        with tempfile.TemporaryDirectory(dir=database.parent, prefix=".restore-") as folder:
            packed = Path(folder) / "packed"
            with sealed.open("rb") as source, os.fdopen(os.open(packed, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as plain:
                unseal(source, plain, passphrase)
            manifest = _unpack(packed, Path(folder))
            contents = _checked(Path(folder) / DATABASE, manifest)
            if (Path(folder) / CONFIG).is_file():
                os.replace(Path(folder) / CONFIG, database.with_name(f"{CONFIG}.restored"))
            os.replace(Path(folder) / DATABASE, staged_file(database))
            return contents
    except (OSError, tarfile.TarError, ValueError) as error:
        raise BackupError(f"the backup cannot be read ({error}); nothing was restored", code="backup.unreadable") from error


def _unpack(packed: Path, folder: Path) -> dict[str, object]:
    """Unpack only the expected files, as regular files of mode 600."""
    with tarfile.open(packed, "r") as tar:
        for name in (DATABASE, CONFIG, MANIFEST):
            member = next((m for m in tar.getmembers() if m.name == name and m.isfile()), None)
            if member is None and name == CONFIG:
                continue
            if member is None or (name != DATABASE and member.size > LARGEST_CONFIG):
                raise BackupError(f"the backup has no usable {name}; nothing was restored", code="backup.unreadable")
            source = tar.extractfile(member)
            assert source is not None
            with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
                shutil.copyfileobj(source, target)
    manifest = json.loads((folder / MANIFEST).read_text())
    return manifest if isinstance(manifest, dict) else {}


def _checked(database: Path, manifest: dict[str, object]) -> Contents:
    finding = check_database(database)
    if finding.state == "FAULT":
        raise BackupError(
            f"the check of the database in the backup failed: {finding.words.replace(str(database), 'it')}; nothing was restored", code="backup.not_whole"
        )
    with closing(sqlite3.connect(database)) as db:
        people, punches = (int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in ("people WHERE erased_at IS NULL", "punches"))
    return Contents(str(manifest.get("made_at", "")), people, punches, finding.words.replace(str(database), "the database"))


def staged_file(database: Path) -> Path:
    return database.with_name(f"{database.name}.restore")


def apply_staged(database: Path) -> list[str]:
    """Replace the database by a staged one and keep the old one. Returns the lines to report.

    This is one rename: after a power cut either the old or the new database is there, complete.

    Raises:
        StoreError: a terminal runs on the database, or another process has it open.
    """
    staged = staged_file(database)
    if not staged.is_file():
        return []
    lock = TerminalLock(database)
    try:
        before = database.with_name(f"{database.name}.before-restore")
        if database.is_file():
            _close_log(database)
            before.unlink(missing_ok=True)
            os.link(database, before)
        for former in (recovery.restored_of(database), recovery.copy_of(database)):  # they belong to the old database
            former.unlink(missing_ok=True)
        Disk().rename(staged, database)
    finally:
        lock.release()
    return [f"restored: {database}; the previous database is kept as {before.name}"]


def _close_log(database: Path) -> None:
    """Merge the write-ahead log into the database file, which fails while another process uses it."""
    with explained(database), closing(sqlite3.connect(database, timeout=2)) as db:
        if db.execute("PRAGMA journal_mode = DELETE").fetchone()[0] != "delete":
            raise StoreError(f"database {database} is used by another process; end it, then restore again", code="store.locked")
