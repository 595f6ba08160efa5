"""A damaged database: the last good copy is restored with the intact newer rows, and the loss is reported."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from device.commands.camera_loop import restored_by_start
from device.maintenance.database_check import check_database
from device.storage import hash_chain, outbox_rows, recovery
from device.storage.recovery import copy_of, damage, keep, rescue
from device.storage.store import PunchDraft, Store, TemplateDraft
from device.system.clock import ClockState
from device.web.live import Live
from tests.refused import refused

NOW = 1_800_000_000.0


def record(store: Store, person_id: int, at: float) -> int:
    return store.record_punch(PunchDraft(person_id, at, "in", "kiosk", "manual", ClockState(True, "boot", 1))).id


def many(store: Store, count: int, since: float) -> None:
    """Punches in one transaction: a flush for each would only take time here."""
    with store.transaction() as db:
        for number in range(count):
            row = hash_chain.append(db, "punches", PunchDraft(1 + number % 2, since + number, "in", "kiosk", "manual", ClockState(True, "boot", 1)).row())
            outbox_rows.add(db, None, int(str(row["person_id"])), 0, punch_id=int(str(row["id"])))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two people and 300 punches when the copy was made; a third person and 20 punches since; closed."""
    path = tmp_path / "clockface.db"
    template = TemplateDraft("m1", np.eye(1, 64, dtype=np.float32)[0], 0.5, bytes(3000), "")
    with Store.open(path) as store:
        store.outbox.set_targets(["payroll"])
        store.add_person_with_templates("Ann", "E1", [template])
        store.add_person_with_templates("Bob", "E2", [template] * 40)
        many(store, 300, 1000.0)
        keep(path)
        store.add_person_with_templates("Cem", "E3", [template])
        many(store, 20, 2000.0)
    return path


def spoil(database: Path, table: str) -> None:
    """Overwrite the root page of one table, as a worn card would."""
    with closing(sqlite3.connect(database)) as raw:
        size = raw.execute("PRAGMA page_size").fetchone()[0]
        root = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()[0]
    with database.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)


def test_a_sound_database_is_left_alone(database: Path) -> None:
    before = database.read_bytes()
    assert rescue(database, NOW) == [] and database.read_bytes() == before


def test_without_a_copy_a_damaged_database_is_left_alone(database: Path) -> None:
    copy_of(database).unlink()
    spoil(database, "consents")
    before = database.read_bytes()
    assert rescue(database, NOW) == [] and database.read_bytes() == before


def test_damage_beside_the_punches_loses_none_of_them(database: Path) -> None:
    spoil(database, "sightings")
    assert damage(database)
    lines = rescue(database, NOW)
    assert "was damaged" in lines[0] and "1 people, 1 templates, 20 punches" in lines[1] and "LOST" in lines[1]
    with Store.open(database) as store:
        assert [person.name for person in store.people()] == ["Ann", "Bob", "Cem"]
        assert len(store.punches()) == 320 and store.faults() == []
        assert all(store.verify_chain(table).ok for table in ("punches", "corrections", "audit"))
        [health] = store.outbox.summary()
        assert health.waiting == 320
        with store.reading() as db:
            actions = [row[0] for row in db.execute("SELECT action FROM audit ORDER BY id DESC LIMIT 1")]
        assert actions == ["database restored"]
        assert record(store, 3, 3000.0) == 321
    assert oct(database.stat().st_mode)[-3:] == "600"


def test_damaged_punches_are_restored_as_they_were_at_the_copy(database: Path) -> None:
    spoil(database, "punches")
    lines = rescue(database, NOW)
    assert "punches" not in lines[1].split(";")[0]
    with Store.open(database) as store:
        assert len(store.punches()) == 300 and store.verify_chain().ok and store.faults() == []
        assert record(store, 1, 3000.0) == 301 and store.verify_chain().ok


@pytest.mark.parametrize("content", [b"", b"\0" * 50_000, os.urandom(50_000)], ids=["empty", "zeros", "noise"])
def test_a_file_that_is_no_longer_a_database(database: Path, content: bytes) -> None:
    database.write_bytes(content)
    for end in ("-wal", "-shm"):
        database.with_name(database.name + end).unlink(missing_ok=True)
    assert "LOST" in rescue(database, NOW)[1]
    with Store.open(database) as store:
        assert len(store.punches()) == 300 and store.verify_chain().ok


