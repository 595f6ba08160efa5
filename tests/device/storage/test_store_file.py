"""The database file: durability, modes, and every kind of faulty file."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from device.config import StoreSettings
from device.storage import schema
from device.storage.store import PunchDraft, Store, StoreError, TemplateDraft
from device.system.clock import ClockState
from tests.refused import refused

ROOT = Path(__file__).resolve().parents[3]
HASTY = StoreSettings(busy_timeout_ms=50)


def draft(at: float = 1000.0) -> PunchDraft:
    return PunchDraft(1, at, "in", "kiosk", "manual", ClockState(True, "boot", 1))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """One person with 200 templates, 40 punches; closed, about 1 MB."""
    path = tmp_path / "clockface.db"
    embedding = np.eye(1, 512, dtype=np.float32)[0]
    with Store.open(path) as store:
        store.add_person_with_templates("Ann", "E1", [TemplateDraft("m1", embedding, 0.5, bytes(2000))] * 200)
        for number in range(40):
            store.record_punch(draft(1000.0 + number))
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_commit_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store, store.reading() as db:
        pragmas = {key: db.execute(f"PRAGMA {key}").fetchone()[0] for key in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}


def test_every_table_is_strict_and_the_version_counts_the_migrations(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store, store.reading() as db:
        wanted = {"people", "consents", "templates", "punches", "corrections", "sightings", "outbox", "audit", "settings"}
        strict = {row[1]: row[5] for row in db.execute("PRAGMA table_list")}
        assert {name for name in wanted if strict.get(name) == 1} == wanted
        assert len(schema.MIGRATIONS.applied(db)) == schema.SCHEMA_VERSION
        assert schema.MIGRATIONS.pending(db) == []


def test_files_are_private_even_with_an_open_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Store.open(tmp_path / "new" / "a.db") as store:
            store.claim_terminal()
            store.add_person("Ann")
            modes = {file.name: mode(file) for file in store.path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("a.db", "a.db-wal", "a.db-shm", "a.db.lock"), 0o600)
    assert mode(tmp_path / "new") == 0o700


def test_an_open_file_is_made_private(database: Path) -> None:
    database.chmod(0o644)
    with Store.open(database):
        assert mode(database) == 0o600


def test_a_missing_database_is_not_made_for_a_reader(tmp_path: Path) -> None:
    with refused("store.missing", "--db"):
        Store.open(tmp_path / "none" / "a.db", must_exist=True)
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_reads_and_writes_at_the_same_time(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as terminal:
        terminal.claim_terminal()
        terminal.add_person("Ann")
        program = (
            "import sys; from pathlib import Path; from device.storage.store import Store; s = Store.open(Path(sys.argv[1])); s.add_person('Bob'); s.close()"
        )
        subprocess.run([sys.executable, "-c", program, str(terminal.path)], cwd=ROOT, check=True, timeout=60)
        assert [p.name for p in terminal.people()] == ["Ann", "Bob"]


TOGETHER = """
import sys, time
from pathlib import Path
from device.storage.store import Store
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
with Store.open(Path(sys.argv[1])) as store:
    store.add_person("somebody")
