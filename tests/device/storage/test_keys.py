"""Templates are sealed with one key per person; erasing the key erases the person in every copy; rotation and older databases lose nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from device.__main__ import main
from device.storage import key_folder
from device.storage.device_key import DeviceKey
from device.storage.key_folder import DEVICE_KEY, NEXT_KEY
from device.storage.keys import PersonKeys, rotate
from device.storage.schema import SCHEMA_VERSION
from device.storage.sealing import seal, unseal
from device.storage.store import Store, TemplateDraft
from tests.refused import refused

CROP = bytes(np.random.default_rng(3).integers(0, 256, 5000, np.uint8))


def unit(seed: int, size: int = 64) -> np.ndarray:
    e = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    return e / np.linalg.norm(e)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLOCKFACE_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


@pytest.fixture
def database(tmp_path: Path, place: Path) -> Path:
    """Three people with two templates each, one with a crop."""
    path = tmp_path / "data" / "clockface.db"
    with Store.open(path) as store:
        for number, name in enumerate(("Ann", "Bob", "Cem")):
            store.add_person_with_templates(name, None, [TemplateDraft("m1", unit(10 * number + i), 0.5, CROP if i else None, "") for i in range(2)])
    return path


def read(database: Path) -> tuple[list[int], np.ndarray, bytes]:
    with Store.open(database) as store:
        found = store.templates("m1")
        return found.person_ids.tolist(), found.matrix, store.kept_crops(2)[0].crop if store.kept_crops(2) else b""


def test_what_is_stored_opens_with_the_keys_alone(database: Path, place: Path) -> None:
    """An independent reader of the format: nonce, AES-GCM, context."""
    device = (place / DEVICE_KEY).read_bytes()
    with closing(sqlite3.connect(database)) as db:
        identity = db.execute("SELECT id FROM identity").fetchone()[0]
        embedding, crop = db.execute("SELECT embedding, crop FROM templates WHERE person_id = 2 AND crop IS NOT NULL").fetchone()
    with closing(sqlite3.connect(place / f"{identity}.keys")) as db:
        wrapped = db.execute("SELECT wrapped FROM keys WHERE person_id = 2").fetchone()[0]
    key = AESGCM(device).decrypt(wrapped[:12], wrapped[12:], f"key of 2 in {identity}".encode())
    assert AESGCM(key).decrypt(embedding[:12], embedding[12:], b"embedding of 2 for m1") == unit(11).tobytes()
    assert AESGCM(key).decrypt(crop[:12], crop[12:], b"crop of 2 for m1") == CROP


def test_modes(place: Path, database: Path) -> None:
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in place.iterdir()} == {0o600}
    (place / DEVICE_KEY).chmod(0o644)
    read(database)
    assert stat.S_IMODE((place / DEVICE_KEY).stat().st_mode) == 0o600


def test_a_folder_open_to_others_is_closed_or_reported(place: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.chmod(0o755)
    read(database)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    place.chmod(0o755)

    def not_ours(path: str, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", not_ours)
    with refused("keys.file"):
        read(database)


def test_a_changed_byte_or_an_exchanged_person_does_not_open() -> None:
    key = bytes(32)
    sealed = seal(key, b"template", "embedding of 1 for m1")
    assert unseal(key, sealed, "embedding of 1 for m1") == b"template"
    for wrong in (
        (key, sealed[:-1] + bytes([sealed[-1] ^ 1]), "embedding of 1 for m1"),
        (key, sealed, "embedding of 2 for m1"),
        (bytes([1]) * 32, sealed, "x"),
    ):
        with refused("keys.not_opened"):
            unseal(*wrong)


def test_erasing_reaches_every_copy_made_before(database: Path, tmp_path: Path) -> None:
    backup = Path(shutil.copy(database, tmp_path / "backup.db"))
    with Store.open(database) as store:
        store.erase(2)
    shutil.copy(backup, database)
    ids, matrix, crop = read(database)  # the copy is restored, the person is not
    assert ids == [1, 1, 3, 3] and matrix.shape == (4, 64) and crop == b""
    with Store.open(database) as store:
        assert [person.name for person in store.people()] == ["Ann", "erased-2", "Cem"]
        assert store.faults() == [] and store.verify_chain("audit").ok


def test_an_id_is_not_given_again_after_an_older_copy_is_restored(database: Path, tmp_path: Path) -> None:
    backup = Path(shutil.copy(database, tmp_path / "backup.db"))
    with Store.open(database) as store:
        dan = store.add_person_with_templates("Dan", None, [TemplateDraft("m1", unit(1), 0.5)])
        store.erase(dan.id)
    shutil.copy(backup, database)
    with Store.open(database) as store:
        assert store.add_person_with_templates("Eve", None, [TemplateDraft("m1", unit(2), 0.5)]).id == dan.id + 1


def test_withdrawn_consent_removes_the_key_and_may_be_given_again(database: Path) -> None:
    with Store.open(database) as store:
        store.withdraw_consent(2)
        assert store.keys.of(2) is None and [person.name for person in store.standing("m1").known] == ["Ann", "Cem"]
        store.add_templates(2, [TemplateDraft("m1", unit(5), 0.5)])
        assert store.templates("m1").person_ids.tolist() == [1, 1, 2, 3, 3]


def test_without_keys_nobody_is_read_and_all_are_listed(database: Path, place: Path) -> None:
    shutil.rmtree(place)
    with Store.open(database) as store:
        assert len(store.templates("m1").ids) == 0 and store.kept_crops(2) == []
        assert [person.name for person in store.standing("m1").to_enrol] == ["Ann", "Bob", "Cem"]


def test_a_person_enrolled_again_after_the_keys_were_lost_is_read(database: Path, place: Path) -> None:
    for file in place.iterdir():
        file.unlink()
    with Store.open(database) as store:
        store.add_templates(2, [TemplateDraft("m1", unit(5), 0.5)])
        store.add_templates(2, [TemplateDraft("m1", unit(6), 0.5)])
        found = store.templates("m1")
        assert found.person_ids.tolist() == [2, 2] and (found.matrix == [unit(5), unit(6)]).all()
        assert [person.name for person in store.standing("m1").to_enrol] == ["Ann", "Cem"]


def test_a_lost_or_wrong_device_key_is_reported(database: Path, place: Path) -> None:
    (place / DEVICE_KEY).rename(place / "elsewhere")
    with Store.open(database) as store:
        with refused("keys.device_key", DEVICE_KEY):
            store.templates("m1")
        with refused("keys.device_key", DEVICE_KEY):
            store.add_person_with_templates("Dan", None, [TemplateDraft("m1", unit(1), 0.5)])
        assert len(store.people()) == 3  # nothing half done
        (place / DEVICE_KEY).write_bytes(b"short")
        with refused("keys.size", "32 bytes"):
            store.templates("m1")
        (place / "elsewhere").rename(place / DEVICE_KEY)
        assert len(store.templates("m1").ids) == 6


def test_rotation_keeps_everybody_and_the_old_key_opens_nothing(database: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = read(database)
    old = DeviceKey((place / DEVICE_KEY).read_bytes())
    with Store.open(database) as running:  # a running terminal
        assert main(["keys", "rotate"]) == 0 and "3 people in 1 database" in capsys.readouterr().out
        running.add_person_with_templates("Dan", None, [TemplateDraft("m1", unit(1), 0.5)])
        running.erase(4)
    after = read(database)
    assert after[0] == before[0] and (after[1] == before[1]).all() and after[2] == before[2] == CROP
    assert DeviceKey((place / DEVICE_KEY).read_bytes()).name != old.name and not (place / NEXT_KEY).exists()
    [file] = place.glob("*.keys")
    with closing(sqlite3.connect(file)) as db:
        assert old.name not in {row[0] for row in db.execute("SELECT device_key FROM keys")}


def test_an_interrupted_rotation_is_resumed(database: Path, place: Path) -> None:
    before = read(database)
    (place / NEXT_KEY).write_bytes(bytes(range(32)))
    assert (read(database)[1] == before[1]).all()  # interrupted before the first key
    [file] = place.glob("*.keys")
    PersonKeys(file.stem).rewrap(DeviceKey(bytes(range(32))))
    assert (read(database)[1] == before[1]).all()  # and before the new key took its place
    assert rotate() == (1, 3)
    assert (place / DEVICE_KEY).read_bytes() == bytes(range(32)) and (read(database)[1] == before[1]).all()


def test_templates_of_an_older_version_are_sealed_and_leave_no_plain_bytes(database: Path, place: Path) -> None:
    plain = {}
    shutil.rmtree(place)
    with closing(sqlite3.connect(database)) as raw:  # as the version before stored it
        for number, (row, has_crop) in enumerate(raw.execute("SELECT id, crop IS NOT NULL FROM templates ORDER BY id").fetchall()):
            plain[row] = unit(10 * (number // 2) + number % 2).tobytes()
            raw.execute("UPDATE templates SET embedding = ?, crop = ? WHERE id = ?", [plain[row], CROP if has_crop else None, row])
        raw.executescript("DROP TABLE identity; DELETE FROM _sqlite_migrations WHERE name = 'templates_are_sealed'")
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")
        raw.commit()
    assert all(trace in database.read_bytes() for trace in (*plain.values(), CROP[:500]))
    ids, matrix, crop = read(database)
    assert ids == [1, 1, 2, 2, 3, 3] and [row.tobytes() for row in matrix] == list(plain.values()) and crop == CROP
    files = b"".join(file.read_bytes() for folder in (database.parent, place) for file in folder.iterdir())
    assert [trace for trace in (*(p[:16] for p in plain.values()), CROP[:32], CROP[-32:], CROP[2500:2532]) if trace in files] == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CLOCKFACE_KEYS", str(tmp_path / "file"))
    with Store.open(tmp_path / "b.db") as store, refused("keys.file", "CLOCKFACE_KEYS"):
        store.add_person_with_templates("Ann", None, [TemplateDraft("m1", unit(1), 0.5)])
    assert key_folder.folder() == tmp_path / "file"
