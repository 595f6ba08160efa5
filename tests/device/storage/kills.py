"""kill -9 at random moments over everything that removes or replaces data; afterwards nothing erased is readable, and nothing kept is lost.

`python -m tests.device.storage.kills --kills 200`; the suite runs a few (test_kills.py). Each victim works on one database: it enrols, records, erases,
withdraws consents, rotates the device's key, applies the retention, makes back-ups, good copies and an update's copy, stages restores. It says before each
removal what it begins. After each kill the terminal's start is played (staged restore, rescue, sweep, open), and every file, keys included, is searched for
the names, codes, embeddings, sealed templates and wrapped keys of whoever is erased.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from device.config import RetentionSettings
from device.maintenance import backup, encryption, retention
from device.maintenance.update import database_copy
from device.storage import key_folder, keys, recovery
from device.storage.database_files import sweep
from device.storage.records import Person, PunchDraft, TemplateDraft
from device.storage.schema import SCHEMA_VERSION
from device.storage.store import Store
from device.system.clock import ClockState

PASSPHRASE = "seven red kites over the yard"
MODEL = "m" * 64


def cheap_cipher(passphrase: str, salt: bytes) -> AESGCM:
    """In place of scrypt, which would take most of each victim's life."""
    return AESGCM(hashlib.sha256(salt + passphrase.encode()).digest())


def name_of(number: int) -> str:
    """A name that occurs nowhere else."""
    return f"Person-{number:05d}-{number * 7919 % 99991:05d}"


def face(number: int) -> np.ndarray:
    values = np.random.default_rng(number).normal(size=16).astype(np.float32)
    return np.asarray(values / np.linalg.norm(values), np.float32)


def code_of(number: int) -> str:
    return f"Code-{number * 104729 % 9999991:07d}-{number}"


class Victim:
    """What the victim does until it is killed; each line on `said` is an event. Method -> action."""

    def __init__(self, store: Store, dice: random.Random, seed: int, said: int) -> None:
        self._store, self._dice, self._seed, self._said = store, dice, seed, said
        self._folder, self._enrolled = store.path.parent, 0

    def say(self, *words: object) -> None:
        os.write(self._said, f"{' '.join(map(str, words))}\n".encode())

    def one(self) -> Person | None:
        people = [person for person in self._store.people() if not person.erased]
        return self._dice.choice(people) if people else None

    def enrol(self) -> None:
        self._enrolled += 1  # nobody gets the name of somebody who was erased
        number = self._seed * 1000 + self._enrolled
        draft = TemplateDraft(MODEL, face(number), 0.9, None, "test")
        person = self._store.add_person_with_templates(name_of(number), code_of(number), [draft])
        self.say("enrolled", person.id, number)

    def record(self) -> None:
        if person := self.one():
            for at in (time.time() - 900 * 86400, time.time()):  # the first is due for removal
                punch = self._store.record_punch(PunchDraft(person.id, at, "in", "door", "pin", ClockState(True, "b", 1)))
            self.say("punched", punch.id, at)

    def erase(self) -> None:
        if person := self.one():
            self.say("erase", person.id, person.name)
            self._store.erase(person.id)

    def withdraw(self) -> None:
        if person := self.one():
            self.say("withdraw", person.id, person.name)
            self._store.withdraw_consent(person.id)

    def rotate(self) -> None:
        keys.rotate()

    def retain(self) -> None:
        retention.apply(self._store, RetentionSettings(punches_days=400, erased_punches="keep"), time.time())

    def backup(self) -> None:
        target = self._folder / f"{self._seed}-{self._dice.randrange(10**6)}.backup"
        backup.create(self._store.path, None, target, PASSPHRASE)
        self.say("backed", 0, target.name)

    def copy(self) -> None:
        recovery.keep(self._store.path)

    def update(self) -> None:
        database_copy.keep_copy(self._store.path, SCHEMA_VERSION + 1)

    def stage(self) -> None:
        """The next start goes back to this back-up."""
        if sealed := sorted(self._folder.glob("*.backup")):
            chosen = self._dice.choice(sealed)
            self.say("stage", 0, chosen.name)
            backup.stage(chosen, PASSPHRASE, self._store.path)


ACTIONS = ("enrol", "enrol", "enrol", "record", "record", "erase", "withdraw", "rotate", "retain", "backup", "copy", "update", "stage")


def work(database: Path, seed: int, said: int) -> None:
    dice = random.Random(seed)
    with Store.open(database) as store:
        victim = Victim(store, dice, seed, said)
        victim.say("opened", 0, "")
        while True:
            getattr(victim, dice.choice(ACTIONS))()


