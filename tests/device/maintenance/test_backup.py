"""Backup and restore: sealed, checked, atomic; wrong passphrases, changed bytes, broken chains and running terminals are refused."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.__main__ import main
from device.maintenance import backup
from device.maintenance.encryption import CHUNK, seal, unseal
from device.storage.database import TerminalLock
from device.storage.database_files import sweep, working_folder
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState
from tests.refused import refused

PASSPHRASE = "seven red kites over the yard"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "site" / "clockface.db"
    with Store.open(path) as store:
        person = store.add_person("A", "E17")
        for hour in range(5):
            store.record_punch(PunchDraft(person.id, 1.8e9 + 3600 * hour, "in", "door", "pin", ClockState(True, "b", 1)))
    return path


@pytest.fixture
def sealed(database: Path, tmp_path: Path) -> Path:
    target = tmp_path / "out.backup"
    backup.create(database, None, target, PASSPHRASE)
    return target


def test_a_backup_is_restored(database: Path, sealed: Path, tmp_path: Path) -> None:
    assert sealed.stat().st_mode & 0o777 == 0o600 and b"SQLite" not in sealed.read_bytes()
    other = tmp_path / "elsewhere" / "clockface.db"
    other.parent.mkdir()
    contents = backup.stage(sealed, PASSPHRASE, other)
    assert (contents.people, contents.punches) == (1, 5)
    assert backup.apply_staged(other) and backup.apply_staged(other) == []
    with Store.open(other) as store:
        assert store.person("E17").name == "A" and store.verify_chain().ok and len(store.punches()) == 5
    assert other.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in other.parent.iterdir()) == ["clockface.db", "clockface.db.lock"]


def test_a_backup_is_made_while_others_write(database: Path, tmp_path: Path) -> None:
    with Store.open(database) as store:
        backup.create(database, None, tmp_path / "live.backup", PASSPHRASE)
        store.add_person("B")
    assert backup.stage(tmp_path / "live.backup", PASSPHRASE, database).people == 1


def test_the_previous_database_is_kept(database: Path, sealed: Path) -> None:
    with Store.open(database) as store:
        store.add_person("later")
    backup.stage(sealed, PASSPHRASE, database)
    backup.apply_staged(database)
    with Store.open(database) as store:
        assert [person.name for person in store.people()] == ["A"]
    with Store.open(database.with_name("clockface.db.before-restore")) as store:
        assert [person.name for person in store.people()] == ["A", "later"]


def test_the_configuration_is_restored_beside_the_database(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[camera]\nrate = 20\n")
    backup.create(database, file, tmp_path / "c.backup", PASSPHRASE)
    backup.stage(tmp_path / "c.backup", PASSPHRASE, database)
    assert database.with_name("clockface.toml.restored").read_text() == file.read_text()


def test_wrong_passphrases_and_changed_files_restore_nothing(database: Path, sealed: Path) -> None:
    before = database.read_bytes()
    with refused("encryption.passphrase"):
        backup.stage(sealed, PASSPHRASE + "!", database)
    data = bytearray(sealed.read_bytes())
    for at in (5, 30, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[at] ^= 1
        sealed.write_bytes(changed)
        with refused("encryption.passphrase" if at > 8 else "encryption.no_backup"):
            backup.stage(sealed, PASSPHRASE, database)
    sealed.write_bytes(data[:-100])
    with refused("encryption.passphrase"):
        backup.stage(sealed, PASSPHRASE, database)
    assert database.read_bytes() == before and not backup.staged_file(database).exists()
    assert [path for path in database.parent.iterdir() if path.is_dir()] == []


def test_a_broken_chain_is_not_restored(database: Path, tmp_path: Path) -> None:
    with sqlite3.connect(database) as raw:
        raw.execute("DROP TRIGGER punches_no_update")
        raw.execute("UPDATE punches SET occurred_at = 1 WHERE id = 2")
    backup.create(database, None, tmp_path / "b.backup", PASSPHRASE)
    with refused("backup.not_whole", "punch 2"):
        backup.stage(tmp_path / "b.backup", PASSPHRASE, database)


def test_a_running_terminal_is_not_replaced(database: Path, sealed: Path) -> None:
    lock = TerminalLock(database)
    backup.stage(sealed, PASSPHRASE, database)
    with refused("store.in_use", "terminal"):
        backup.apply_staged(database)
    lock.release()
    with Store.open(database), refused("store.locked", "clockface.db"):  # another process reads
        backup.apply_staged(database)
    assert backup.apply_staged(database)


def test_a_short_passphrase_is_refused_and_nothing_stays(database: Path, tmp_path: Path) -> None:
    with refused("encryption.short"):
        backup.create(database, None, tmp_path / "x.backup", "short")
    assert not (tmp_path / "x.backup").exists() and [path for path in database.parent.iterdir() if path.is_dir()] == []


def test_the_commands(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CLOCKFACE_TEST_PASSPHRASE", PASSPHRASE)
    file, common = tmp_path / "c.backup", ["--db", str(database), "--passphrase", "env:CLOCKFACE_TEST_PASSPHRASE"]
    assert main(["backup", str(file), *common]) == 0
    assert main(["backup", str(file), *common]) == 1 and "exists already" in capsys.readouterr().err
    assert main(["restore", str(file), *common]) == 0 and "5 punches" in capsys.readouterr().out
    assert main(["restore", str(tmp_path / "none"), *common]) == 1
    assert main(["restore", str(file), "--db", str(database), "--passphrase", PASSPHRASE]) == 1  # never on the command line


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK]), st.binary(max_size=64))
def test_any_length_opens_again(length: int, more: bytes) -> None:
    plain = os.urandom(length) + more
    sealed, opened = io.BytesIO(), io.BytesIO()
    seal(io.BytesIO(plain), sealed, PASSPHRASE)
    unseal(io.BytesIO(sealed.getvalue()), opened, PASSPHRASE)
    assert opened.getvalue() == plain


@pytest.mark.parametrize("whose", ["its own", "another's"])
def test_a_left_over_log_never_meets_the_restored_database(database: Path, sealed: Path, tmp_path: Path, whose: str) -> None:
    """The file is gone and its log is there: SQLite would apply it to whatever has the name."""
    source = database
    if whose == "another's":
        source = tmp_path / "other.db"
        Store.open(source).close()
    with Store.open(source) as store:
        for number in range(80):
            store.add_person(f"Later {number}")
        logs = {ending: Path(f"{source}{ending}").read_bytes() for ending in ("-wal", "-shm")}
    database.unlink()
    for ending, content in logs.items():
        Path(f"{database}{ending}").write_bytes(content)
    backup.stage(sealed, PASSPHRASE, database)
    (said,) = backup.apply_staged(database)
    assert "kept as" not in said  # there was no database
    with Store.open(database) as store:
        assert [person.name for person in store.people()] == ["A"] and store.faults() == []


def test_a_damaged_database_is_replaced(database: Path, sealed: Path) -> None:
    database.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    backup.stage(sealed, PASSPHRASE, database)
    (said,) = backup.apply_staged(database)
    assert "kept as clockface.db.before-restore" in said
    with Store.open(database) as store:
        assert len(store.punches()) == 5


def test_a_killed_backup_leaves_nothing_to_read(database: Path, tmp_path: Path) -> None:
    """Killed in the middle of sealing: the copy has no name, and its folder goes at the next start or erasure."""
    victim = os.fork()
    if victim == 0:
        backup.Sealing.write = lambda self, data: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        backup.create(database, None, tmp_path / "never", PASSPHRASE)
    assert os.WIFSIGNALED(os.waitpid(victim, 0)[1])
    left = [path for path in database.parent.rglob("*") if path.is_file() and path.parent != database.parent]
    assert not any(b"SQLite" in path.read_bytes() for path in left) and not (tmp_path / "never").exists()
    with working_folder(database, ".backup-") as busy:
        assert [path.name.startswith(".backup-") for path in sweep(database)] == [True] and busy.is_dir()
    assert not list(database.parent.glob(".backup-*"))


def test_a_folder_that_is_being_made_is_not_swept(database: Path) -> None:
    """Between its making and its lock it is empty; without the lock its copy would fail."""
    made = database.parent / ".download-new"
    made.mkdir(mode=0o700)
    assert sweep(database) == [] and made.is_dir()
    (made / "left").write_bytes(b"by a process that was killed")
    assert sweep(database) == [made] and not made.exists()
