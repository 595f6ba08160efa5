"""An open database file: durable transactions, consistent reads, the audit. `device/storage/store.py` adds what is stored in it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sqlite_utils import Database

from device.storage import hash_chain, visibility
from device.storage.audit import Action
from device.storage.database import StoreError, TerminalLock, explained, writing
from device.storage.hash_chain import ChainReport
from device.storage.keys import PersonKeys
from device.storage.outbox import OutboxTable
from device.storage.site_clock import read_clock
from device.system.clock import to_ms
from device.system.time_zones import LocalClock

Self = TypeVar("Self", bound="StoreFile")


class StoreFile:
    """One open file of the store; a context manager. `actor` is whom the audit names ("terminal", "cli")."""

    def __init__(self, db: Database, path: Path, actor: str) -> None:
        self.path = path
        self._db = db
        self._actor = actor
        self._lock: TerminalLock | None = None
        self._joined = False  # within `together`
        self.departments: tuple[str, ...] = ()  # whose people alone it shows; empty: everybody
        self.at_work = False  # in a transaction, or waiting for the lock that it needs; other threads may read this
        self.outbox = OutboxTable(db, path, self._audit)  # what waits for which target
        self.keys = PersonKeys(db.execute("SELECT id FROM identity").fetchone()[0])

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()
        if self._lock:
            self._lock.release()
            self._lock = None

    @property
    def in_transaction(self) -> bool:
        """Whether an error left a transaction open."""
        return bool(self._db.conn.in_transaction)

    def claim_terminal(self) -> None:
        """Claim this database for the one terminal that may run on it, until `close` or the end of the process.

        Raises:
            StoreError: another terminal runs on it.
        """
        self._lock = self._lock or TerminalLock(self.path)

    # reads and writes of tables

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """One write transaction; `note` adds an audit row to it."""
        with self._writing():
            yield self._db

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """Any number of reads of one consistent state."""
        with self._working(), explained(self.path), self._snapshot():
            yield self._db

    def clock(self) -> LocalClock:
        """The site's clock: what people read is in its time zone."""
        with self.reading() as db:
            return read_clock(db)

    @contextmanager
    def together(self) -> Iterator[Database]:
        """One write transaction that all operations of the store inside the block join: all of them are written, or none."""
        with self._writing():
            self._joined = True
            try:
                yield self._db
            finally:
                self._joined = False

    @contextmanager
    def seeing(self, departments: Sequence[str]) -> Iterator[None]:
        """During the block this store shows the people of these departments alone (`device/storage/visibility.py`); none: everybody."""
        if not departments:
            yield
            return
        with explained(self.path):
            visibility.narrow(self._db, departments)
        self.departments = tuple(departments)
        try:
            yield
        finally:
            visibility.widen(self._db)
            self.departments = ()

    # the audit

    def act_as(self, actor: str) -> None:
        """Let the audit name this actor from now on."""
        self._actor = actor

    def note(self, action: Action, **details: Any) -> None:
        """Add an audit row, inside `transaction`: ids only, no names and no biometrics, since the row stays after an erasure."""
        self._audit(action, **details)

    def note_by(self, actor: str, action: Action, **details: Any) -> None:
        """The same for another actor."""
        self._append_audit(actor, action, details)

    def audit(self, actor: str, action: Action, details: Mapping[str, Any]) -> None:
        """Add an audit row in a transaction of its own. It can never be removed: `details` hold ids only, no names, no biometrics."""
        with self._writing():
            self._append_audit(actor, action, details)

    # the file

    def faults(self) -> list[str]:
        """The faults that SQLite finds in the file; empty when it is sound. This reads the whole file."""
        with explained(self.path):
            faults = [row[0] for row in self._db.execute("PRAGMA integrity_check(5)") if row[0] != "ok"]
            return faults + [
                f"{table} row {rowid} points at a missing {parent} row" for table, rowid, parent, _ in self._db.execute("PRAGMA foreign_key_check")
            ]

    def verify_chain(self, table: str = "punches") -> ChainReport:
        """Recompute the hash chain of punches, corrections or audit."""
        with explained(self.path), self._snapshot():
            return hash_chain.verify(self._db, table)

    def empty_log(self) -> None:
        """Delete removed data from the write-ahead log as well, as far as no other process is reading."""
        with explained(self.path):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _empty_log(self, done: str, remedy: str) -> None:
        with explained(self.path):
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise StoreError(f"{done}, but another process kept the write-ahead log from being emptied; {remedy}", code="store.not_emptied")

    # for the store itself, and inside a transaction

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._working(), explained(self.path) if self._joined else writing(self._db, self.path):
            yield

    @contextmanager
    def _working(self) -> Iterator[None]:
        self.at_work = True
        try:
            yield
        finally:
            self.at_work = False

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Several reads of one consistent state, whatever other processes write meanwhile."""
        if self._joined:
            yield
            return
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.rollback()

    def _audit(self, action: Action, **details: Any) -> None:
        self._append_audit(self._actor, action, details)

    def _append_audit(self, actor: str, action: Action, details: Mapping[str, Any]) -> None:
        hash_chain.append(self._db, "audit", {"at": to_ms(time.time()), "actor": actor, "action": action.value, "details": json.dumps(details, sort_keys=True)})
