"""Rows of the outbox as the events that a connector gets. Every function runs inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sqlite_utils import Database

from device.storage.events import Event, PunchHistory
from device.storage.records import LastPunch
from device.system.clock import to_ms

EVENTS = """
SELECT o.id AS row_id, o.punch_id AS row_punch_id, o.correction_id, o.alarm_id, o.notice_id, o.attempts, o.blamed, o.tried_at, o.answer, o.state, o.connector,
    o.queued_at, o.next_attempt_at, o.delivered_at, o.person_id, people.name, people.code, people.erased_at,
    p.id AS punch_id, p.occurred_at, p.direction, p.device, p.method, p.score, p.lead, p.threshold, p.clock_synchronised, p.hash AS punch_hash,
    c.occurred_at AS new_occurred_at, c.direction AS new_direction, c.reason, c.corrected_by, c.corrected_at, c.amends, c.hash AS correction_hash,
    a.occurred_at AS alarm_at, a.attempts AS refused, a.device AS alarm_device, a.key AS alarm_key,
    n.recipient_id, n.key AS notice_key
FROM outbox o LEFT JOIN people ON people.id = o.person_id
LEFT JOIN corrections c ON c.id = o.correction_id
LEFT JOIN punches p ON p.id = coalesce(o.punch_id, c.punch_id)
LEFT JOIN refusal_alarms a ON a.id = o.alarm_id
LEFT JOIN notices n ON n.id = o.notice_id
"""

ROWS_OF = {  # the rows about one punch (:id), recorded or added; each part uses an index, which one condition with OR would not
    "punch": """SELECT id FROM outbox WHERE connector = :connector AND punch_id = :id UNION ALL
        SELECT o.id FROM corrections k CROSS JOIN outbox o WHERE k.punch_id = :id AND o.connector = :connector AND o.correction_id = k.id""",
    "added": """SELECT id FROM outbox WHERE connector = :connector AND correction_id = :id UNION ALL
        SELECT o.id FROM corrections k CROSS JOIN outbox o WHERE k.amends = :id AND o.connector = :connector AND o.correction_id = k.id""",
}
REFERENCE = "SELECT reference FROM outbox WHERE id IN ({rows}) AND reference IS NOT NULL ORDER BY delivered_at DESC, id DESC LIMIT 1"

STATES = "SELECT occurred_at, direction FROM corrections WHERE punch_id = :punch OR id = :added OR amends = :added ORDER BY id"

NEAR = """
SELECT 'punch', p.id FROM punches p WHERE p.person_id = :person AND p.occurred_at BETWEEN :since AND :until
    AND EXISTS (SELECT 1 FROM outbox o WHERE o.punch_id = p.id AND o.connector = :connector AND o.state <> 'discarded')
UNION SELECT 'punch', c.punch_id FROM corrections c WHERE +c.person_id = :person AND c.punch_id IS NOT NULL AND c.occurred_at BETWEEN :since AND :until
    AND EXISTS (SELECT 1 FROM outbox o WHERE o.punch_id = c.punch_id AND o.connector = :connector AND o.state <> 'discarded')
UNION SELECT 'added', coalesce(c.amends, c.id) FROM corrections c
    WHERE +c.person_id = :person AND +c.punch_id IS NULL AND c.occurred_at BETWEEN :since AND :until
    AND EXISTS (SELECT 1 FROM outbox o WHERE o.correction_id = coalesce(c.amends, c.id) AND o.connector = :connector AND o.state <> 'discarded')
"""

# Kind of event -> where the outbox has its id.
COLUMN = {"punch": "punch_id", "correction": "correction_id", "refused_attempts": "alarm_id", "notice": "notice_id"}


def event_of(db: Database, row: Mapping[str, Any], around: float = 0.0) -> Event:
    """The event of a row. `around`: how many seconds before and after every time of its punch the person's other punches matter to the target."""
    if row["alarm_id"] is not None:
        return _alarm(row)
    if row["notice_id"] is not None:
        return _notice(row)
    corrects = row["correction_id"] is not None
    kind = "correction" if corrects else "punch"
    number = row["correction_id"] if corrects else row["row_punch_id"]
    added = row["amends"] if row["amends"] is not None else number
    about = history(db, row["connector"], ("punch", row["punch_id"]) if row["punch_id"] is not None else ("added", added))
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
        history=about,
        around=_around(db, row["connector"], row["person_id"], about, around) if around else (),
        tried_at=seconds(row["tried_at"]),
    )


def history(db: Database, connector: str, key: tuple[Literal["punch", "added"], int]) -> PunchHistory:
    """A punch as it was stated over time, and what the target calls it."""
    kind, number = key
    named = {"punch": number if kind == "punch" else None, "added": number if kind == "added" else None}
    recorded = db.execute("SELECT occurred_at, direction FROM punches WHERE id = :punch", named).fetchall()
    stated = [*recorded, *db.execute(STATES, named).fetchall()]
    reference = db.execute(REFERENCE.format(rows=ROWS_OF[kind]), {"connector": connector, "id": number}).fetchone()
    return PunchHistory(key, tuple(None if at is None else LastPunch(at / 1000, way) for at, way in stated), reference[0] if reference else None)


def _around(db: Database, connector: str, person: int, about: PunchHistory, reach: float) -> tuple[PunchHistory, ...]:
    moments = [state.occurred_at for state in about.states if state]
    limits = {"since": to_ms(min(moments) - reach), "until": to_ms(max(moments) + reach)}
    found = db.execute(NEAR, {"connector": connector, "person": person, **limits}).fetchall()
    return tuple(history(db, connector, (kind, number)) for kind, number in found)


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


def _notice(row: Mapping[str, Any]) -> Event:
    return Event(
        kind="notice",
        id=row["notice_id"],
        key=f"notice-{row['notice_id']}-{row['notice_key']}",
        person_id=None,
        name="",
        code=None,
        occurred_at=None,
        direction=None,
        device="",
        method="",
        clock_synchronised=True,
        tried_at=seconds(row["tried_at"]),
        recipient_id=row["recipient_id"],
    )


def seconds(ms: int | None) -> float | None:
    """A stored time as s since the epoch; None if it never happened."""
    return None if ms is None else ms / 1000
