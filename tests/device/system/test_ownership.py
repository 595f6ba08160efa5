"""Links that the owner of a folder plants there lead nobody astray: root acts as that owner, and no file but the database is reached through a link."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from device.contract import ClockfaceError
from device.maintenance.update import database_copy
from device.storage import keys
from device.storage.database import CourierLock, TerminalLock
from device.storage.schema import SCHEMA_VERSION
from device.storage.store import Store
from device.system.locks import FileLock
from device.system.ownership import acting_as_owner, make_private, owner_of
from tests.refused import refused

SERVICE = 65534
BESIDE = ("", "-wal", "-shm", "-journal", ".lock", ".outbox.lock", ".before-update", ".good", ".restore", ".restored")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def data(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with its keys in folders of the service's user."""
    for name in ("data", "keys", "roots"):
        (place / name).mkdir(mode=0o755)
        if os.geteuid() == 0 and name != "roots":
            os.chown(place / name, SERVICE, SERVICE)
    monkeypatch.setenv("CLOCKFACE_KEYS", str(place / "keys"))
    with Store.open(place / "data/clockface.db") as store:
        store.keys.ensure(store.add_person("Ann").id)
    return place / "data/clockface.db"


def root_steps(database: Path) -> list[Callable[[], object]]:
    """What root does with the data: an update's steps, and commands that somebody runs without `sudo -u`."""
    copy = database.with_name(f"{database.name}.before-update")
    return [
        lambda: database_copy.schema_of(database),
        lambda: database_copy.keep_copy(database, SCHEMA_VERSION + 1),
        lambda: database_copy.restore(database, copy),
        lambda: TerminalLock(database).release(),
        lambda: CourierLock(database).release(),
        lambda: keys.rotate(),
        lambda: _erased(database),
    ]


def _erased(database: Path) -> None:
    with Store.open(database) as store:
        store.claim_terminal()
        store.erase(1)


def _state(folder: Path) -> dict[str, tuple[object, ...]]:
    return {path.name: (path.read_bytes(), path.stat().st_mode, path.stat().st_uid, path.stat().st_mtime_ns) for path in folder.iterdir()}


@as_root
@pytest.mark.parametrize("content", [b"root:x:0:0", b""], ids=["file", "empty file"])
@pytest.mark.parametrize("name", [*(f"data/clockface.db{end}" for end in BESIDE), "keys/.lock", "keys/device.key", "keys/device.key.next", "keys/STORE.keys"])
def test_a_planted_link_changes_nothing_of_root(name: str, content: bytes, data: Path) -> None:
    folder = data.parents[1]
    place = folder / name if "STORE" not in name else next((folder / "keys").glob("*.keys"))
    victim = folder / "roots/shadow"
    victim.write_bytes(content)
    victim.chmod(0o644)
    before = _state(folder / "roots")
    for step in root_steps(data):
        place.unlink(missing_ok=True)
        place.symlink_to(victim)
        os.chown(place, SERVICE, SERVICE, follow_symlinks=False)
        with suppress(ClockfaceError):
            step()
        assert _state(folder / "roots") == before
    assert os.geteuid() == 0


@as_root
def test_what_root_makes_belongs_to_the_service(data: Path) -> None:
    for step in root_steps(data):
        step()
    made = [path for folder in (data.parent, data.parents[1] / "keys") for path in folder.iterdir()]
    assert {path.name: path.stat().st_uid for path in made} == dict.fromkeys((path.name for path in made), SERVICE)
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600} and os.geteuid() == 0


@as_root
def test_root_acts_as_the_owner_and_is_root_again(place: Path) -> None:
    os.chown(place, SERVICE, SERVICE)
    groups = os.getgroups()
    with pytest.raises(KeyError), acting_as_owner(place / "new"):
        assert os.geteuid() == SERVICE
        (place / "new").touch()
        with acting_as_owner(Path("/etc/other")):
            assert os.geteuid() == SERVICE  # nobody becomes more than they are
        raise KeyError
    assert (os.geteuid(), os.getgroups(), owner_of(place / "new")) == (0, groups, SERVICE)


@as_root
def test_in_a_folder_of_root_the_file_decides_and_a_link_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.chown(tmp_path / "link", SERVICE, SERVICE, follow_symlinks=False)
    assert (owner_of(tmp_path / "link"), owner_of(tmp_path / "none"), owner_of(tmp_path / "none/below")) == (SERVICE, 0, 0)


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_no_log_of_a_database_is_a_link(end: str, data: Path) -> None:
    victim = data.with_name("other")
    victim.touch(mode=0o644)
    data.with_name(data.name + end).symlink_to(victim)
    with refused("store.not_opened", "link"):
        Store.open(data)
    assert victim.stat().st_mode & 0o777 == 0o644 and not victim.stat().st_size


def test_no_lock_is_a_link_or_a_pipe(data: Path) -> None:
    victim, lock = data.with_name("other"), data.with_name("clockface.db.lock")
    victim.write_text("content")
    lock.symlink_to(victim)
    with refused("store.not_opened", "clockface.db.lock"):
        TerminalLock(data)
    assert victim.read_text() == "content"
    lock.unlink()
    os.mkfifo(lock)
    os.chown(lock, data.parent.stat().st_uid, -1)
    with pytest.raises(OSError, match="regular"):
        FileLock(lock)


def test_a_link_of_one_s_own_to_the_database_is_followed(data: Path, tmp_path: Path) -> None:
    (tmp_path / "here.db").symlink_to(data)
    data.chmod(0o644)
    with Store.open(tmp_path / "here.db", must_exist=True) as store:
        assert [person.name for person in store.people()] == ["Ann"]
    assert data.stat().st_mode & 0o777 == 0o600


def test_a_private_file_keeps_the_locks_of_its_process(data: Path) -> None:
    """Closing any descriptor of a file drops its POSIX locks, so none is opened."""
    with closing(sqlite3.connect(data, isolation_level=None)) as first:
        first.execute("PRAGMA journal_mode = DELETE")
        first.execute("BEGIN EXCLUSIVE")
        data.chmod(0o644)
        make_private(data)
        pid = os.fork()
        if pid == 0:
            with suppress(BaseException), closing(sqlite3.connect(data, timeout=0)) as second:
                try:
                    second.execute("SELECT count(*) FROM people")
                except sqlite3.OperationalError:
                    os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert data.stat().st_mode & 0o777 == 0o600
