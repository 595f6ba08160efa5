"""The keys of people: each person's templates and crops are sealed with their own key, so erasing the key erases them in every copy.

Each person's key (AES-256) is wrapped by the device's key and stored in a separate small database, which is in no backup and no copy
of the store. The folder is CLOCKFACE_KEYS, else `keys` beside `data`; mode 700, files 600. The device's key is the content of its file,
or sealed there by a TPM (`device/system/tpm.py`). The file is read for every operation: after a rotation no process uses the old key.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from device.config.places import HOME
from device.contract import ClockfaceError
from device.system import tpm
from device.system.clock import to_ms
from device.system.files import Disk
from device.system.locks import FileLock
from device.system.ownership import acting_as_owner, make_private, open_file

OWN = 0  # in place of a person's id: this terminal's own secret in a fleet, which is wrapped and rotated as the keys of people are
DEVICE_KEY, NEXT_KEY = "device.key", "device.key.next"
SIZE = 32  # bytes: AES-256
NONCE = 12  # bytes, random, in front of what is sealed
OVERHEAD = NONCE + 16  # bytes that sealing adds
TABLE = """CREATE TABLE IF NOT EXISTS keys (
    person_id INTEGER PRIMARY KEY, device_key TEXT NOT NULL, wrapped BLOB, erased_at INTEGER, CHECK ((wrapped IS NULL) <> (erased_at IS NULL))
) STRICT"""


class KeysError(ClockfaceError):
    """Keys that cannot be read, made or used; the message says what to do."""

    code = "keys.file"


def folder() -> Path:
    return Path(os.environ.get("CLOCKFACE_KEYS") or HOME / "keys")


@contextmanager
def apart(place: Path) -> Iterator[None]:
    """Use another folder of keys in this process and those it starts: for a temporary database."""
    before = os.environ.get("CLOCKFACE_KEYS")
    os.environ["CLOCKFACE_KEYS"] = str(place)
    try:
        yield
    finally:
        if before is None:
            del os.environ["CLOCKFACE_KEYS"]
        else:
            os.environ["CLOCKFACE_KEYS"] = before


def seal(key: bytes, plain: bytes, context: str) -> bytes:
    """AES-256-GCM; opens only with the same key and context."""
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, context.encode())


def unseal(key: bytes, sealed: bytes, context: str) -> bytes:
    """Open what `seal` has sealed.

    Raises:
        KeysError: another key or context, or the bytes were changed.
    """
    try:
        return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], context.encode())
    except (InvalidTag, ValueError) as error:
        raise KeysError(
            f"sealed data ({context}) was changed, or belongs to another key: restore a backup of the database, or enrol again", code="keys.not_opened"
        ) from error


@dataclass(frozen=True)
class Kind:
    """How the device's key is stored in its file."""

    tpm: bool = False
    pcrs: str = ""  # PCRs that the TPM binds it to, such as sha256:7

    def __post_init__(self) -> None:
        if self.pcrs and not self.tpm:
            raise KeysError(f"PCRs {self.pcrs} apply only to a key that a TPM seals; add --to tpm", code="keys.usage")
        tpm.check_pcrs(self.pcrs)

    def __str__(self) -> str:
        if not self.tpm:
            return "in its file"
        return f"sealed by the TPM, bound to {self.pcrs}" if self.pcrs else "sealed by the TPM"


@dataclass(frozen=True)
class DeviceKey:
    key: bytes
    kind: Kind = Kind()

    def __post_init__(self) -> None:
        if len(self.key) != SIZE:
            raise KeysError(f"a device key has {SIZE} bytes, got {len(self.key)}: put back the right {DEVICE_KEY}", code="keys.size")

    @property
    def name(self) -> str:
        """Identifies the key without revealing anything of it."""
        return hashlib.sha256(b"name of a device key" + self.key).hexdigest()[:16]


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
        with _locked(self.place), self._open() as db:
            device = _device_key(self.place)
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
        with _locked(self.place), self._open() as db:
            device = _device_key(self.place)
            sql = "INSERT INTO keys (person_id, device_key, wrapped) VALUES (?, ?, ?)"
            update = "ON CONFLICT DO UPDATE SET device_key = excluded.device_key, wrapped = excluded.wrapped WHERE erased_at IS NULL"
            db.executemany(f"{sql} {update}", [(person, device.name, seal(device.key, key, self._context(person))) for person, key in keys.items()])

    def promote(self, taken: Mapping[int, bool]) -> None:
        """For each person: the key that was waiting takes over (True), or is dropped (False)."""
        waiting = self.waiting()
        self.keep({person: waiting[person] for person, over in taken.items() if over})
        with _locked(self.place), self._open() as db:
            db.executemany("DELETE FROM keys WHERE person_id = ?", [(-person,) for person in taken])

    def erase(self, person_id: int) -> None:
        """Overwrite the key, and remember that this person is erased."""
        with _locked(self.place), self._open() as db:
            sql = "INSERT INTO keys VALUES (?, '', NULL, ?) ON CONFLICT DO UPDATE SET device_key = '', wrapped = NULL, erased_at = excluded.erased_at"
            db.execute(sql, [person_id, to_ms(time.time())])

    def forget(self, person_id: int) -> None:
        """Overwrite the key; a new one may be made for the person."""
        with _locked(self.place), self._open() as db:
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
        known = _known(self.place, {name for _, name, _ in wrapped})
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
            _make_private(self.place)
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
    with _locked(place):
        current = _device_key(place)
        unfinished = _unfinished(place, current)
        if unfinished and kind not in (None, unfinished.kind):
            _finish(place, unfinished)  # to another kind: complete it first, since keys of people may be wrapped with its key already
            unfinished = None
        return _finish(place, unfinished or _make_key(place / NEXT_KEY, kind or current.kind))


