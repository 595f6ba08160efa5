"""Backup and restore: database and configuration in one sealed file, which is checked before it replaces the database.

A backup is made while the terminal runs. A restore needs a stopped terminal: on the command line it is done at once, from
the web pages at the next start (`stage`, then `apply_staged`).
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from device.contract import ClockfaceError
from device.maintenance.database_check import check_database
from device.maintenance.encryption import Sealing, unseal
from device.storage import recovery
from device.storage.database import DamagedError, StoreError, TerminalLock, explained
from device.storage.database_files import logs_of, remove, take_place, working_folder
from device.storage.kept_copies import UNFINISHED
from device.storage.schema import SCHEMA_VERSION
from device.system.clock import iso_utc
from device.system.files import Disk
from device.system.foreign_files import whole_file

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
        with working_folder(database, ".backup-") as folder, whole_file(target, 0o600) as out, _copied(database, folder / DATABASE) as copy:
            sealing = Sealing(out, passphrase)
            with tarfile.open(fileobj=sealing, mode="w|") as tar:
                _add(tar, DATABASE, copy)
                if config_file is not None and config_file.is_file():
                    with config_file.open("rb") as settings:
                        _add(tar, CONFIG, settings)
                _add(tar, MANIFEST, io.BytesIO(json.dumps({"made_at": iso_utc(time.time()), "schema": SCHEMA_VERSION}).encode()))
            sealing.finish()
    except OSError as error:
        raise BackupError(
            f"no backup was written to {target}: {error.strerror or error}; it needs room there, and beside the database for a copy of it",
            code="backup.not_written",
        ) from error


@contextmanager
def _copied(database: Path, copy: Path) -> Iterator[IO[bytes]]:
    """One consistent state of the database by SQLite's online backup, while others write. The copy loses its name at once: nothing of it survives a kill."""
    with os.fdopen(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "rb") as file, explained(database), closing(sqlite3.connect(copy)) as target:
        target.execute("PRAGMA journal_mode = OFF")  # a journal would need a name
        target.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the file
        copy.unlink()
        with closing(sqlite3.connect(database, timeout=30)) as source:
            source.backup(target, pages=2000, sleep=0.005)
        yield file


def _add(tar: tarfile.TarFile, name: str, file: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = file.seek(0, os.SEEK_END), 0o600, int(time.time())
    file.seek(0)
    tar.addfile(member, file)


def stage(sealed: Path, passphrase: str, database: Path) -> Contents:
    """Open and check a backup, and put it beside the database for `apply_staged`.

    Raises:
        SealError, BackupError: wrong passphrase, not a backup, its database is damaged or its chain is broken.
    """
    try:
        with working_folder(database, ".restore-") as folder:
            packed = folder / "packed"
            with sealed.open("rb") as source, os.fdopen(os.open(packed, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as plain:
                unseal(source, plain, passphrase)
            manifest = _unpack(packed, folder)
            contents = _checked(folder / DATABASE, manifest)
            Disk().sync(folder / DATABASE)
            if (folder / CONFIG).is_file():
                os.replace(folder / CONFIG, database.with_name(f"{CONFIG}.restored"))
            for log in logs_of(staged_file(database)):
                log.unlink()
            Disk().rename(folder / DATABASE, staged_file(database))
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
        db.execute("PRAGMA journal_mode = DELETE")  # one file
        db.execute("DELETE FROM sessions")
        db.commit()
        people, punches = (int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in ("people WHERE erased_at IS NULL", "punches"))
    return Contents(str(manifest.get("made_at", "")), people, punches, finding.words.replace(str(database), "the database"))


def staged_file(database: Path) -> Path:
    return database.with_name(f"{database.name}.restore")


def apply_staged(database: Path) -> list[str]:
    """Replace the database by a staged one and keep the old one. Returns the lines to report.

    After a power cut the next call completes it.

    Raises:
        StoreError: a terminal runs on the database, or another process has it open.
    """
    staged = staged_file(database)
    if not staged.is_file():
        return []
    lock = TerminalLock(database)
    try:
        _begin_with_removals(staged)
        if database.is_file():
            _close_log(database)
        for former in (recovery.restored_of(database), recovery.copy_of(database)):  # they belong to the old database
            remove(former)
        before = database.with_name(f"{database.name}.before-restore")
        had = take_place(staged, database, before)
    except OSError as error:
        raise BackupError(f"the backup could not take the place of {database}: {error.strerror or error}", code="backup.not_placed") from error
    finally:
        lock.release()
    return [f"restored: {database}{f'; the previous database is kept as {before.name}' if had else ''}"]


def _begin_with_removals(staged: Path) -> None:
    """Let the first opening complete every removal: one that was cut off in the replaced database is not known to this one. Completes one cut off here, too."""
    with explained(staged), closing(sqlite3.connect(staged, timeout=2)) as db:
        db.execute(UNFINISHED)
        db.commit()


def _close_log(database: Path) -> None:
    """Merge the write-ahead log into the database file, which fails while another process uses it; a damaged one keeps its log."""
    with suppress(DamagedError), explained(database), closing(sqlite3.connect(database, timeout=2)) as db:
        if db.execute("PRAGMA journal_mode = DELETE").fetchone()[0] != "delete":
            raise StoreError(f"database {database} is used by another process; end it, then restore again", code="store.locked")