"""


def test_processes_that_create_a_database_together_do_not_collide(tmp_path: Path) -> None:
    start = str(time.time() + 1.5)
    command = [sys.executable, "-c", TOGETHER, str(tmp_path / "a.db"), start]
    together = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[1] for process in together] == [""] * 4
    with Store.open(tmp_path / "a.db") as store:
        assert [person.id for person in store.people()] == [1, 2, 3, 4]


def test_opening_again_keeps_the_locks_of_this_process(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as first:
        Store.open(first.path).close()
        program = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0.1).execute('PRAGMA journal_mode = DELETE')"
        other = subprocess.run([sys.executable, "-c", program, str(first.path)], capture_output=True, text=True, timeout=60)
    assert "database is locked" in other.stderr  # refused, because the first connection is still open


def test_only_one_terminal_per_database(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as first, Store.open(tmp_path / "a.db") as second, Store.open(tmp_path / "b.db") as other:
        first.claim_terminal()
        first.claim_terminal()  # it has the claim already
        other.claim_terminal()
        with refused("store.in_use", "terminal", f"process {os.getpid()}"):
            second.claim_terminal()
        first.close()
        second.claim_terminal()


def test_the_claim_ends_with_its_process(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from device.storage.store import Store; s = Store.open(Path(sys.argv[1])); s.claim_terminal()"
    wait = "; print('claimed', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program + wait, str(tmp_path / "a.db")], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"claimed\n"
        with Store.open(tmp_path / "a.db") as store:
            with refused("store.in_use", f"process {other.pid}"):
                store.claim_terminal()
            other.kill()
            other.wait()
            store.claim_terminal()


# faulty files


def test_locked_by_another_process(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as other, Store.open(database, HASTY) as store:
        other.execute("BEGIN IMMEDIATE")
        with refused("store.locked"):
            store.record_punch(draft())
        assert len(store.punches()) == 40  # reading goes on
        other.execute("ROLLBACK")
        assert store.record_punch(draft()).id == 41


def test_locked_exclusively(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with refused("store.locked"):
            Store.open(database, HASTY)


def test_from_a_newer_version(database: Path) -> None:
    with closing(sqlite3.connect(database)) as raw:
        raw.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    with refused("store.newer", str(schema.SCHEMA_VERSION + 1)):
        Store.open(database)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE people (id)")
    before = path.read_bytes()
    with refused("store.foreign"):
        Store.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database, only a text " * 100, os.urandom(8192)], ids=["text", "noise"])
def test_not_a_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with refused("store.no_database", "--db"):
        Store.open(path)
    assert path.read_bytes() == content


def test_an_overwritten_header(database: Path) -> None:
    with database.open("r+b") as file:
        file.write(bytes(100))
    with refused("store.no_database"):
        Store.open(database)


def test_torn_pages_are_reported_by_every_reader(database: Path) -> None:
    whole = database.stat().st_size
    with database.open("r+b") as file:  # all but the header page and the schema
        file.seek(whole // 2)
        file.write(b"\xff" * (whole // 2))
    with Store.open(database) as store:
        try:
            found = store.faults()
        except StoreError as error:
            found = [str(error)]
        assert found
        with refused("store.damaged"):
            store.templates("m1")


def test_a_truncated_file(database: Path) -> None:
    os.truncate(database, 10_000)
    with refused("store.damaged"), Store.open(database) as store:
        store.templates("m1")


def test_a_sound_file_has_no_faults(database: Path) -> None:
    with Store.open(database) as store:
        assert store.faults() == []


@pytest.mark.parametrize("name", ["x" * 300 + ".db", "a\0b.db", "."])
def test_impossible_paths(tmp_path: Path, name: str) -> None:
    with refused("store.not_opened"):
        Store.open(tmp_path / name)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    with refused("store.not_opened"):
        Store.open(tmp_path / "data" / "a.db")


AS_NOBODY = """
import os, sys
from pathlib import Path
from device.storage.store import Store, StoreError
if os.geteuid() == 0:  # root may write everywhere
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
try:
    Store.open(Path(sys.argv[1])).close()
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o444, 0o755), (0o600, 0o555), (None, 0o555)], ids=["file", "folder", "new file"])
def test_read_only(file_mode: int | None, folder_mode: int) -> None:
    owner = 65534 if os.geteuid() == 0 else os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name, "a.db")
        if file_mode is not None:
            Store.open(path).close()
            path.chmod(file_mode)
            os.chown(path, owner, -1)
        os.chown(folder, owner, -1)
        folder.chmod(folder_mode)
        run = subprocess.run([sys.executable, "-c", AS_NOBODY, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60)
        folder.chmod(0o755)
    assert run.returncode == 0, run.stderr
    assert "cannot be" in run.stdout and "writ" in run.stdout and "this user" in run.stdout


def test_a_full_disk_as_sqlite_counts_it(database: Path) -> None:
    with Store.open(database) as store:
        with store.reading() as db:
            pages = db.execute("PRAGMA page_count").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {pages}")
        announced = 40
        with refused("store.disk_full"):
            for _ in range(10_000):
                announced = store.record_punch(draft(), ["payroll"]).id
        with store.reading() as db:
            db.execute(f"PRAGMA max_page_count = {pages + 100}")
        assert store.verify_chain().count == announced
        assert store.record_punch(draft()).id == announced + 1
        assert store.verify_chain().ok


def test_a_file_that_cannot_grow_loses_nothing_announced(database: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Store.open(database) as store:
        announced = 40
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
            with refused("store.disk_error"):
                for _ in range(10_000):
                    announced = store.record_punch(draft(), ["payroll"]).id
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert 40 < announced < 10_000
        report = store.verify_chain()
        assert (report.ok, report.count) == (True, announced)
        assert store.record_punch(draft()).id == announced + 1
