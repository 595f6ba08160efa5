"""The sealed export of people's keys: another board knows everybody again, erased people stay erased, and what cannot be opened is told in words."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from device.__main__ import main
from device.maintenance import key_export
from device.maintenance.backup import apply_staged, create, stage
from device.maintenance.people_check import check_keys
from device.storage.keys import PersonKeys
from device.storage.store import Store, TemplateDraft
from device.vision import catalogue
from tests.refused import refused

PASSPHRASE = "seven red kites over the yard"


@pytest.fixture(autouse=True)
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLOCKFACE_KEYS", str(tmp_path / "keys"))
    return tmp_path / "clockface.db"


def enrolled(store: Store, name: str, seed: int) -> int:
    embedding = np.random.default_rng(seed).normal(size=64).astype(np.float32)
    return store.add_person_with_templates(name, None, [TemplateDraft("m1", embedding / np.linalg.norm(embedding), 0.5, None, "")]).id


def another_board(backup: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Path:
    """A new machine with an empty folder of keys, on which the back-up was restored."""
    folder = backup.parent / name
    folder.mkdir()
    monkeypatch.setenv("CLOCKFACE_KEYS", str(folder / "keys"))
    stage(backup, PASSPHRASE, folder / "clockface.db")
    apply_staged(folder / "clockface.db")
    return folder / "clockface.db"


def test_a_new_board_knows_everybody_again(shared: Path, board: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """From end to end by the command line, with real faces: enrol, back up, export, and on another board restore, import, recognise."""
    folders = sorted(path for path in (shared / "faces" / "dev").iterdir() if path.is_dir())[:2]
    photos = {f"P{number}": sorted(folder.iterdir()) for number, folder in enumerate(folders)}
    try:
        catalogue.path("yunet")
    except catalogue.ModelError as error:
        pytest.skip(f"models not pulled: {error}")
    monkeypatch.setenv("SECRET", PASSPHRASE)
    for name, (first, second, *_) in photos.items():
        assert main(["enroll", name, str(first), str(second), "--db", str(board)]) == 0
    backup, keys = board.with_name("monday.backup"), board.with_name("keys.export")
    sealed_with = ["--passphrase", "env:SECRET"]
    assert main(["backup", str(backup), "--db", str(board), *sealed_with]) == 0
    assert main(["keys", "export", str(keys), "--db", str(board), *sealed_with]) == 0
    assert keys.stat().st_mode & 0o777 == 0o600 and "2 people" in capsys.readouterr().out
    assert main(["keys", "export", str(keys), "--db", str(board), *sealed_with]) == 1  # nothing is overwritten
    new = board.parent / "new" / "clockface.db"
    monkeypatch.setenv("CLOCKFACE_KEYS", str(board.parent / "new-keys"))
    assert main(["restore", str(backup), "--db", str(new), *sealed_with]) == 0
    probes = [str(files[2]) for files in photos.values()]
    assert seen(probes, new, capsys) == [None, None]
    assert main(["keys", "import", str(keys), "--db", str(new), *sealed_with]) == 0
    assert seen(probes, new, capsys) == ["P0", "P1"]
    assert check_keys(new).state == "ok"


def seen(probes: list[str], database: Path, capsys: pytest.CaptureFixture[str]) -> list[str | None]:
    capsys.readouterr()
    assert main(["identify", *probes, "--db", str(database), "--json"]) == 0
    return [json.loads(line)["faces"][0]["name"] for line in capsys.readouterr().out.splitlines()]


def test_the_file_opens_by_its_description_alone(board: Path) -> None:
    """An independent reader: argon2id with the parameters of RFC 9106, then AES-256-GCM."""
    with Store.open(board) as store:
        person = enrolled(store, "Ann", 1)
        key_export.export(store, board.with_name("out"), PASSPHRASE)
        key = store.keys.of(person)
        assert key is not None
    file = board.with_name("out").read_bytes()
    magic = len(b"CLOCKFACE-KEYS-1\n")
    salt, nonce = file[magic : magic + 16], file[magic + 16 : magic + 28]
    secret = hash_secret_raw(PASSPHRASE.encode(), salt, 3, 65_536, 4, 32, Type.ID)
    content = json.loads(AESGCM(secret).decrypt(nonce, file[magic + 28 : -32], file[:magic]))
    assert content["keys"] == {str(person): key.hex()} and file[-32:] == hashlib.sha256(file[:-32]).digest()
    assert key not in file and key.hex().encode() not in file


@pytest.mark.parametrize("weak", ["short words", "aaaaaaaaaaaaaaaa", "password2026!!!", "123456789012345", "ababababababab"])
def test_a_weak_passphrase_is_refused(board: Path, weak: str) -> None:
    with Store.open(board) as store:
        enrolled(store, "Ann", 1)
        with refused("keys.weak"):
            key_export.export(store, board.with_name("out"), weak)
    assert not board.with_name("out").exists()


def test_what_cannot_be_opened_is_told(board: Path, tmp_path: Path) -> None:
    with Store.open(board) as store, Store.open(tmp_path / "other.db") as other:
        with refused("keys.nobody"):
            key_export.export(store, tmp_path / "out", PASSPHRASE)
        enrolled(store, "Ann", 1)
        key_export.export(store, tmp_path / "out", PASSPHRASE)
        file = (tmp_path / "out").read_bytes()
        changed = bytearray(file)
        changed[60] ^= 1
        for given, passphrase, code in (
            (file, "another seven red kites", "keys.passphrase"),
            (file[:-7], PASSPHRASE, "keys.torn"),
            (file[:20], PASSPHRASE, "keys.torn"),
            (bytes(changed), PASSPHRASE, "keys.torn"),
            (b"SQLite format 3", PASSPHRASE, "keys.no_export"),
            (b"", PASSPHRASE, "keys.no_export"),
        ):
            with refused(code):
                key_export.take_in(store, given, passphrase)
        with refused("keys.other_database"):
            key_export.take_in(other, file, PASSPHRASE)
        assert other.keys.counts() == (0, 0)


def test_who_is_erased_stays_erased(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the board itself, on a new one with a back-up from after the erasure, and with a newer export also with one from before."""
    old_backup, backup, old, new = (board.with_name(name) for name in ("old.backup", "new.backup", "old.keys-export", "new.keys-export"))
    with Store.open(board) as store:
        ann, bob = enrolled(store, "Ann", 1), enrolled(store, "Bob", 2)
        key_export.export(store, old, PASSPHRASE)
        create(board, None, old_backup, PASSPHRASE)
        store.erase(bob)
        found = key_export.take_in(store, old.read_bytes(), PASSPHRASE)
        assert (found.taken, found.kept) == (0, 1) and store.keys.of(bob) is None
        given = key_export.given_out(store.keys.store)
        assert given and given.erased == 1 and check_keys(board).state == "warning"  # the old export still shows Bob: said until a new one is made
        key_export.export(store, new, PASSPHRASE)
        assert check_keys(board).state == "ok"
        create(board, None, backup, PASSPHRASE)
    with Store.open(another_board(backup, monkeypatch, "a")) as store:
        assert key_export.take_in(store, old.read_bytes(), PASSPHRASE).taken == 1
        assert store.keys.of(ann) and store.keys.of(bob) is None
    with Store.open(another_board(old_backup, monkeypatch, "b")) as store:
        assert store.person("Bob").id == bob
        found = key_export.take_in(store, new.read_bytes(), PASSPHRASE)
        assert (found.taken, found.erased) == (1, 1) and store.keys.of(bob) is None
        assert store.templates("m1").person_ids.tolist() == [ann] and [person.name for person in store.people()] == ["Ann", f"erased-{bob}"]


