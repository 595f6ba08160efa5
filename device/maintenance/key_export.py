"""The keys of people in one file sealed with a passphrase, for a board that dies: with the latest back-up, another board knows everybody's face again.

Nobody has to make one, and whoever does takes over a duty: a key that lies outside the board survives an erasure on the board (docs/privacy.md).
So a note beside the keys remembers by fingerprints which keys were given out, and the import never brings back who is erased here or in the file.

Layout: MAGIC, 16 bytes of salt, 12 bytes of nonce, the sealed JSON, then the SHA-256 of all that, which tells a torn file from a wrong passphrase.
The key comes from argon2id (RFC 9106, the second recommended set: 64 MiB, 3 passes, 4 lanes), the seal is AES-256-GCM.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from device.maintenance.encryption import SHORTEST
from device.storage.audit import Action
from device.storage.key_folder import KeysError
from device.storage.keys import OWN, PersonKeys
from device.storage.store import Store
from device.system.common_passwords import common
from device.system.files import Disk
from device.system.foreign_files import write_whole
from device.system.number_of import number_of
from device.system.ownership import acting_as_owner

MAGIC = b"CLOCKFACE-KEYS-1\n"
SALT, NONCE, DIGEST = 16, 12, 32  # bytes
HEAD = len(MAGIC) + SALT + NONCE
LARGEST = 20_000_000  # bytes: keys of 200,000 people
FEWEST = 6  # different characters of a passphrase
DESTROY = "make a new export, and destroy the old one with every back-up from before the erasure: together they still show the face"


@dataclass(frozen=True)
class Export:
    """What the file holds."""

    store: str  # identity of the database
    made_at: float  # s since the epoch
    keys: Mapping[int, bytes]  # person id -> key; below zero the key that takes over (`PersonKeys.promote`)
    erased: tuple[int, ...]  # people whose key was erased before


@dataclass(frozen=True)
class Imported:
    made_at: float
    taken: int  # people whose key is here now
    kept: int  # people who had one here already
    erased: int  # people who were erased before the export was made, and are erased here now
    without: tuple[str, ...]  # names of people whose templates nobody can open: they enrol again


@dataclass(frozen=True)
class GivenOut:
    """The newest export that was made of these keys, and what has changed since."""

    made_at: float
    missing: int  # people whose key is not in it
    erased: int  # people whose key is in it although they are erased now

    @property
    def words(self) -> str:
        """One line; says what to do where something is to be done."""
        day = datetime.fromtimestamp(self.made_at, timezone.utc).date()
        if self.erased:
            return f"the export of the keys of {day} still has {number_of(self.erased, 'person')} erased since: {DESTROY}"
        if self.missing:
            return f"the export of the keys of {day} lacks {number_of(self.missing, 'person')} enrolled since: make a new one"
        return f"everybody's key is in the export of {day}"


def check_passphrase(passphrase: str) -> None:
    """Raises:
    KeysError: somebody who has the file would soon guess it.
    """
    if len(passphrase) < SHORTEST or len(set(passphrase)) < FEWEST or common(passphrase.casefold()):
        words = f"at least {SHORTEST} characters, {FEWEST} of them different, and no common password with digits around it"
        raise KeysError(f"this passphrase is easy to guess; it needs {words}: five or six words in a row that nobody has said before", code="keys.weak")


def export(store: Store, target: Path, passphrase: str) -> int:
    """Write the keys of everybody in a store into one file of mode 600, whole or not at all; returns the number of people.

    Raises:
        KeysError: a weak passphrase, nobody has a key, a key does not open, or the file cannot be written.
    """
    check_passphrase(passphrase)
    found = {person: key for person, key in store.keys.everyone().items() if person != OWN}
    if not found:
        raise KeysError("nobody has a key yet, so there is nothing to export: enrol somebody first", code="keys.nobody")
    made = Export(store.keys.store, time.time(), found, tuple(store.keys.erased()))
    try:
        write_whole(target, sealed(made, passphrase), 0o600)
    except OSError as error:
        raise KeysError(f"no keys were written to {target}: {error.strerror or error}; give a place that has room and may be written") from error
    _note(store.keys, made)
    with store.transaction():
        store.note(Action.KEYS_EXPORTED, people=len(_people(found)))
    return len(_people(found))


def take_in(store: Store, file: bytes, passphrase: str) -> Imported:
    """Bring the keys of an export to a store that was restored from a back-up.

    A key that is here stays, and who is erased, here or in the file, stays erased. People of this store who were added after the export
    was made are left alone: they may have the number of somebody who was not in the back-up.

    Raises:
        KeysError: no export, torn, a wrong passphrase, or of another database.
    """
    given = opened(file, passphrase)
    if given.store != store.keys.store:
        words = "these keys belong to another database: restore the latest back-up of the terminal they come from, then import them"
        raise KeysError(words, code="keys.other_database")
    with store.reading() as db:
        added = dict(db.execute("SELECT id, created_at / 1000.0 FROM people").fetchall())
        forgotten = {row[0] for row in db.execute("SELECT id FROM people WHERE erased_at IS NOT NULL")}
    later = {person for person, at in added.items() if at > given.made_at}
    gone = [person for person in given.erased if person not in later and person not in store.keys.erased()]
    for person in gone:
        store.erase(person) if person in added else store.keys.erase(person)
    here, erased = store.keys.everyone(), {*store.keys.erased(), *forgotten}
    new = {person: key for person, key in given.keys.items() if person not in here and abs(person) not in later | erased}
    store.keys.keep(new)
    _note(store.keys, given)
    with store.transaction():
        store.note(Action.KEYS_IMPORTED, people=len(_people(new)), erased=len(gone))
    return Imported(given.made_at, len(_people(new)), len(_people(given.keys) & here.keys()), len(gone), _without(store))


def given_out(store: str, place: Path | None = None) -> GivenOut | None:
    """How the newest export stands to the keys of a store, which is named by its identity; None: none was made."""
    keys = PersonKeys(store, place)
    try:
        with acting_as_owner(_note_of(keys)):
            noted = json.loads(_note_of(keys).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise KeysError(f"{_note_of(keys)} cannot be read ({error}): export the keys again") from error
    now = {str(person): _fingerprint(key) for person, key in keys.everyone().items() if person > OWN}
    there = noted["keys"]
    return GivenOut(noted["made_at"], sum(there.get(person) != value for person, value in now.items()), len(there.keys() & set(map(str, keys.erased()))))


def sealed(made: Export, passphrase: str) -> bytes:
    content = {"store": made.store, "made_at": made.made_at, "erased": made.erased, "keys": {person: key.hex() for person, key in made.keys.items()}}
    head = MAGIC + os.urandom(SALT + NONCE)
    body = head + _cipher(passphrase, head).encrypt(head[-NONCE:], json.dumps(content).encode(), MAGIC)
    return body + hashlib.sha256(body).digest()


def opened(file: bytes, passphrase: str) -> Export:
    """Raises:
    KeysError: no export, torn, or a wrong passphrase.
    """
    if not file.startswith(MAGIC):
        raise KeysError("this is no export of keys: choose the file that was downloaded, or written by `python -m device keys export`", code="keys.no_export")
    body, digest = file[:-DIGEST], file[-DIGEST:]
    if len(body) <= HEAD or hashlib.sha256(body).digest() != digest:
        raise KeysError("the file of keys is torn or was changed: copy it again from where it was kept; nothing was imported", code="keys.torn")
    try:
        content = json.loads(_cipher(passphrase, body[:HEAD]).decrypt(body[HEAD - NONCE : HEAD], body[HEAD:], MAGIC))
        keys = {int(person): bytes.fromhex(key) for person, key in content["keys"].items()}
        return Export(content["store"], content["made_at"], keys, tuple(content["erased"]))
    except InvalidTag as error:
        raise KeysError("wrong passphrase; nothing was imported", code="keys.passphrase") from error


def _cipher(passphrase: str, head: bytes) -> AESGCM:
    salt = head[len(MAGIC) : len(MAGIC) + SALT]
    return AESGCM(hash_secret_raw(passphrase.encode(), salt, time_cost=3, memory_cost=65_536, parallelism=4, hash_len=32, type=Type.ID))


def _people(keys: Mapping[int, Any]) -> set[int]:
    return {person for person in keys if person > OWN}


def _without(store: Store) -> tuple[str, ...]:
    """Names of the people who have templates, but no key."""
    with store.reading() as db:
        rows = db.execute("SELECT DISTINCT p.id, p.name FROM templates t JOIN people p ON p.id = t.person_id ORDER BY p.name").fetchall()
    holders = store.keys.holders()
    return tuple(name for person, name in rows if person not in holders)


def _fingerprint(key: bytes) -> str:
    """Tells whether a key is the same, without revealing anything of it: the key is random."""
    return hashlib.sha256(b"fingerprint of a person's key" + key).hexdigest()[:16]


def _note_of(keys: PersonKeys) -> Path:
    return keys.place / f"{keys.store}.exported"


def _note(keys: PersonKeys, made: Export) -> None:
    content = {"made_at": made.made_at, "keys": {person: _fingerprint(key) for person, key in made.keys.items() if person > OWN}}
    with acting_as_owner(_note_of(keys)):
        Disk().write(_note_of(keys), json.dumps(content).encode(), 0o600)
