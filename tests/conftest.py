"""What every test may use: the shared data, skipped by name where it is absent."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import hypothesis
import pytest
from sqlite_utils import Database

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: nets of tests are small, and threads that wait for each other crawl on a busy machine
hypothesis.settings.register_profile("gate", derandomize=True)  # alike each time; `--hypothesis-profile default` looks further
hypothesis.settings.load_profile("gate")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of its own for the keys of people, for the processes that tests start as well."""
    folder = tmp_path_factory.mktemp("keys")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLOCKFACE_KEYS", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def migrated_once() -> Iterator[None]:
    """A new database of a test is a copy of one that the migrations made, with an identity of its own: they take 0.1 s, and tests make thousands."""
    from device.storage import database, schema

    def set_up(db: Database, path: Path, busy_timeout_ms: int) -> None:
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            made.backup(db.conn)
            db.execute("UPDATE identity SET id = lower(hex(randomblob(16)))")
        real(db, path, busy_timeout_ms)

    real = database._set_up
    with closing(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)) as made, pytest.MonkeyPatch.context() as patch:
        schema.migrate(Database(made, execute_plugins=False))
        patch.setattr(database, "_set_up", set_up)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real faces and clips: CLOCKFACE_SHARED, or `../shared` beside the checkout."""
    folder = Path(os.environ.get("CLOCKFACE_SHARED", ROOT.parent / "shared"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no shared data at {folder}; set CLOCKFACE_SHARED")
    return folder
