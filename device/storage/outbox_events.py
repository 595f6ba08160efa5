"""Rows of the outbox as the events that a connector gets. Every function runs inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from device.storage.events import Event

EVENTS = """
SELECT o.id AS row_id, o.punch_id AS row_punch_id, o.correction_id, o.alarm_id, o.attempts, o.blamed, o.tried_at, o.answer, o.state, o.connector, o.queued_at,
    o.next_attempt_at, o.delivered_at, o.person_id, people.name, people.code, people.erased_at,
    p.id AS punch_id, p.occurred_at, p.direction, p.device, p.method, p.score, p.lead, p.threshold, p.clock_synchronised, p.hash AS punch_hash,
    c.occurred_at AS new_occurred_at, c.direction AS new_direction, c.reason, c.corrected_by, c.corrected_at, c.amends, c.hash AS correction_hash,
    a.occurred_at AS alarm_at, a.attempts AS refused, a.device AS alarm_device, a.key AS alarm_key
FROM outbox o LEFT JOIN people ON people.id = o.person_id
LEFT JOIN corrections c ON c.id = o.correction_id
LEFT JOIN punches p ON p.id = coalesce(o.punch_id, c.punch_id)
LEFT JOIN refusal_alarms a ON a.id = o.alarm_id
"""

REFERENCE = """
SELECT reference FROM outbox WHERE connector = :connector AND state = 'delivered' AND reference IS NOT NULL
    AND (punch_id = :punch OR correction_id = :added OR correction_id IN (SELECT id FROM corrections WHERE punch_id = :punch OR amends = :added))
    ORDER BY delivered_at DESC, id DESC LIMIT 1
"""

COLUMN = {"punch": "punch_id", "correction": "correction_id", "refused_attempts": "alarm_id"}  # kind of event -> where the outbox has its id


def event_of(db: Database, row: Mapping[str, Any]) -> Event:
    if row["alarm_id"] is not None:
        return _alarm(row)
    corrects = row["correction_id"] is not None
    kind = "correction" if corrects else "punch"
    number = row["correction_id"] if corrects else row["row_punch_id"]
    reference = None
    if corrects and (row["punch_id"] is not None or row["amends"] is not None):
        delivered = db.execute(REFERENCE, {"connector": row["connector"], "punch": row["punch_id"], "added": row["amends"]}).fetchone()
        reference = delivered[0] if delivered else None
    return Event(
        kind="correction" if corrects else "punch",
        id=number,
        key=f"{kind}-{number}-{row['correction_hash' if corrects else 'punch_hash'][:16]}",
        person_id=row["person_id"],
        name=row["name"],
        code=row["code"],
        occurred_at=seconds(row["new_occurred_at"] if corrects else row["occurred_at"]),
        direction=row["new_direction"] if corrects else row["direction"],
        device=row["device"] or "",
        method="manual" if corrects else row["method"],
        clock_synchronised=True if corrects else row["clock_synchronised"] == 1,
        score=None if corrects else row["score"],
        lead=None if corrects else row["lead"],
        threshold=None if corrects else row["threshold"],
        erased=row["erased_at"] is not None,
        punch_id=row["punch_id"] if corrects else None,
        amends=row["amends"] if corrects else None,
        reason=row["reason"],
        corrected_by=row["corrected_by"],
        corrected_at=seconds(row["corrected_at"]),
        reference=reference,
        tried_at=seconds(row["tried_at"]),
    )


def _alarm(row: Mapping[str, Any]) -> Event:
    key = f"refused_attempts-{row['alarm_id']}-{row['alarm_key']}"
    return Event(
        kind="refused_attempts",
        id=row["alarm_id"],
        key=key,
        person_id=None,
        name="",
        code=None,
        occurred_at=seconds(row["alarm_at"]),
        direction=None,
        device=row["alarm_device"],
        method="",
        clock_synchronised=True,
        tried_at=seconds(row["tried_at"]),
        attempts=row["refused"],
    )


def seconds(ms: int | None) -> float | None:
    """A stored time as s since the epoch; None if it never happened."""
    return None if ms is None else ms / 1000
