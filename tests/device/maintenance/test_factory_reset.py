"""Back to factory: told, confirmed, keys first; cut off after any step it goes on, and a copy of the old database shows no face any more."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from device.__main__ import main
from device.maintenance import factory_reset, key_export
from device.maintenance.update.releases import Installation
from device.storage import key_folder
from device.storage.database import connect
from device.storage.key_folder import DEVICE_KEY, KeysError
from device.storage.keys import PersonKeys
from device.storage.records import PunchDraft
from device.storage.reset_mark import is_marked, mark_file
from device.storage.store import Store, TemplateDraft
from device.system.clock import ClockState
from device.web.access.first_admin import password_file
from tests.refused import refused

NAME = platform.node() or "terminal"
PASSPHRASE = "seven red kites over the yard"
STAY = {"clockface.db.lock", "other.db", "notes.txt"}  # in the folder of the data


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A terminal with a person, everything that may lie beside its database, and files that belong to others."""
    monkeypatch.setenv("CLOCKFACE_KEYS", str(tmp_path / "keys"))
    database = tmp_path / "data" / "clockface.db"
    with Store.open(database) as store:
        enrolled(store)
        key_export.export(store, tmp_path / "elsewhere.keys-export", PASSPHRASE)
    for name in (".good", ".before-update", ".damaged-1", ".crt", ".key", ".restore-wal"):
        database.with_name(f"clockface.db{name}").write_bytes(b"old state" * 100)
    password_file(database).write_text("first password\n")
    database.with_name("fleet-ca.pem").write_text("authority")
    (database.parent / ".upload-x1").mkdir()
    (database.parent / ".upload-x1" / "sealed").write_bytes(b"copy")
    for other in (database.with_name("notes.txt"), database.with_name("other.db"), tmp_path / "clockface.db", tmp_path / "clockface.toml"):
        other.write_bytes(b"somebody else's")
    return database


def enrolled(store: Store) -> int:
    return store.add_person_with_templates("Ann", None, [TemplateDraft("m1", np.eye(8, dtype=np.float32)[0], 0.5, None, "")]).id


def reset(board: Path, *more: str) -> int:
    return main(["reset", "--db", str(board), *more])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def first_start(board: Path) -> None:
    """What is left knows nobody, and a terminal can begin anew on it."""
    assert names(board.parent) == STAY and names(key_folder.folder()) <= {".lock"}
    assert all(board.with_name(name).read_bytes() == b"somebody else's" for name in ("notes.txt", "other.db"))
    assert all((board.parent.parent / name).read_bytes() == b"somebody else's" for name in ("clockface.db", "clockface.toml"))
    with Store.open(board) as store:
        assert not store.people() and store.verify_chain("audit").ok
        assert enrolled(store) == 1 and store.keys.of(1)


