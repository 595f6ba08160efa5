"""The corrections table and the punches that count after it; the store and the desk open the transactions."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from device.storage import hash_chain, outbox_rows, punch_imports
from device.storage.database import StoreError
from device.storage.effective import Correction, Entry, Recorded, effective, in_order, struck
from device.storage.records import LastPunch, clean_text
from device.system.clock import to_ms


@dataclass(frozen=True)
class CorrectionDraft:
    """A correction to be made.

    About a punch (`punch_id`), about one that an earlier correction added (`amends`: that correction's id), or, with
    neither, a punch that was never recorded. `replacement`: what counts instead; None: it does not count. `door`: the
    uuid of the other terminal of the fleet whose log holds what it is about; the numbers are those of that log.
    """

    person_id: int
    punch_id: int | None
    amends: int | None
    replacement: LastPunch | None
    reason: str
    door: str = ""

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
        if self.door:
            about |= {"punch_id": None, "amends": None, "door": self.door, "door_punch": self.punch_id, "door_added": self.amends}
        return {**about, "occurred_at": moment[0], "direction": moment[1], "reason": clean_text("reason", self.reason, 1000)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> CorrectionDraft:
        replacement = None if row["direction"] is None else LastPunch(row["occurred_at"] / 1000, row["direction"])
        if row["door"]:
            return cls(row["person_id"], row["door_punch"], row["door_added"], replacement, row["reason"], row["door"])
        return cls(row["person_id"], row["punch_id"], row["amends"], replacement, row["reason"])


def check_target(db: Database, draft: CorrectionDraft) -> None:
    """Check that the punch of a correction belongs to its person.

    Raises:
        StoreError: it does not.
    """
    if draft.door:
        _check_at_door(db, draft)
        return
    own = "person_id = :person_id AND"
    if draft.punch_id is not None and not db.execute(f"SELECT 1 FROM punches WHERE {own} id = :punch_id", draft.row()).fetchone():
        raise StoreError(
            f"person {draft.person_id} has no punch {draft.punch_id}; `python -m device log --person {draft.person_id}` shows them", code="store.no_punch"
        )
    added = f"SELECT 1 FROM corrections WHERE {own} id = :amends AND punch_id IS NULL AND amends IS NULL"
    if draft.amends is not None and not db.execute(added, draft.row()).fetchone():
        raise StoreError(f"person {draft.person_id} has no punch that was added by correction {draft.amends}", code="store.no_punch")


def _check_at_door(db: Database, draft: CorrectionDraft) -> None:
    """The same for another terminal's log, as far as it has come here."""
    sql = """SELECT 1 FROM door_punches WHERE :punch IS NOT NULL AND door = :door AND id = :punch AND person_id = :person
        UNION ALL SELECT 1 FROM door_corrections WHERE :added IS NOT NULL AND device = :door AND id = :added AND person_id = :person"""
    values = {"door": draft.door, "punch": draft.punch_id, "added": draft.amends, "person": draft.person_id}
    if not db.execute(sql, values).fetchone():
        raise StoreError(
            f"person {draft.person_id} has no punch {draft.punch_id or draft.amends} at that door, or it has not come here yet", code="store.no_punch"
        )


def append(db: Database, draft: CorrectionDraft, by: str, connectors: Sequence[str] | None = None) -> int:
    """Add a correction at the end of the chain, and its outbox rows; returns its id. It runs in the caller's transaction.

    A correction of another door's punch has no outbox rows: what that door delivered is known there alone. One of an imported punch goes where that went.
    """
    check_target(db, draft)
    now = to_ms(time.time())
    following = max([now, *(c.corrected_at + 1 for c in _about(db, draft.punch_id, draft.amends, draft.door) if c.by_door or c.log or draft.door)])
    row = hash_chain.append(db, "corrections", {**draft.row(), "corrected_by": clean_text("name", by, 200), "corrected_at": following})
    correction_id = int(str(row["id"]))
    if not draft.door:
        if draft.punch_id is not None and punch_imports.is_imported(db, draft.punch_id):
            connectors = outbox_rows.that_have(db, draft.punch_id)
        outbox_rows.add(db, connectors, draft.person_id, now, correction_id=correction_id)
    return correction_id


# Corrections of one punch, own ones and other terminals'.
# active logins that could approve, and may not until it is said whose they are (`device/attendance/four_eyes.py`)
NOBODYS_LOGINS = "SELECT login FROM users WHERE active = 1 AND role IN ('hr', 'admin') AND person_id IS NULL AND elsewhere = 0 ORDER BY login"
ABOUT = """
SELECT id, punch_id, amends, occurred_at, direction, '', '', corrected_at, o.device, o.number FROM corrections
LEFT JOIN copies o ON o.chain = 'corrections' AND o.row = id
WHERE :door = '' AND (punch_id = :punch OR amends = :added OR (id = :added AND punch_id IS NULL AND amends IS NULL))
UNION ALL SELECT id, door_punch, door_added, occurred_at, direction, door, '', corrected_at, NULL, NULL FROM corrections
WHERE door IS NOT NULL AND door = :door AND (door_punch = :punch OR door_added = :added)
UNION ALL SELECT id, punch, added, occurred_at, direction, door, device, corrected_at, NULL, NULL FROM door_corrections
WHERE (door = :door AND (punch = :punch OR added = :added)) OR (:door <> '' AND device = :door AND id = :added AND punch IS NULL AND added IS NULL)
"""


def _about(db: Database, punch_id: int | None, amends: int | None, door: str) -> list[Correction]:
    if punch_id is None and amends is None:
        return []
    rows = db.execute(ABOUT, {"punch": punch_id, "added": amends, "door": door}).fetchall()
    return [_correction(row) for row in rows]


def _correction(row: Sequence[Any]) -> Correction:
    number, punch, added, at, direction, door, by_door, corrected_at, log, there = row
    return Correction(number, punch, added, None if at is None else at / 1000, direction, door, by_door, corrected_at, log or "", there)


@dataclass(frozen=True)
class Before:
    """What counted before a correction: its id in this terminal's log (None: it stands in another one), and when it was made, ms since the epoch."""

    id: int | None
    made_at: int

    def allows(self, c: Correction) -> bool:
        return c.id < self.id if self.id is not None and not c.by_door else c.corrected_at < self.made_at


def current(db: Database, punch_id: int | None, amends: int | None, door: str = "", before: Before | None = None) -> LastPunch | None:
    """What counts for a punch, or for one that a correction added, now or before a correction; None: nothing counts."""
    table = "door_punches WHERE door = :door AND" if door else "punches WHERE"
    recorded = db.execute(f"SELECT id, occurred_at, direction FROM {table} id = :punch", {"door": door, "punch": punch_id}).fetchone()
    made = [c for c in _about(db, punch_id, amends, door) if before is None or before.allows(c)]
    counting = effective([Recorded(recorded[0], recorded[1] / 1000, recorded[2], door)] if recorded else [], made)
    return LastPunch(counting[0].occurred_at, counting[0].direction) if counting else None


# Punches whose recorded or corrected time is in a period, added ones included, and all corrections of them.
PUNCHES = """
SELECT id, person_id, occurred_at, direction FROM punches WHERE occurred_at >= :since AND occurred_at < :until {mine}
UNION SELECT p.id, p.person_id, p.occurred_at, p.direction FROM corrections c JOIN punches p ON p.id = c.punch_id
WHERE c.occurred_at >= :since AND c.occurred_at < :until {mine_c}
UNION SELECT p.id, p.person_id, p.occurred_at, p.direction FROM door_corrections c JOIN punches p ON p.id = c.punch
WHERE c.door = '' AND c.occurred_at >= :since AND c.occurred_at < :until {mine_c}
"""
CORRECTIONS = """
WITH touched AS (
    SELECT c.punch_id AS id FROM corrections c JOIN punches p ON p.id = c.punch_id WHERE p.occurred_at >= :since AND p.occurred_at < :until {mine_c}
    UNION SELECT punch_id FROM corrections c WHERE c.occurred_at >= :since AND c.occurred_at < :until AND punch_id IS NOT NULL {mine_c}
    UNION SELECT punch FROM door_corrections c WHERE c.door = '' AND c.occurred_at >= :since AND c.occurred_at < :until AND punch IS NOT NULL {mine_c}
), changed AS (
    SELECT coalesce(amends, id) AS id FROM corrections c
    WHERE c.occurred_at >= :since AND c.occurred_at < :until AND punch_id IS NULL AND door IS NULL {mine_c}
    UNION SELECT added FROM door_corrections c WHERE c.door = '' AND c.occurred_at >= :since AND c.occurred_at < :until AND added IS NOT NULL {mine_c}
)
SELECT person_id, id, punch_id, amends, occurred_at, direction, '', '', corrected_at, o.device, o.number FROM corrections
LEFT JOIN copies o ON o.chain = 'corrections' AND o.row = id
WHERE punch_id IN (SELECT id FROM touched) OR (id IN (SELECT id FROM changed) AND punch_id IS NULL AND amends IS NULL AND door IS NULL)
    OR amends IN (SELECT id FROM changed)
"""
# What other terminals recorded in a period, and all corrections that concern two terminals: they are few.
AT_DOORS = "SELECT person_id, id, occurred_at, direction, door FROM door_punches WHERE occurred_at >= :since AND occurred_at < :until {mine}"
BETWEEN_DOORS = """
SELECT person_id, id, punch, added, occurred_at, direction, door, device, corrected_at, NULL, NULL FROM door_corrections WHERE 1 {mine}
UNION ALL SELECT person_id, id, door_punch, door_added, occurred_at, direction, door, '', corrected_at, NULL, NULL FROM corrections
WHERE door IS NOT NULL {mine}
"""


def entries(db: Database, since: float, until: float, person_id: int | None = None, with_struck: bool = False) -> dict[int, list[Entry]]:
    """The punches that count with since <= time < until (s since the epoch, UTC), by person and time; and those struck out, if asked for."""
    values = {"since": to_ms(since), "until": to_ms(min(until, 1e12)), "person": person_id}
    mine, mine_c = ("", "") if person_id is None else ("AND person_id = :person", "AND c.person_id = :person")
    punches, changes = defaultdict[int, list[Recorded]](list), defaultdict[int, list[Correction]](list)
    for punch_id, person, at, direction in db.execute(PUNCHES.format(mine=mine, mine_c=mine_c), values):
        punches[person].append(Recorded(punch_id, at / 1000, direction))
    for person, punch_id, at, direction, door in db.execute(AT_DOORS.format(mine=mine), values):
        punches[person].append(Recorded(punch_id, at / 1000, direction, door))
    for sql in (CORRECTIONS, BETWEEN_DOORS):
        for person, *row in db.execute(sql.format(mine=mine, mine_c=mine_c), values):
            changes[person].append(_correction(row))
    everybody = {*punches, *changes}
    left = {person: struck(punches[person], changes[person]) if with_struck else [] for person in everybody}
    counted = {person: in_order([*effective(punches[person], changes[person]), *left[person]]) for person in everybody}
    found = {person: [entry for entry in counting if since <= entry.occurred_at < until] for person, counting in counted.items()}
    return {person: counting for person, counting in found.items() if counting or person in punches}


NEWEST = """SELECT max(at) FROM (SELECT max(occurred_at) AS at FROM punches WHERE person_id = :person
    UNION ALL SELECT max(occurred_at) FROM door_punches WHERE person_id = :person
    UNION ALL SELECT max(occurred_at) FROM corrections WHERE person_id = :person
    UNION ALL SELECT max(occurred_at) FROM door_corrections WHERE person_id = :person)"""
REST_MS = 8 * 86_400_000


def newest_at_doors(db: Database, person_id: int) -> LastPunch | None:
    """The last punch that counts of somebody whom other doors of the fleet have seen or corrected within a week; None: nothing counts, or no other door has."""
    newest = db.execute(NEWEST, {"person": person_id}).fetchone()[0]
    if newest is None:
        return None
    values = {"person": person_id, "since": newest - REST_MS}
    sql = """SELECT 1 FROM door_punches WHERE person_id = :person AND occurred_at >= :since
        UNION ALL SELECT 1 FROM door_corrections WHERE person_id = :person AND max(coalesce(occurred_at, 0), corrected_at) >= :since LIMIT 1"""
    if not db.execute(sql, values).fetchone():
        return None
    counting = entries(db, (newest - REST_MS) / 1000, float("inf"), person_id).get(person_id, [])
    return LastPunch(counting[-1].occurred_at, counting[-1].direction) if counting else None