def test_a_missing_database_is_restored(database: Path) -> None:
    """As after a file system check that moved the file: an empty database would soon replace the copy."""
    database.rename(database.with_name("lost"))
    with refused("store.copy_left", "clockface.db.good"):
        Store.open(database)
    with refused("store.copy_left", "remove"):
        check_database(database)
    assert not database.exists()
    lines = rescue(database, NOW)
    assert "was missing: restored" in lines[0] and "LOST" in lines[1]
    with Store.open(database) as store:
        assert len(store.punches()) == 300 and store.verify_chain().ok
    assert oct(database.stat().st_mode)[-3:] == "600" and rescue(database, NOW) == []


def test_an_empty_database_is_made_once_its_copy_is_removed_as_well(database: Path) -> None:
    database.unlink()
    copy_of(database).unlink()
    assert rescue(database, NOW) == []
    with Store.open(database) as store:
        assert store.people() == []


def test_a_row_changed_by_hand_is_not_taken_over(database: Path) -> None:
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("DROP TRIGGER punches_no_update")
        raw.execute("UPDATE punches SET occurred_at = 0 WHERE id = 311")
        raw.commit()
    spoil(database, "sightings")
    assert "10 punches" in rescue(database, NOW)[1]
    with Store.open(database) as store:
        assert len(store.punches()) == 310 and store.verify_chain().ok


def test_damage_found_at_runtime_requests_a_restart_that_restores_it(database: Path) -> None:
    live = Live()
    with Store.open(database) as store:
        restored_by_start(store, live)
        assert not live.restart.is_set()  # it is sound
        spoil(database, "sightings")
        restored_by_start(store, live)
        assert live.restart.is_set()
        without_copy = Live()
        copy_of(database).unlink()
        restored_by_start(store, without_copy)
        assert not without_copy.restart.is_set()  # nothing to restore it from


def test_a_running_terminal_is_not_disturbed(database: Path) -> None:
    spoil(database, "sightings")
    with Store.open(database) as store:
        store.claim_terminal()
        before = database.read_bytes()
        with refused("store.in_use", "terminal"):
            rescue(database, NOW)
    assert database.read_bytes() == before


class Cut(BaseException):
    """The power fails."""


@pytest.mark.parametrize("step", range(9))
def test_an_interrupted_restore_is_resumed(database: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted before each flush and each rename; the last time not at all."""
    spoil(database, "sightings")
    done = []

    def until_the_cut(call: Callable[..., None]) -> Callable[..., None]:
        def counted(*args: object) -> None:
            done.append(call)
            if len(done) > step:
                raise Cut
            call(*args)

        return counted

    with monkeypatch.context() as patched, suppress(Cut):
        patched.setattr(os, "replace", until_the_cut(os.replace))
        patched.setattr(os, "fsync", until_the_cut(os.fsync))
        patched.setattr(shutil, "copyfile", until_the_cut(shutil.copyfile))
        rescue(database, NOW)
    assert len(done) == min(step + 1, 8)
    rescue(database, NOW + 60)
    assert rescue(database, NOW + 120) == []
    with Store.open(database) as store:
        assert len(store.people()) == 3 and len(store.punches()) == 320 and store.faults() == []
        assert all(store.verify_chain(table).ok for table in ("punches", "corrections", "audit"))
        with store.reading() as db:
            assert [row[0] for row in db.execute("SELECT action FROM audit")].count("database restored") == 1
    assert len({file.name.removesuffix("-wal").removesuffix("-shm") for file in database.parent.glob("*.damaged-*")}) == 1


def test_a_damaged_database_does_not_replace_the_good_copy(database: Path) -> None:
    before = copy_of(database).read_bytes()
    spoil(database, "sightings")
    with refused("recovery.damaged"):
        keep(database)
    assert copy_of(database).read_bytes() == before
    assert sorted(file.name for file in database.parent.iterdir() if "new" in file.name) == []


def test_no_room_for_the_copy_is_reported(database: Path, tmp_path: Path) -> None:
    class Full(recovery.Disk):
        def sync(self, path: Path) -> None:
            raise OSError(28, "No space left on device")

    before = copy_of(database).read_bytes()
    with refused("recovery.not_written"):
        keep(database, Full())
    assert copy_of(database).read_bytes() == before and not list(tmp_path.glob(".*.new"))