def _unfinished(place: Path, current: DeviceKey) -> DeviceKey | None:
    """The new key of an interrupted rotation; None if there is none, or if it does not open and nothing was wrapped with it."""
    try:
        return _read(place / NEXT_KEY)
    except ClockfaceError:
        if any(_wrapped_with(file) - {current.name} for file in place.glob("*.keys")):
            raise
        return None


def _finish(place: Path, new: DeviceKey) -> tuple[int, int]:
    files = sorted(place.glob("*.keys"))
    people = sum(PersonKeys(file.stem, place).rewrap(new) for file in files)
    Disk().rename(place / NEXT_KEY, place / DEVICE_KEY)
    return len(files), people


def opened(place: Path | None = None) -> DeviceKey | None:
    """The device's key, opened but never made; None: there is none yet.

    Raises:
        KeysError: it cannot be read, or does not open.
    """
    return _read((place or folder()) / DEVICE_KEY)


def kind_of(file: Path) -> Kind | None:
    """How a device's key is stored in its file, without opening it; None: there is none.

    Raises:
        KeysError: it cannot be read, or is not a key.
    """
    content = _content(file)
    return None if content is None else _kind(file, content)


def open_to_others(place: Path) -> list[Path]:
    """Those of the folder of keys and its files that others than their owner may access.

    Raises:
        KeysError: they cannot be read.
    """
    try:
        return [path for path in (place, *sorted(place.iterdir())) if path.stat().st_mode & 0o077] if place.is_dir() else []
    except OSError as error:
        raise KeysError(f"{place} cannot be read ({error.strerror}): run as the user it belongs to, or name another folder in CLOCKFACE_KEYS") from error


def _known(place: Path, names: set[str]) -> dict[str, DeviceKey]:
    """The needed ones of the device's key and the new key of an unfinished rotation, by name.

    Raises:
        KeysError: one that is needed does not open.
    """
    known: dict[str, DeviceKey] = {}
    fault: ClockfaceError | None = None
    for file in (DEVICE_KEY, NEXT_KEY):
        if not names <= known.keys():
            try:
                if key := _read(place / file):
                    known[key.name] = key
            except ClockfaceError as error:
                fault = fault or error
    if fault and not names <= known.keys():
        raise fault
    return known


def _device_key(place: Path) -> DeviceKey:
    """The device's key; made if no person's key has been wrapped yet.

    Raises:
        KeysError: it is missing although people have keys.
    """
    key = _read(place / DEVICE_KEY)
    if key is None and any(_wrapped_with(file) for file in place.glob("*.keys")):
        raise KeysError(f"{place / DEVICE_KEY} is missing: put it back; without it nobody who was enrolled here can be recognised", code="keys.device_key")
    return key or _make_key(place / DEVICE_KEY, Kind())


def _wrapped_with(file: Path) -> set[str]:
    """Names of the device's keys that keys of people are wrapped with."""
    with closing(sqlite3.connect(file)) as db:
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return {row[0] for row in db.execute("SELECT DISTINCT device_key FROM keys WHERE wrapped IS NOT NULL")} if tables else set()


def _read(file: Path) -> DeviceKey | None:
    content = _content(file)
    if content is None:
        return None
    kind = _kind(file, content)
    with _named(file):
        return DeviceKey(unsealed(content) if kind.tpm else content, kind)


def _kind(file: Path, content: bytes) -> Kind:
    with _named(file):
        return Kind(True, tpm.pcrs_of(content)) if tpm.is_sealed(content) else Kind()


@lru_cache(maxsize=2)  # the key in force and the next one
def unsealed(content: bytes) -> bytes:
    """Open a key with the TPM, which is slow; the result is cached by the content of the file."""
    return tpm.unseal(content)


def _content(file: Path) -> bytes | None:
    try:
        with acting_as_owner(file), os.fdopen(open_file(file, os.O_RDONLY), "rb") as opened:
            if os.fstat(opened.fileno()).st_mode & 0o077:
                os.fchmod(opened.fileno(), 0o600)
            return opened.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeysError(f"{file} cannot be read ({error.strerror}): it must belong to this user") from error


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Let an error of the TPM name the key's file."""
    try:
        yield
    except tpm.TpmError as error:
        raise KeysError(f"{file}: {error}", code="keys.tpm") from error


def _make_key(file: Path, kind: Kind) -> DeviceKey:
    key = DeviceKey(os.urandom(SIZE), kind)
    content = tpm.seal(key.key, kind.pcrs) if kind.tpm else key.key
    try:
        with acting_as_owner(file):
            Disk().write(file, content, 0o600)
    except OSError as error:
        raise KeysError(f"{file} cannot be written ({error.strerror}): make its folder writable for this user, or name another in CLOCKFACE_KEYS") from error
    return key


def _make_private(place: Path) -> None:
    with acting_as_owner(place / DEVICE_KEY):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(place.resolve())


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Serialise key creation and rotation."""
    try:
        _make_private(place)
        lock = FileLock(place / ".lock")
    except OSError as error:
        raise KeysError(f"{place} cannot be written ({error.strerror}): make it writable for this user, or name another folder in CLOCKFACE_KEYS") from error
    with lock:
        yield
