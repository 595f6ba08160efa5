"""One face under two names: what a terminal of a fleet found, and what HR decided. Nothing is merged by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlite_utils import Database

from device.contract import phrase
from device.storage.audit import Action
from device.storage.database import StoreError
from device.storage.records import Person
from device.storage.store import Store

TWO = "two people"


@dataclass(frozen=True)
class SameFace:
    """Two people who are active and have the same face, or the same code at two terminals."""

    key: str
    people: tuple[Person, Person]  # the older record first
    score: float | None  # of the faces; None where the code is the same
    device: str  # that found it

    @property
    def words(self) -> str:
        one, other = (f"{person.name} ({person.code or f'id {person.id}'})" for person in self.people)
        same = "the same code" if self.score is None else f"faces as alike as one person's (score {self.score:.2f})"
        return f"{one} and {other} have {same}, found at {self.device}"


def key_of(one: str, other: str) -> str:
    """The key of a finding about two people, by their uuids."""
    return " ".join(sorted((one, other)))


def tell(db: Database, one: str, other: str, score: float | None, device: str) -> None:
    """Note a finding, inside a transaction; one that is known, decided or not, stays as it is."""
    values = [key_of(one, other), *sorted((one, other)), score, device]
    db.execute("INSERT INTO findings (key, one, other, score, device) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values)


def open_findings(db: Database) -> list[SameFace]:
    """What HR has still to decide: a pair of which one is deactivated, merged or erased is settled."""
    return list(_found(db, "f.decided IS NULL"))


def _found(db: Database, where: str) -> Iterator[SameFace]:
    pairs = f"""SELECT f.key, f.score, f.device, a.id AS one, b.id AS other FROM findings f
        JOIN people a ON a.uuid = f.one AND a.active = 1 JOIN people b ON b.uuid = f.other AND b.active = 1 WHERE {where} ORDER BY f.key"""
    for row in list(db.query(pairs)):
        people = [Person.from_row(one) for one in db.query("SELECT * FROM people WHERE id IN (?, ?) ORDER BY created_at, id", [row["one"], row["other"]])]
        yield SameFace(row["key"], (people[0], people[1]), row["score"], row["device"])


def decide_two(store: Store, key: str, by: str) -> SameFace:
    """HR has looked: they are two people. They stay so at every terminal.

    Raises:
        StoreError: there is no such finding, or it is settled.
    """
    with store.transaction() as db:
        found = next((one for one in open_findings(db) if one.key == key), None)
        if found is None:
            raise StoreError(phrase("finding.settled", "this is settled already; nothing was changed"), code="store.decided")
        db.execute("UPDATE findings SET decided = ? WHERE key = ?", [TWO, key])
        store.note_by(by, Action.TWO_PEOPLE_DECIDED, person_ids=[person.id for person in found.people])
    return found
