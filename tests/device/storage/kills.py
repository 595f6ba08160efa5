"""kill -9 at random moments over everything that removes or replaces data; afterwards nothing erased is readable, and nothing kept is lost.

`python -m tests.device.storage.kills --kills 200`; the suite runs a few (test_kills.py). Each victim works on one database: it enrols, erases, withdraws
consents, rotates the device's key, makes back-ups and good copies, restores. It says before each removal what it begins and afterwards that it is done.
After each kill the terminal's start is played (staged restore, rescue, sweep, open), and every file is searched.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from device.maintenance import backup
from device.storage import keys, recovery
from device.storage.database_files import sweep
from device.storage.records import TemplateDraft
from device.storage.store import Store

PASSPHRASE = "seven red kites over the yard"
MODEL = "m" * 64


def name_of(number: int) -> str:
    """A name that occurs nowhere else."""
    return f"Person-{number:05d}-{number * 7919 % 99991:05d}"


def face(number: int) -> np.ndarray:
    values = np.random.default_rng(number).normal(size=16).astype(np.float32)
    return np.asarray(values / np.linalg.norm(values), np.float32)


def work(database: Path, seed: int, said: int) -> None:
    """What the victim does until it is killed; each line on `said` is an event."""
    dice = random.Random(seed)
    with Store.open(database) as store:
        while True:
            action = dice.choice(("enrol", "enrol", "erase", "withdraw", "rotate", "backup", "copy", "stage"))
            people = [person for person in store.people() if not person.erased]
            if action == "enrol":
                number = seed * 1000 + dice.randrange(1000)
                person = store.add_person_with_templates(name_of(number), None, [TemplateDraft(MODEL, face(number), 0.9, None, "test")])
                os.write(said, f"enrolled {person.id} {number}\n".encode())
            elif action in ("erase", "withdraw") and people:
                person = dice.choice(people)
                os.write(said, f"{action} {person.id} {person.name}\n".encode())
                store.erase(person.id) if action == "erase" else store.withdraw_consent(person.id)
            elif action == "rotate":
                keys.rotate()
            elif action == "backup":
                target = database.parent / f"{seed}-{dice.randrange(10**6)}.backup"
                backup.create(database, None, target, PASSPHRASE)
            elif action == "copy":
                recovery.keep(database)
            elif action == "stage" and (sealed := sorted(database.parent.glob("*.backup"))):
                backup.stage(sealed[-1], PASSPHRASE, database)
                backup.staged_file(database).unlink()  # otherwise the next start goes back to it, which this does not count as a loss


@dataclass
class Found:
    """What is known of the people by what the victims said."""

    kept: dict[int, str] = field(default_factory=dict)  # id -> name
    erased: dict[int, str] = field(default_factory=dict)
    bare: set[int] = field(default_factory=set)  # people whose consent was withdrawn: no templates

    def take(self, lines: list[str]) -> None:
        for line in lines:
            event, person_id, rest = line.split(" ", 2)
            if event == "enrolled":
                self.kept[int(person_id)] = name_of(int(rest))
            elif event == "erase":
                self.erased[int(person_id)] = self.kept.pop(int(person_id), rest)
            else:
                self.bare.add(int(person_id))


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
    time.sleep(seconds)
    os.kill(victim, signal.SIGKILL)
    _, status = os.waitpid(victim, 0)
    with os.fdopen(reading) as lines:
        said = lines.read()
    assert os.WIFSIGNALED(status), "the victim failed by itself"
    return said[: said.rfind("\n") + 1].splitlines()


def start(database: Path) -> Store:
    backup.apply_staged(database)
    recovery.rescue(database)
    sweep(database)
    return Store.open(database)


def check(database: Path, found: Found) -> None:
    """After the start: an erasure that was begun is either complete or had not begun; what is complete is nowhere to be read."""
    with start(database) as store:
        people = {person.id: person for person in store.people()}
        embeddings = {person_id: store.embeddings(person_id, MODEL) for person_id in people}
        assert store.faults() == [] and all(store.verify_chain(table).ok for table in ("punches", "audit"))
    back = {person_id for person_id in found.erased if person_id in people and not people[person_id].erased}
    assert len(back) <= 1, "at most the one that was cut off before it began"
    for person_id in back:
        found.kept[person_id] = found.erased.pop(person_id)
    for person_id, name in found.kept.items():
        assert people[person_id].name == name, f"{name} is lost"
        assert embeddings[person_id] or person_id in found.bare, f"the face of {name} is lost"
    gone = [name.encode() for name in found.erased.values()]
    for path in database.parent.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [name for name in gone if name in content], f"{path.name} holds somebody who was erased"


def run(folder: Path, kills: int, seed: int = 1) -> Found:
    dice, found, database = random.Random(seed), Found(), folder / "site" / "clockface.db"
    with keys.apart(folder / "keys"):
        Store.open(database).close()
        for number in range(kills):
            found.take(kill_one(database, seed * 10_000 + number, dice.uniform(0.005, 0.25)))
            check(database, found)
            for old in sorted(database.parent.glob("*.backup"))[:-3]:
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
    print(f"{args.kills} kills in {time.monotonic() - begin:.0f} s: {len(found.kept)} people kept, {len(found.erased)} erased and nowhere to be read")
    return 0


if __name__ == "__main__":
    sys.exit(main())
