"""The corrections table and the punches that count after it; the store and the desk open the transactions."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from device.storage import hash_chain, outbox_rows
from device.storage.database import StoreError
from device.storage.effective import Correction, Entry, Recorded, effective, in_order, struck
from device.storage.records import LastPunch, clean_text
from device.system.clock import to_ms


@dataclass(frozen=True)
class CorrectionDraft:
    """A correction to be made.

    About a punch (`punch_id`), about one that an earlier correction added (`amends`: that correction's id), or, with
    neither, a punch that was never recorded. `replacement`: what counts instead; None: it does not count.
    """

    person_id: int
    punch_id: int | None
    amends: int | None
    replacement: LastPunch | None
    reason: str

    def __post_init__(self) -> None:
        if self.punch_id is not None and self.amends is not None:
            raise StoreError("correction: expected a punch or an added punch, got both", code="store.correction")
        if self.punch_id is None and self.amends is None and self.replacement is None:
            raise StoreError("correction: expected the time and direction of the punch to add", code="store.correction")
        clean_text("reason", self.reason, 1000)

    def row(self) -> dict[str, hash_chain.Value]:
        """The columns that a request and a correction have in common."""
        moment = (to_ms(self.replacement.occurred_at), self.replacement.direction) if self.replacement else (None, None)
        about: dict[str, hash_chain.Value] = {"person_id": self.person_id, "punch_id": self.punch_id, "amends": self.amends}
        return {**about, "occurred_at": moment[0], "direction": moment[1], "reason": clean_text("reason", self.reason, 1000)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> CorrectionDraft:
        replacement = None if row["direction"] is None else LastPunch(row["occurred_at"] / 1000, row["direction"])
        return cls(row["person_id"], row["punch_id"], row["amends"], replacement, row["reason"])


def check_target(db: Database, draft: CorrectionDraft) -> None:
    """Check that the punch of a correction belongs to its person.

    Raises:
        StoreError: it does not.
    """
    own = "person_id = :person_id AND"
    if draft.punch_id is not None and not db.execute(f"SELECT 1 FROM punches WHERE {own} id = :punch_id", draft.row()).fetchone():
        raise StoreError(
            f"person {draft.person_id} has no punch {draft.punch_id}; `python -m device log --person {draft.person_id}` shows them", code="store.no_punch"
        )
    added = f"SELECT 1 FROM corrections WHERE {own} id = :amends AND punch_id IS NULL AND amends IS NULL"
    if draft.amends is not None and not db.execute(added, draft.row()).fetchone():
        raise StoreError(f"person {draft.person_id} has no punch that was added by correction {draft.amends}", code="store.no_punch")


def append(db: Database, draft: CorrectionDraft, by: str, connectors: Sequence[str] | None = None) -> int:
    """Add a correction at the end of the chain, and its outbox rows; returns its id. It runs in the caller's transaction."""
    check_target(db, draft)
    now = to_ms(time.time())
    row = hash_chain.append(db, "corrections", {**draft.row(), "corrected_by": clean_text("name", by, 200), "corrected_at": now})
    correction_id = int(str(row["id"]))
    outbox_rows.add(db, connectors, draft.person_id, now, correction_id=correction_id)
    return correction_id


# Punches whose recorded or corrected time is in a period, added ones included, and all corrections of them.
PUNCHES = """
SELECT id, person_id, occurred_at, direction FROM punches WHERE occurred_at >= :since AND occurred_at < :until {mine}
UNION SELECT p.id, p.person_id, p.occurred_at, p.direction FROM corrections c JOIN punches p ON p.id = c.punch_id
WHERE c.occurred_at >= :since AND c.occurred_at < :until {mine_c}
"""
CORRECTIONS = """
WITH touched AS (
    SELECT c.punch_id AS id FROM corrections c JOIN punches p ON p.id = c.punch_id WHERE p.occurred_at >= :since AND p.occurred_at < :until {mine_c}
    UNION SELECT punch_id FROM corrections c WHERE c.occurred_at >= :since AND c.occurred_at < :until AND punch_id IS NOT NULL {mine_c}
), added AS (
    SELECT coalesce(amends, id) AS id FROM corrections c WHERE c.occurred_at >= :since AND c.occurred_at < :until AND punch_id IS NULL {mine_c}
)
SELECT id, person_id, punch_id, amends, occurred_at, direction FROM corrections
WHERE punch_id IN (SELECT id FROM touched) OR id IN (SELECT id FROM added) OR amends IN (SELECT id FROM added)
"""


def entries(db: Database, since: float, until: float, person_id: int | None = None, with_struck: bool = False) -> dict[int, list[Entry]]:
    """The punches that count with since <= time < until (s since the epoch, UTC), by person and time; and those struck out, if asked for."""
    values = {"since": to_ms(since), "until": to_ms(min(until, 1e12)), "person": person_id}
    mine, mine_c = ("", "") if person_id is None else ("AND person_id = :person", "AND c.person_id = :person")
    punches, changes = defaultdict[int, list[Recorded]](list), defaultdict[int, list[Correction]](list)
    for punch_id, person, at, direction in db.execute(PUNCHES.format(mine=mine, mine_c=mine_c), values):
        punches[person].append(Recorded(punch_id, at / 1000, direction))
    for correction_id, person, punch, amends, at, direction in db.execute(CORRECTIONS.format(mine=mine, mine_c=mine_c), values):
        changes[person].append(Correction(correction_id, punch, amends, None if at is None else at / 1000, direction))
    doors = _doors(db, mine, values)
    everybody = {*punches, *changes, *doors}
    left = {person: struck(punches[person], changes[person]) if with_struck else [] for person in everybody}
    counted = {person: in_order([*effective(punches[person], changes[person]), *left[person], *doors[person]]) for person in everybody}
    return {person: [entry for entry in counting if since <= entry.occurred_at < until] for person, counting in counted.items()}


def _doors(db: Database, mine: str, values: dict[str, Any]) -> defaultdict[int, list[Entry]]:
    """What other terminals of the fleet have recorded, by person."""
    found = defaultdict[int, list[Entry]](list)
    sql = f"SELECT person_id, occurred_at, direction, device FROM door_punches WHERE occurred_at >= :since AND occurred_at < :until {mine}"
    for person, at, direction, device in db.execute(sql, values):
        found[person].append(Entry(at / 1000, direction, door=device))
    return found