def test_the_command_tells_and_asks_before_it_erases(board: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = names(board.parent)
    assert reset(board) == 1 and reset(board, "--yes", f"{NAME}x") == 1 and reset(board, "--yes", "") == 1
    told = capsys.readouterr().out
    assert "people: 1\n" in told and "last back-up made here: none\n" in told and "last export of the keys of faces: 20" in told
    assert names(board.parent) | {"clockface.db.lock"} == before | {"clockface.db.lock"}
    with Store.open(board, must_exist=True) as store:
        assert store.keys.of(1)
        store.claim_terminal()
        assert reset(board, "--yes", NAME) == 1 and "in use" in capsys.readouterr().err
    assert reset(board, "--yes", NAME) == 0
    first_start(board)


def test_undelivered_rows_need_their_number(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(board) as store:
        store.outbox.set_targets(["payroll"])
        store.record_punch(PunchDraft(1, time.time(), "in", NAME, "manual", ClockState(True, "boot", 1)), ["payroll"])
        waiting = factory_reset.to_erase(store).undelivered
    assert waiting == 1
    assert reset(board, "--yes", NAME) == 1 and reset(board, "--yes", NAME, "--lose", "2") == 1 and "not delivered" in capsys.readouterr().err
    assert reset(board, "--yes", NAME, "--lose", "1") == 0
    first_start(board)


def test_cut_off_after_each_step_it_goes_on(board: Path, tmp_path: Path) -> None:
    """Each time on a fresh copy of the terminal: nobody opens the database in between, and the next start finishes."""
    kept, kept_keys = tmp_path / "kept", tmp_path / "kept-keys"
    shutil.copytree(board.parent, kept)
    shutil.copytree(key_folder.folder(), kept_keys)

    class PowerCutError(BaseException):
        pass

    reached, cut = -1, 0
    while reached < cut:
        for copy, place in ((kept, board.parent), (kept_keys, key_folder.folder())):
            shutil.rmtree(place)
            shutil.copytree(copy, place)
        with Store.open(board, must_exist=True) as store:
            factory_reset.begin(board, store.keys.store)

        def stop(step: int, last: int = cut) -> None:
            if step == last:
                raise PowerCutError

        with refused("store.being_reset"):
            Store.open(board)
        try:
            factory_reset.go_on(board, after=stop)
            break
        except PowerCutError:
            cut += 1
        assert not (key_folder.folder() / DEVICE_KEY).exists()
        if is_marked(board):
            with refused("store.being_reset"):
                connect(board, 100, must_exist=False)
            assert factory_reset.go_on(board) and factory_reset.go_on(board) == []
        first_start(board)
    assert cut > 8  # keys, each file, folders, the mark


def test_a_killed_process_leaves_no_half_terminal(board: Path) -> None:
    """A real kill, somewhere in the middle."""
    with Store.open(board, must_exist=True) as store:
        factory_reset.begin(board, store.keys.store)
    board.with_name("clockface.db.good").write_bytes(bytes(30_000_000))
    program = f"from pathlib import Path; from device.maintenance import factory_reset; factory_reset.go_on(Path({str(board)!r}))"
    running = subprocess.Popen([sys.executable, "-c", program], cwd=Path(factory_reset.__file__).parents[2])
    until = time.monotonic() + 20
    while (key_folder.folder() / DEVICE_KEY).exists() and time.monotonic() < until:
        time.sleep(0.001)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    with refused("store.being_reset") if is_marked(board) else pytest.raises(FileNotFoundError):
        Store.open(board) if is_marked(board) else mark_file(board).stat()
    factory_reset.go_on(board)
    first_start(board)


def test_a_copy_of_the_old_database_shows_no_face(board: Path, tmp_path: Path) -> None:
    """Copies of the data and of people's wrapped keys, as they may be left on the cells of a card."""
    shutil.copytree(board.parent, tmp_path / "copy")
    with Store.open(board) as store:
        identity = store.keys.store
        assert store.templates("m1").ids.size == 1
    wrapped = (key_folder.folder() / f"{identity}.keys").read_bytes()
    assert reset(board, "--yes", NAME) == 0
    with Store.open(board) as store:
        enrolled(store)  # makes a new device key
    (key_folder.folder() / f"{identity}.keys").write_bytes(wrapped)
    with refused("keys.device_key"):
        PersonKeys(identity).everyone()
    with pytest.raises(KeysError), Store.open(tmp_path / "copy" / board.name) as old:
        old.templates("m1")


def test_content_is_overwritten_before_its_name_goes(board: Path, tmp_path: Path) -> None:
    """A second name of each file shows what is left of it."""
    files = [key_folder.folder() / DEVICE_KEY, board, board.with_name("clockface.db.key"), password_file(board)]
    for number, file in enumerate(files):
        os.link(file, tmp_path / f"second-{number}")
    assert reset(board, "--yes", NAME) == 0
    assert all(set((tmp_path / f"second-{number}").read_bytes()) == {0} for number in range(len(files)))


def test_another_database_with_keys_in_the_same_folder_still_works(board: Path, tmp_path: Path) -> None:
    with Store.open(tmp_path / "second" / "clockface.db") as store:
        enrolled(store)
        identity = store.keys.store
    former = (key_folder.folder() / DEVICE_KEY).read_bytes()
    assert reset(board, "--yes", NAME) == 0
    assert (key_folder.folder() / DEVICE_KEY).read_bytes() != former and {path.name for path in key_folder.folder().glob("*.keys")} == {f"{identity}.keys"}
    with Store.open(tmp_path / "second" / "clockface.db") as store:
        assert store.templates("m1").ids.size == 1


def test_a_damaged_database_and_links_are_erased_too(board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("stays")
    board.with_name("clockface.db.before-restore").symlink_to(outside)
    board.write_bytes(b"no database at all" * 500)
    assert reset(board, "--yes", NAME) == 0 and "cannot be read" in capsys.readouterr().out
    assert outside.read_text() == "stays"
    first_start(board)


def test_what_is_not_this_terminals_is_not_erased(board: Path, tmp_path: Path) -> None:
    with refused("reset.nothing"):
        factory_reset.looked_at(tmp_path / "nowhere" / "clockface.db")
    with refused("reset.nothing"):
        factory_reset.looked_at(tmp_path / "none.db")
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as db:
        db.execute("CREATE TABLE theirs (id)")
    with refused("store.foreign"):
        factory_reset.looked_at(foreign)


def test_a_release_on_trial_holds_it_back(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factory_reset.check_release(None)
    monkeypatch.setattr(Installation, "here", lambda: SimpleNamespace(on_trial=True))
    with refused("reset.on_trial"):
        factory_reset.begin(board, "")
    assert not is_marked(board)


def test_a_foreign_file_is_no_mark(board: Path) -> None:
    mark_file(board).write_text("clockface")
    with refused("reset.mark"):
        factory_reset.go_on(board)
    assert (key_folder.folder() / DEVICE_KEY).exists()


def test_a_terminal_from_an_image_begins_as_on_a_new_card(board: Path, tmp_path: Path) -> None:
    (tmp_path / "image.env").write_text("IMAGE=1\n")
    factory_reset.begin(board, "")
    factory_reset.go_on(board, image=tmp_path / "image.env")
    assert board.with_name(factory_reset.FIRST_START).read_text() == "reset\n"
