"""An erasure reaches every older state of the database that lies beside it, also after a restore and after an erasure that was cut off."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from device.maintenance import backup
from device.maintenance.update import database_copy
from device.storage import recovery
from device.storage.kept_copies import kept_copies
from device.storage.schema import SCHEMA_VERSION
from device.storage.store import Store
from tests.refused import refused

PASSPHRASE = "seven red kites over the yard"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "site/clockface.db") as store:
        store.keys.ensure(store.add_person("Ann Unmistakable", "CODE-4711").id)
        store.keys.ensure(store.add_person("Bob").id)
    return tmp_path / "site/clockface.db"


def beside(database: Path, ending: str) -> Path:
    copy = database.with_name(f"clockface.db.{ending}")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def holding(folder: Path, *texts: bytes) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and any(text in path.read_bytes() for text in texts))


def erase(database: Path, person_id: int = 1) -> None:
    with Store.open(database) as store:
        store.erase(person_id)


def test_every_older_state_forgets_who_is_erased_and_keeps_the_rest(database: Path) -> None:
    copies = [beside(database, ending) for ending in ("before-restore", "before-update", "restore", "damaged-20260101T000000")]
    assert set(kept_copies(database)) == set(copies)
    recovery.keep(database)
    erase(database)
    assert holding(database.parents[1], b"Ann Unmistakable", b"CODE-4711") == []
    for copy in copies:
        with closing(sqlite3.connect(copy)) as db:
            people = db.execute("SELECT name, code, active FROM people ORDER BY id").fetchall()
        assert people == [("erased-1", None, 0), ("Bob", None, 1)]


def test_damaged_and_incomplete_states_are_removed_and_those_of_another_terminal_stay(database: Path, tmp_path: Path) -> None:
    damaged, begun = beside(database, "damaged-20260101T000000"), database.with_name("clockface.db.before-update")
    damaged.write_bytes(b"x" * 4096 + damaged.read_bytes()[4096:])
    begun.touch()
    orphan = database.with_name("clockface.db.before-restore.left-wal")
    orphan.write_bytes(b"Ann Unmistakable")
    with Store.open(tmp_path / "other.db") as store:
        store.add_person("Somebody Else")
    shutil.copy(tmp_path / "other.db", database.with_name("clockface.db.before-restore"))
    erase(database)
    assert holding(database.parent, b"Ann Unmistakable") == [] and not damaged.exists() and not begun.exists() and not orphan.exists()
    with closing(sqlite3.connect(database.with_name("clockface.db.before-restore"))) as db:
        assert db.execute("SELECT name FROM people").fetchall() == [("Somebody Else",)]


def test_a_damaged_state_stays_if_it_is_younger_than_all_erasures(database: Path) -> None:
    erase(database)
    damaged = beside(database, "damaged-20260101T000000")
    damaged.write_bytes(b"x" * 8192)
    os.utime(damaged, (time.time() + 90_000, time.time() + 90_000))
    with Store.open(database) as store:
        store.withdraw_consent(2)
    assert damaged.exists()
    erase(database, 2)
    assert damaged.exists()
    os.utime(damaged, (1e9, 1e9))
    with Store.open(database) as store:
        store.erase(store.add_person("Eve").id)
    assert not damaged.exists()


def test_a_state_in_use_is_cleaned_at_the_next_opening(database: Path) -> None:
    copy = beside(database, "before-restore")
    with closing(sqlite3.connect(copy, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with refused("store.locked", "before-restore"):
            erase(database)
        other.execute("ROLLBACK")
    Store.open(database).close()
    assert holding(database.parent, b"Ann Unmistakable") == []


def test_an_erasure_cut_off_before_a_restore_is_completed_after_it(database: Path, tmp_path: Path) -> None:
    """The back-up is older than the person: nothing in it tells that an older state still holds them."""
    backup.create(database, None, tmp_path / "older.backup", PASSPHRASE)
    with Store.open(database) as store:
        late = store.add_person("Late Unmistakable")
        store.keys.ensure(late.id)
        store.keys.erase(late.id)  # here the power goes
    backup.stage(tmp_path / "older.backup", PASSPHRASE, database)
    assert backup.apply_staged(database) and holding(database.parent, b"Late Unmistakable") == ["clockface.db.before-restore"]
    with Store.open(database) as store:
        assert store.add_person("Next").id == late.id + 1
    assert holding(database.parent, b"Late Unmistakable") == []


def test_a_restored_database_without_people_gives_no_id_twice(tmp_path: Path) -> None:
    database = tmp_path / "site/clockface.db"
    Store.open(database).close()
    backup.create(database, None, tmp_path / "empty.backup", PASSPHRASE)
    with Store.open(database) as store:
        store.keys.ensure(store.add_person("Ann").id)
    backup.stage(tmp_path / "empty.backup", PASSPHRASE, database)
    backup.apply_staged(database)
    with Store.open(database) as store:
        assert store.add_person("Bob").id == 2  # the key of 1 belongs to somebody else


def test_a_copy_that_is_only_begun_does_not_outlive_an_erasure(database: Path) -> None:
    (database.parent / ".clockface.db.good.new").write_bytes(b"Ann Unmistakable")
    (database.parent / ".clockface.db.restored.new-wal").write_bytes(b"Ann Unmistakable")
    erase(database)
    assert holding(database.parent, b"Ann Unmistakable") == []


def test_a_journal_left_by_a_killed_update_does_not_meet_the_next_copy(database: Path) -> None:
    left = database.with_name("clockface.db.before-update-journal")
    left.write_bytes(b"left by an earlier copy")
    copy = database_copy.keep_copy(database, SCHEMA_VERSION + 1)
    assert copy and not left.exists()
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT count(*) FROM people").fetchone() == (2,)
