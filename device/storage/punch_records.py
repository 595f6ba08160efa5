"""What the terminal records in an open database file: punches, unknown faces and refused attempts; and the corrections of punches."""

from __future__ import annotations

import time
from collections.abc import Sequence

from device.storage import corrections, hash_chain, outbox_rows, punch_imports, refusals
from device.storage.corrections import CorrectionDraft
from device.storage.database import StoreError, explained
from device.storage.people_reads import PeopleReads
from device.storage.records import LastPunch, Punch, PunchDraft
from device.storage.refusals import Refusal, RefusalReason, Refusals
from device.system.clock import to_ms


class NotActive(StoreError):
    """A punch for a person who is deactivated or erased."""

    code = "store.not_active"


class PunchRecords(PeopleReads):
    """Punches with their outbox rows, corrections, sightings and refusals."""

    # punches

    def record_punch(self, draft: PunchDraft, connectors: Sequence[str] | None = None) -> Punch:
        """Record a punch with an outbox row for each connector, in one transaction; on disk when this returns.

        Args:
            connectors: None: every target of `outbox.set_targets`.

        Raises:
            StoreError: the person does not exist or is not active; the disk is full, the database locked or damaged.
        """
        with self._writing():
            if not self._one(draft.person_id).active:
                raise NotActive(f"person {draft.person_id} is not active, no punch was recorded; `people activate` lets them be recorded again")
            row = hash_chain.append(self._db, "punches", draft.row())
            punch = Punch.from_row(row)
            outbox_rows.add(self._db, connectors, punch.person_id, to_ms(time.time()), punch_id=punch.id)
        return punch

    def last_punch(self, person_id: int) -> LastPunch | None:
        """The last punch of a person that counts, as its newest correction states it: a punch of a wrong clock counts at its true time.

        A later one that a correction added or that was imported, or in a fleet one at another door, counts instead.
        """
        recorded = """SELECT coalesce(c.occurred_at, p.occurred_at) / 1000.0, coalesce(c.direction, p.direction) FROM punches p
            LEFT JOIN corrections c ON c.id = (SELECT max(id) FROM corrections WHERE punch_id = p.id)
            WHERE p.person_id = ? AND p.method <> 'imported' AND (c.id IS NULL OR c.direction IS NOT NULL) ORDER BY p.id DESC LIMIT 1"""
        added = """SELECT occurred_at / 1000.0, direction FROM corrections c WHERE person_id = ? AND punch_id IS NULL AND door IS NULL AND direction IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM corrections n WHERE n.person_id = c.person_id AND n.amends = coalesce(c.amends, c.id) AND n.id > c.id)
            ORDER BY occurred_at DESC LIMIT 1"""
        with explained(self.path):
            if (newest := corrections.newest_at_doors(self._db, person_id)) is not None:
                return newest
            found = [row for one in (recorded, added, punch_imports.LAST) if (row := self._db.execute(one, [person_id]).fetchone())]
        return LastPunch(*max(found, key=lambda row: float(row[0] or 0))) if found else None

    def newest_punch(self) -> float:
        """Time of the newest punch, s since the epoch; 0 where there is none."""
        with explained(self.path):
            return float(self._db.execute("SELECT coalesce(max(occurred_at), 0) / 1000.0 FROM punches").fetchone()[0])

    def punches(self, since: float = 0.0, until: float = float("inf"), person_id: int | None = None) -> list[Punch]:
        """Punches with since <= occurred_at < until (s since the epoch, UTC), by time."""
        limits = {"since": to_ms(since), "until": to_ms(min(until, 1e12)), "person": person_id}
        sql = "SELECT * FROM punches WHERE occurred_at >= :since AND occurred_at < :until AND (:person IS NULL OR person_id = :person)"
        with explained(self.path):
            return [Punch.from_row(row) for row in self._db.query(f"{sql} ORDER BY occurred_at, id", limits)]

    def correct(
        self, person_id: int, punch_id: int | None, replacement: LastPunch | None, reason: str, by: str, connectors: Sequence[str] | None = None
    ) -> int:
        """Add a correction with its outbox rows at once; returns its id. Nothing is updated in place. `attendance/review.py` adds request and approval.

        Args:
            punch_id: the punch it is about; None adds one that was never recorded.
            replacement: time and direction that count instead; None: the punch does not count.
            connectors: None: every target of `outbox.set_targets`.

        Raises:
            StoreError: no such punch, or the period is locked.
        """
        with self._writing():
            self._one(person_id)
            return corrections.append(self._db, CorrectionDraft(person_id, punch_id, None, replacement, reason), by, connectors)

    # sightings

    def add_sighting(self, occurred_at: float, count: int, best_score: float | None) -> None:
        """Record that unknown faces were seen; no biometrics. Bounds: count >= 1."""
        with self._writing():
            sql = "INSERT INTO sightings (occurred_at, count, best_score) VALUES (?, ?, ?)"
            self._db.execute(sql, [to_ms(occurred_at), count, None if best_score is None else float(best_score)])

    # refused attempts

    def add_refusal(self, now: float, reason: RefusalReason, score: float | None, pictures: int) -> None:
        """Record that a face that would have been recorded was not taken for a living one; no person, no picture.

        Args:
            now: s since the epoch.
            reason: "picture" (the score says so) or "not_judged" (nothing could be judged).
            score: 0..1, 1 a living face; None where nothing was judged.
            pictures: how many were judged.
        """
        with self._writing():
            refusals.add(self._db, Refusal(now, reason, score, pictures))

    def add_refusal_alarm(self, now: float, attempts: int, device: str) -> None:
        """Queue one event for the targets that take it: one face was refused several times in a short time. `now`: s since the epoch."""
        with self._writing():
            refusals.add_alarm(self._db, now, attempts, device)

    def refusals(self, since: float = 0.0, until: float = float("inf")) -> Refusals:
        """The refused attempts with since <= occurred_at < until (s since the epoch): how many for each reason, and the last one."""
        with explained(self.path), self._snapshot():
            return refusals.between(self._db, to_ms(since), to_ms(min(until, 1e12)))