@dataclass
class Found:
    """What is known of the people by what the victims said."""

    kept: dict[int, int] = field(default_factory=dict)  # id -> number
    erased: dict[int, int] = field(default_factory=dict)
    bare: set[int] = field(default_factory=set)  # people whose consent was withdrawn: no templates
    punches: dict[int, float] = field(default_factory=dict)  # id -> time, of those that stay
    backups: dict[str, tuple[dict[int, int], dict[int, float]]] = field(default_factory=dict)  # what each holds for certain
    secrets: dict[int, set[bytes]] = field(default_factory=dict)  # number -> sealed templates and wrapped keys that were seen
    staged: list[str] = field(default_factory=list)  # back-ups that the next start may go back to, the latest last
    restores: int = 0

    def take(self, lines: list[str]) -> None:
        self.staged.clear()
        for line in lines:
            event, number, rest = line.split(" ", 2)
            row = int(number)
            if event == "enrolled":
                self.kept[row] = int(rest)
            elif event == "punched":
                self.punches[row] = float(rest)
            elif event == "erase":
                self.kept.pop(row, None)
                self.erased[row] = int(rest.split("-")[1])
            elif event == "withdraw":
                self.bare.add(row)
            elif event == "backed":
                self.backups[rest] = dict(self.kept), dict(self.punches)
            elif event == "stage":
                self.staged.append(rest)

    def restored(self) -> None:
        """The start went back to a back-up: of those staged, the last one or the one before, where the last was cut off."""
        states = [self.backups[name] for name in self.staged[-2:] if name in self.backups]
        people = set.intersection(*(set(state[0].items()) for state in states)) if states else set()
        punches = set.intersection(*(set(state[1].items()) for state in states)) if states else set()
        self.kept = {row: number for row, number in people if row not in self.erased}
        self.punches = dict(punches)
        self.restores += 1


def kill_one(database: Path, seed: int, seconds: float) -> list[str]:
    reading, writing = os.pipe()
    victim = os.fork()
    if victim == 0:
        os.close(reading)
        try:
            work(database, seed, writing)
        finally:
            os._exit(3)  # only if it fails by itself
    os.close(writing)
    said = os.read(reading, 1).decode()  # it has opened the database
    time.sleep(seconds)
    os.kill(victim, signal.SIGKILL)
    _, status = os.waitpid(victim, 0)
    with os.fdopen(reading) as lines:
        said += lines.read()
    assert os.WIFSIGNALED(status), "the victim failed by itself"
    return said[: said.rfind("\n") + 1].splitlines()


def start(database: Path, found: Found) -> Store:
    if backup.apply_staged(database):
        found.restored()
    recovery.rescue(database)
    sweep(database)
    return Store.open(database)


def check(database: Path, found: Found) -> None:
    """After the start: an erasure that was begun is either complete or had not begun; what is complete is nowhere to be read."""
    with start(database, found) as store:
        people = {person.id: person for person in store.people()}
        embeddings = {person_id: store.embeddings(person_id, MODEL) for person_id in people}
        punches = {punch.id for punch in store.punches()}
        assert store.faults() == [] and all(store.verify_chain(table).ok for table in ("punches", "audit"))
        remember_secrets(store, found)
        back = found.erased.keys() - set(store.keys.erased())
    assert len(back) <= 1, "at most the one that was cut off before it began"
    for person_id in back:
        number = found.erased.pop(person_id)
        if person_id in people:  # else a restore went back to before them
            found.kept[person_id] = number
    for person_id, number in found.kept.items():
        person = people[person_id]
        assert (person.name, person.code) == (name_of(number), code_of(number)), f"{name_of(number)} is lost"
        assert embeddings[person_id] or person_id in found.bare, f"the face of {name_of(number)} is lost"
    assert found.punches.keys() <= punches, "punches are lost"
    search(database.parent.parent, found)


def remember_secrets(store: Store, found: Found) -> None:
    """What must be gone after an erasure, as it lies on the disk now."""
    if not store.keys.file.exists():
        return
    with store.reading() as db, closing(sqlite3.connect(store.keys.file)) as own:
        sealed = db.execute("SELECT person_id, embedding FROM templates").fetchall()
        wrapped = own.execute("SELECT person_id, wrapped FROM keys WHERE wrapped IS NOT NULL").fetchall()
        for person_id, secret in [*sealed, *wrapped]:
            if person_id in found.kept:
                found.secrets.setdefault(found.kept[person_id], set()).add(bytes(secret))


def search(folder: Path, found: Found) -> None:
    numbers = set(found.erased.values()) - set(found.kept.values())
    gone = {text: name_of(number) for number in numbers for text in (name_of(number).encode(), code_of(number).encode(), face(number).tobytes())}
    gone |= {secret: name_of(number) for number in numbers for secret in found.secrets.get(number, ())}
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            left = [name for text, name in gone.items() if text in content]
            assert not left, f"{path.name} holds {left[0]}, who was erased"
            assert path.stat().st_mode & 0o077 == 0, f"{path.name} is open to others"


def run(folder: Path, kills: int, seed: int = 1) -> Found:
    dice, found, database = random.Random(seed), Found(), folder / "site" / "clockface.db"
    with key_folder.apart(folder / "keys"), patch.object(encryption, "_cipher", cheap_cipher):
        Store.open(database).close()
        database.parent.chmod(0o700)
        for number in range(kills):
            found.take(kill_one(database, seed * 10_000 + number, dice.uniform(0.005, 0.8)))
            check(database, found)
            whole = [path for path in sorted(database.parent.glob("*.backup")) if path.name in found.backups]
            for old in set(database.parent.glob("*.backup")) - set(whole[-3:]):  # not known, or old
                old.unlink()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        found = run(Path(folder), args.kills, args.seed)
    print(
        f"{args.kills} kills in {time.monotonic() - begin:.0f} s: {len(found.kept)} people and {len(found.punches)} punches kept,"
        f" {len(found.erased)} erased and nowhere to be read, {found.restores} restores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
