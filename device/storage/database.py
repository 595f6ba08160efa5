"""The database file: opened with the right durability and file modes; SQLite's errors become messages that state the remedy."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from sqlite_utils import Database

from device.contract import ClockfaceError, phrase
from device.storage.person_match import person_rank
from device.storage.reset_mark import is_marked
from device.storage.schema import APPLICATION_ID, SCHEMA_VERSION, migrate
from device.system.locks import FileLock, signature
from device.system.ownership import acting_as_owner, make_private

OLDEST_SQLITE = (3, 37, 0)  # strict tables


class StoreError(ClockfaceError):
    """An operation of the store failed; the message says why and what to do."""

    code = "store"


class DamagedError(StoreError):
    """The file is damaged: the next start restores its last good copy."""

    code = "store.damaged"


class LockedPeriod(StoreError):
    """A change to days in a locked period."""

    code = "store.period_locked"


REMEDIES = (  # part of SQLite's message -> the error; what it means here and what to do
    ("period is locked", LockedPeriod, "holds a locked period that this would change; nothing was written: lift the lock first, or choose another day"),
    (
        "locked",
        partial(StoreError, code="store.locked"),
        "is locked by another process; wait until that has finished or end it (`fuser` names it), then try again",
    ),
    ("readonly", partial(StoreError, code="store.read_only"), "cannot be written; make the file and its folder writable for this user"),
    ("disk is full", partial(StoreError, code="store.disk_full"), "cannot grow, the disk is full; nothing was recorded: free some space and try again"),
    (
        "disk i/o error",
        partial(StoreError, code="store.disk_error"),
        "cannot be written, the disk reports an error; nothing was recorded: check its space and health (`dmesg`)",
    ),
    ("unable to open", partial(StoreError, code="store.not_opened"), "cannot be opened; check that its folder exists and belongs to this user"),
    (
        "not a database",
        partial(DamagedError, code="store.no_database"),
        "is no SQLite database or its header is damaged; keep a copy, then restore a backup or give another file to --db",
    ),
    ("malformed", DamagedError, "is damaged; stop the terminal, keep a copy, then restore a backup or save what can be read with `sqlite3 FILE .recover`"),
)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into a `StoreError` that names the file and the remedy."""
    try:
        yield
    except sqlite3.Error as error:
        message = str(error)
        kind, remedy = next(((kind, text) for part, kind, text in REMEDIES if part in message.lower()), (StoreError, ""))
        words = f"database {path} {remedy} ({message})" if remedy else f"database {path}: {message}"
        raise kind(phrase("period.touched", "{words}", words=words) if kind is LockedPeriod else words) from error


@contextmanager
def writing(db: Database, path: Path) -> Iterator[None]:
    """One write transaction: committed to disk at the end of the block, rolled back if it fails."""
    with explained(path):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.commit()
        except BaseException:
            db.rollback()
            raise


def connect(path: Path, busy_timeout_ms: int, must_exist: bool, any_thread: bool = False) -> Database:
    """Open the database; create or migrate it where needed.

    Write-ahead log with synchronous=FULL: a commit has reached the disk when it returns. The file, its log and its
    index are mode 600, a folder made for it 700. Deleted content is overwritten.

    Raises:
        StoreError: missing and `must_exist`; being reset; of another program, damaged, locked, not writable, from a newer version.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old, 3.37 is needed; use Python with a newer SQLite", code="store.sqlite")
    with acting_as_owner(path), explained(path):
        _make_private(path, must_exist)
        conn = sqlite3.connect(path, timeout=busy_timeout_ms / 1000, isolation_level=None, check_same_thread=not any_thread)
        try:
            db = Database(conn, execute_plugins=False)
            conn.create_function("person_rank", 3, person_rank, deterministic=True)
            _check_origin(db, path)
            _set_up(db, path, busy_timeout_ms)
        except BaseException:
            conn.close()
            raise
    return db


def _make_private(path: Path, must_exist: bool) -> None:
    """Create the file if allowed, so that SQLite's companion files inherit mode 600; restrict an existing one. A link counts only for the database itself."""
    try:
        if is_marked(path):
            raise StoreError(f"database {path} is being erased: start the terminal, or `python -m device reset`, to finish it", code="store.being_reset")
        if must_exist and not path.exists():
            raise StoreError(
                f"database {path} does not exist; give the right file to --db, or enrol somebody first (`python -m device enroll`)", code="store.missing"
            )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        real = _own_link_followed(path)
        for part in (real, *(Path(f"{real}{end}") for end in ("-wal", "-shm", "-journal"))) if real.is_file() else ():
            make_private(part)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"database {path} cannot be opened for writing ({error}); check the path and that file and folder belong to this user", code="store.not_opened"
        ) from error
    for needed in (path, path.parent):
        if not os.access(needed, os.W_OK):
            raise StoreError(f"database {path} cannot be written: {needed} is read-only; make it writable for this user", code="store.read_only")
    if not path.is_file():
        raise StoreError(f"database {path} cannot be opened: it is not a file; give another file to --db", code="store.not_opened")


def _own_link_followed(path: Path) -> Path:
    """Where the database is, if the path is a link of this user or of root.

    Raises:
        OSError: it is a link of somebody else.
    """
    if path.is_symlink() and path.lstat().st_uid not in (0, os.geteuid()):
        raise OSError(errno.ELOOP, "it is a link that somebody else made", str(path))
    return path.resolve()


def _check_origin(db: Database, path: Path) -> None:
    db.execute("BEGIN")  # one state: another process may be creating the tables
    owner, version = (db.execute(f"PRAGMA {key}").fetchone()[0] for key in ("application_id", "user_version"))
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    db.rollback()
    if owner != APPLICATION_ID and tables:
        raise StoreError(f"database {path} belongs to another program; give another file to --db", code="store.foreign")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"database {path} is from a newer version (its schema is {version}, this program knows {SCHEMA_VERSION}); update Clockface", code="store.newer"
        )


def _set_up(db: Database, path: Path, busy_timeout_ms: int) -> None:
    if _enter_wal(db, busy_timeout_ms) != "wal":
        raise StoreError(f"database {path}: its file system does not support a write-ahead log; use a local disk", code="store.file_system")
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        db.execute(f"PRAGMA {pragma}")
    if db.execute("PRAGMA user_version").fetchone()[0] < SCHEMA_VERSION:
        with writing(db, path):
            migrate(db)


def _enter_wal(db: Database, busy_timeout_ms: int) -> str:
    """Switch to a write-ahead log, with retries: SQLite itself does not wait when several processes switch a new file at once."""
    deadline = time.monotonic() + busy_timeout_ms / 1000
    while True:
        try:
            return str(db.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class TerminalLock:
    """One running terminal per database: an advisory lock on `<db>.lock` that ends with the process."""

    def __init__(self, path: Path, ending: str = ".lock", holder: str = "a running terminal") -> None:
        file = path.with_name(path.name + ending)
        try:
            self._lock = FileLock(file, wait=False)
        except BlockingIOError as error:
            message = f"database {path} is in use by {holder} (process {signature(file)}); stop it, or give another file to --db"
            raise StoreError(message, code="store.in_use") from error
        except OSError as error:
            message = f"database {path} cannot be claimed: {file.name} {error.strerror}; it must be a plain file of this user, remove it if it is not"
            raise StoreError(message, code="store.not_opened") from error
        self._lock.sign()

    def release(self) -> None:
        self._lock.release()


class CourierLock(TerminalLock):
    """One delivering process per database: two would send the same punch."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, ".outbox.lock", "a process that delivers its punches")