def test_what_is_old_on_both_sides_shows_an_erased_face(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/privacy.md says so: an export and a back-up that are both from before the erasure must be destroyed."""
    old_backup, old = board.with_name("old.backup"), board.with_name("old.keys-export")
    with Store.open(board) as store:
        bob = enrolled(store, "Bob", 2)
        key_export.export(store, old, PASSPHRASE)
        create(board, None, old_backup, PASSPHRASE)
        store.erase(bob)
    with Store.open(another_board(old_backup, monkeypatch, "a")) as store:
        key_export.take_in(store, old.read_bytes(), PASSPHRASE)
        assert store.templates("m1").person_ids.tolist() == [bob]


def test_people_added_since_are_left_alone_and_named(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A back-up from before an enrolment: the number is given again, and the key of the export is not that person's."""
    backup, keys = board.with_name("a.backup"), board.with_name("a.keys-export")
    with Store.open(board) as store:
        enrolled(store, "Ann", 1)
        create(board, None, backup, PASSPHRASE)
        second = enrolled(store, "Bob", 2)
        key_export.export(store, keys, PASSPHRASE)
        third = enrolled(store, "Cem", 3)
        given = key_export.given_out(store.keys.store)
        assert given and (given.missing, given.erased) == (1, 0) and check_keys(board).state == "warning"
    new = another_board(backup, monkeypatch, "new")
    with Store.open(new) as store:
        assert enrolled(store, "Dora", 4) == second != third
        own = store.keys.of(second)
        found = key_export.take_in(store, keys.read_bytes(), PASSPHRASE)
        assert found.taken == 1 and store.keys.of(second) == own and found.without == ()
        store.keys.forget(second)
        assert key_export.take_in(store, keys.read_bytes(), PASSPHRASE).without == ("Dora",)


def test_the_note_reveals_no_key(board: Path) -> None:
    with Store.open(board) as store:
        person = enrolled(store, "Ann", 1)
        key_export.export(store, board.with_name("out"), PASSPHRASE)
        key, note = store.keys.of(person), store.keys.place / f"{store.keys.store}.exported"
    assert key and note.stat().st_mode & 0o777 == 0o600 and key.hex()[:8] not in note.read_text()
    os.unlink(note)
    assert key_export.given_out(store.keys.store) is None and isinstance(PersonKeys(store.keys.store).of(person), bytes)
