"""The keys of people: each person's templates and crops are sealed with their own key, so erasing the key erases them in every copy.

Each person's key (AES-256) is wrapped by the device's key and stored in a separate small database, which is in no backup and no copy
of the store. The folder is CLOCKFACE_KEYS, else `keys` beside `data`; mode 700, files 600. The device's key is the content of its file,
or sealed there by a TPM (`device/system/tpm.py`). The file is read for every operation: after a rotation no process uses the old key.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from device.contract import ClockfaceError
from device.storage import device_key
from device.storage.device_key import DeviceKey, Kind
from device.storage.key_folder import DEVICE_KEY, NEXT_KEY, KeysError, ensure_private, folder, locked
from device.storage.sealing import SIZE, seal, unseal
from device.system.clock import to_ms
from device.system.files import Disk
from device.system.ownership import acting_as_owner, open_file

OWN = 0  # in place of a person's id: this terminal's own secret in a fleet, which is wrapped and rotated as the keys of people are
TABLE = """CREATE TABLE IF NOT EXISTS keys (
    person_id INTEGER PRIMARY KEY, device_key TEXT NOT NULL, wrapped BLOB, erased_at INTEGER, CHECK ((wrapped IS NULL) <> (erased_at IS NULL))
) STRICT"""


class PersonKeys:
    """The keys of the people in one store, which is named by its identity."""

    def __init__(self, store: str, place: Path | None = None) -> None:
        self.place = place or folder()
        self.file = self.place / f"{store}.keys"
        self.store = store

    def of(self, person_id: int) -> bytes | None:
        """The key of a person; None: there is none, or it was erased."""
        return self._all("WHERE person_id = ?", [person_id]).get(person_id)

    def everyone(self) -> dict[int, bytes]:
        """Person id -> key, of all people who have one."""
        return self._all("WHERE wrapped IS NOT NULL", [])

    def holders(self) -> set[int]:
        """Ids of the people who have a key, without opening any."""
        if not self.file.exists():
            return set()
        with self._open() as db:
            return {row[0] for row in db.execute("SELECT person_id FROM keys WHERE wrapped IS NOT NULL AND person_id > ?", [OWN])}

    def of_each(self, person_ids: Collection[int]) -> dict[int, bytes]:
        """Person id -> key, of those people who have one; below zero the key that takes over, see `promote`."""
        return self._all("WHERE wrapped IS NOT NULL AND abs(person_id) IN (SELECT value FROM json_each(?))", [json.dumps(sorted(person_ids))])

    def waiting(self) -> dict[int, bytes]:
        """Person id -> the key that takes over, see `promote`."""
        return {-number: key for number, key in self._all("WHERE person_id < 0", []).items()}

    def ensure(self, person_id: int) -> bytes:
        """The key of a person, made if there is none; on disk when it returns.

        Raises:
            KeysError: the key was erased, or cannot be written.
        """
        key = self.of(person_id)
        if key is not None:
            return key
        with locked(self.place), self._open() as db:
            device = device_key.in_force(self.place)
            row = [person_id, device.name, seal(device.key, os.urandom(SIZE), self._context(person_id))]
            db.execute("INSERT INTO keys (person_id, device_key, wrapped) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row)
        key = self.of(person_id)
        if key is None:
            raise KeysError(f"the key of person {person_id} is erased; enrol as a new person", code="keys.erased")
        return key

    def keep(self, keys: Mapping[int, bytes]) -> None:
        """Store keys that came from elsewhere, in one transaction; they take the place of others, never that of an erased one.

        A person's id below zero stands for the key that takes over once their templates are sealed with it, see `promote`.
        """
        with locked(self.place), self._open() as db:
            device = device_key.in_force(self.place)
            sql = "INSERT INTO keys (person_id, device_key, wrapped) VALUES (?, ?, ?)"
            update = "ON CONFLICT DO UPDATE SET device_key = excluded.device_key, wrapped = excluded.wrapped WHERE erased_at IS NULL"
            db.executemany(f"{sql} {update}", [(person, device.name, seal(device.key, key, self._context(person))) for person, key in keys.items()])

    def promote(self, taken: Mapping[int, bool]) -> None:
        """For each person: the key that was waiting takes over (True), or is dropped (False)."""
        waiting = self.waiting()
        self.keep({person: waiting[person] for person, over in taken.items() if over})
        with locked(self.place), self._open() as db:
            db.executemany("DELETE FROM keys WHERE person_id = ?", [(-person,) for person in taken])

    def erase(self, person_id: int) -> None:
        """Overwrite the key, and remember that this person is erased."""
        with locked(self.place), self._open() as db:
            sql = "INSERT INTO keys VALUES (?, '', NULL, ?) ON CONFLICT DO UPDATE SET device_key = '', wrapped = NULL, erased_at = excluded.erased_at"
            db.execute(sql, [person_id, to_ms(time.time())])

    def forget(self, person_id: int) -> None:
        """Overwrite the key; a new one may be made for the person."""
        with locked(self.place), self._open() as db:
            db.execute("DELETE FROM keys WHERE person_id = ? AND erased_at IS NULL", [person_id])

    def erased(self) -> list[int]:
        """Ids of all people whose key was erased, in order."""
        if not self.file.exists():
            return []
        with self._open() as db:
            return [row[0] for row in db.execute("SELECT person_id FROM keys WHERE erased_at IS NOT NULL ORDER BY person_id")]

    def erased_last(self) -> float:
        """When a key was erased last, s since the epoch; 0: never."""
        if not self.file.exists():
            return 0.0
        with self._open() as db:
            return float(db.execute("SELECT coalesce(max(erased_at), 0) / 1000.0 FROM keys").fetchone()[0])

    def counts(self) -> tuple[int, int]:
        """People who have a key, and people whose key was erased."""
        if not self.file.exists():
            return 0, 0
        with self._open() as db:
            have, erased = db.execute("SELECT count(wrapped), count(erased_at) FROM keys WHERE person_id > ?", [OWN]).fetchone()
        return have, erased

    def rewrap(self, new: DeviceKey) -> int:
        """Wrap everybody's key with another device key, in one transaction; returns how many."""
        keys = self.everyone()
        with self._open() as db:
            for person_id, key in keys.items():
                db.execute(
                    "UPDATE keys SET device_key = ?, wrapped = ? WHERE person_id = ?", [new.name, seal(new.key, key, self._context(person_id)), person_id]
                )
        return len(keys)

    def _all(self, where: str, values: list[Any]) -> dict[int, bytes]:
        if not self.file.exists():
            return {}
        with self._open() as db:
            rows = db.execute(f"SELECT person_id, device_key, wrapped FROM keys {where}", values).fetchall()
        wrapped = [(person_id, name, blob) for person_id, name, blob in rows if blob is not None]
        known = device_key.by_name(self.place, {name for _, name, _ in wrapped})
        opened_keys = {}
        for person_id, name, blob in wrapped:
            if name not in known:
                state = f"is not the key that {self.file.name} was written with" if (self.place / DEVICE_KEY).exists() else "is missing"
                raise KeysError(f"{self.place / DEVICE_KEY} {state}: put it back, or remove it and {self.file.name}, and enrol again", code="keys.device_key")
            opened_keys[person_id] = unseal(known[name].key, blob, self._context(person_id))
        return opened_keys

    def _context(self, person_id: int) -> str:
        return f"key of {person_id} in {self.store}"

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction; deleted content is overwritten."""
        try:
            ensure_private(self.place)
            with acting_as_owner(self.file), closing(_created(self.file)) as db:
                for pragma in ("secure_delete = ON", "synchronous = EXTRA"):
                    db.execute(f"PRAGMA {pragma}")
                db.execute(TABLE)
                with db:
                    yield db
        except (OSError, sqlite3.Error) as error:
            raise KeysError(f"{self.file} cannot be used ({error}): it and its folder must exist and belong to this user (CLOCKFACE_KEYS)") from error


def _created(file: Path) -> sqlite3.Connection:
    os.close(open_file(file, os.O_RDWR | os.O_CREAT))  # mode 600, and no link
    return sqlite3.connect(file, timeout=5)


def rotate(place: Path | None = None, kind: Kind | None = None) -> tuple[int, int]:
    """Give the device another key and wrap everybody's key with it; if it is interrupted, the next call resumes it.

    Args:
        place: the folder of keys.
        kind: how the new key is stored; None: as the current one. The key is always new, also from file to TPM and back.

    Returns:
        Number of stores and of people whose keys were wrapped with the new key.

    Raises:
        KeysError: a key cannot be read or written; the old keys stay in force.
        TpmError: the TPM cannot seal the new key; the old key stays in force.
    """
    place = place or folder()
    with locked(place):
        current = device_key.in_force(place)
        unfinished = _unfinished(place, current)
        if unfinished and kind not in (None, unfinished.kind):
            _finish(place, unfinished)  # to another kind: complete it first, since keys of people may be wrapped with its key already
            unfinished = None
        return _finish(place, unfinished or device_key.make(place / NEXT_KEY, kind or current.kind))


def _unfinished(place: Path, current: DeviceKey) -> DeviceKey | None:
    """The new key of an interrupted rotation; None if there is none, or if it does not open and nothing was wrapped with it."""
    try:
        return device_key.read(place / NEXT_KEY)
    except ClockfaceError:
        if any(device_key.wrapped_with(file) - {current.name} for file in place.glob("*.keys")):
            raise
        return None


def _finish(place: Path, new: DeviceKey) -> tuple[int, int]:
    files = sorted(place.glob("*.keys"))
    people = sum(PersonKeys(file.stem, place).rewrap(new) for file in files)
    Disk().rename(place / NEXT_KEY, place / DEVICE_KEY)
    return len(files), people
