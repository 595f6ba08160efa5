"""The device's key, which wraps the keys of people: a file with its 32 bytes, or with what a TPM has sealed of them."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from device.contract import ClockfaceError
from device.storage.key_folder import DEVICE_KEY, NEXT_KEY, KeysError, folder
from device.storage.sealing import SIZE
from device.system import tpm
from device.system.files import Disk
from device.system.ownership import acting_as_owner, open_file


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


def opened(place: Path | None = None) -> DeviceKey | None:
    """The device's key, opened but never made; None: there is none yet.

    Raises:
        KeysError: it cannot be read, or does not open.
    """
    return read((place or folder()) / DEVICE_KEY)


def kind_of(file: Path) -> Kind | None:
    """How a device's key is stored in its file, without opening it; None: there is none.

    Raises:
        KeysError: it cannot be read, or is not a key.
    """
    content = _content(file)
    return None if content is None else _kind(file, content)


def by_name(place: Path, names: set[str]) -> dict[str, DeviceKey]:
    """The needed ones of the device's key and the new key of an unfinished rotation, by name.

    Raises:
        KeysError: one that is needed does not open.
    """
    known: dict[str, DeviceKey] = {}
    fault: ClockfaceError | None = None
    for file in (DEVICE_KEY, NEXT_KEY):
        if not names <= known.keys():
            try:
                if key := read(place / file):
                    known[key.name] = key
            except ClockfaceError as error:
                fault = fault or error
    if fault and not names <= known.keys():
        raise fault
    return known


def in_force(place: Path) -> DeviceKey:
    """The device's key; made if no person's key has been wrapped yet.

    Raises:
        KeysError: it is missing although people have keys.
    """
    key = read(place / DEVICE_KEY)
    if key is None and any(wrapped_with(file) for file in place.glob("*.keys")):
        raise KeysError(f"{place / DEVICE_KEY} is missing: put it back; without it nobody who was enrolled here can be recognised", code="keys.device_key")
    return key or make(place / DEVICE_KEY, Kind())


def wrapped_with(file: Path) -> set[str]:
    """Names of the device's keys that keys of people are wrapped with."""
    with closing(sqlite3.connect(file)) as db:
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return {row[0] for row in db.execute("SELECT DISTINCT device_key FROM keys WHERE wrapped IS NOT NULL")} if tables else set()


def read(file: Path) -> DeviceKey | None:
    """The key in a file, opened; None: there is no such file."""
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


def make(file: Path, kind: Kind) -> DeviceKey:
    """A new random key, on disk when it returns."""
    key = DeviceKey(os.urandom(SIZE), kind)
    content = tpm.seal(key.key, kind.pcrs) if kind.tpm else key.key
    try:
        with acting_as_owner(file):
            Disk().write(file, content, 0o600)
    except OSError as error:
        raise KeysError(f"{file} cannot be written ({error.strerror}): make its folder writable for this user, or name another in CLOCKFACE_KEYS") from error
    return key
