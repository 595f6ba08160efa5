"""The outbox and targets tables: one outbox row per event and connector. Every function runs inside the caller's transaction.

A row holds ids only: name and code are read at delivery. The stored answer of the target is deleted when the person is
erased.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlite_utils import Database

from device.storage.events import Event
from device.storage.outbox_events import COLUMN, EVENTS, ROWS_OF, event_of, seconds
from device.system.clock import to_ms

LONGEST_PAUSE_MS = 2 * 86_400_000  # a retry further ahead was planned before the clock was set back

DUE = f"""{EVENTS}
WHERE o.connector = :connector AND o.state = 'waiting' AND coalesce(o.person_id, -n.recipient_id, 0) NOT IN
    (SELECT coalesce(h.person_id, -hn.recipient_id, 0) FROM outbox h LEFT JOIN notices hn ON hn.id = h.notice_id
        WHERE h.connector = :connector AND h.state = 'waiting' AND h.next_attempt_at > :now AND h.next_attempt_at < :now + {LONGEST_PAUSE_MS})
ORDER BY o.id LIMIT :limit
"""

COMPLETE = """
SELECT min(min(coalesce(c.occurred_at, p.occurred_at, added.occurred_at), coalesce(p.occurred_at, added.occurred_at, c.occurred_at)))
FROM outbox o LEFT JOIN corrections c ON c.id = o.correction_id LEFT JOIN punches p ON p.id = coalesce(o.punch_id, c.punch_id)
LEFT JOIN corrections added ON added.id = c.amends
WHERE o.connector = :connector AND (o.state = 'waiting' OR :dead_count AND o.state = 'dead')
"""

SUMMARY = """
SELECT t.connector, t.active, t.failures, t.next_attempt_at, t.error, t.error_at, t.delivered_at,
    (SELECT count(*) FROM outbox o WHERE o.connector = t.connector AND o.state = 'waiting') AS waiting,
    (SELECT queued_at FROM outbox o WHERE o.connector = t.connector AND o.state = 'waiting' ORDER BY id LIMIT 1) AS oldest_at,
    (SELECT count(*) FROM outbox o WHERE o.connector = t.connector AND o.state = 'dead') AS dead
FROM targets t ORDER BY t.connector
"""


@dataclass(frozen=True)
class Waiting:
    """An event that is due, with its row of the outbox."""

    row_id: int
    attempts: int  # failed ones
    blamed: int  # of these, those while the target accepted other events
    tried_at: float | None  # s since the epoch
    event: Event


@dataclass(frozen=True)
class Mark:
    """The new state of a row after an attempt. Times are ms since the epoch."""

    event: Event
    state: str  # waiting, delivered or dead
    answer: str
    tried_at: int
    attempts: int = 0
    blamed: int = 0
    next_attempt_at: int = 0
    reference: str | None = None
    others: Mapping[tuple[str, int], str] = field(default_factory=dict)  # what the target now calls other punches (`PunchHistory.key`)

    def names(self) -> dict[tuple[str, int], str]:
        """What the target calls punches from now on: the event's own and others."""
        about = self.event.history if self.state == "delivered" else None
        own = self.reference if self.reference is not None else self.event.reference
        return {**({about.key: own} if about and own is not None else {}), **self.others}


@dataclass(frozen=True)
class TargetState:
    """The state of one target. Times are s since the epoch, None if it never happened."""

    connector: str
    last_delivered_at: float | None
    failures: int  # in a row, of the target as a whole
    next_attempt_at: float | None  # while it is failing
    error: str | None  # message of its last failure
    error_at: float | None

    def pauses(self, now: float) -> bool:
        return self.next_attempt_at is not None and now < self.next_attempt_at < now + LONGEST_PAUSE_MS / 1000


@dataclass(frozen=True)
class TargetHealth(TargetState):
    """The state of a target and what waits for it."""

    active: bool  # configured: new punches are queued for it
    waiting: int
    oldest_waiting_at: float | None  # when the oldest waiting event was queued
    dead: int


@dataclass(frozen=True)
class DeadLetter:
    """An event that a target refuses for good."""

    id: int
    connector: str
    kind: str  # punch, correction, refused_attempts or notice
    event_id: int
    person_id: int | None
    code: str | None
    occurred_at: float | None
    direction: str | None
    tried_at: float | None
    answer: str | None


def add(db: Database, connectors: Iterable[str] | None, person_id: int, now: int, punch_id: int | None = None, correction_id: int | None = None) -> None:
    """Queue a punch or a correction for these connectors; None: for every configured target that takes punches."""
    if connectors is None:
        connectors = [row[0] for row in db.execute("SELECT connector FROM targets WHERE active = 1 AND takes_punches = 1").fetchall()]
    for connector in connectors:
        fields = [connector, person_id, punch_id, correction_id, now]
        db.execute("INSERT INTO main.outbox (connector, person_id, punch_id, correction_id, queued_at) VALUES (?, ?, ?, ?, ?)", fields)


def that_have(db: Database, punch_id: int) -> list[str]:
    """The targets for which a punch was queued."""
    return [row[0] for row in db.execute("SELECT connector FROM outbox WHERE punch_id = ?", [punch_id]).fetchall()]


def add_alarm(db: Database, alarm_id: int, now: int) -> None:
    """Queue an alarm for every configured target that takes alarms."""
    sql = "INSERT INTO outbox (connector, alarm_id, queued_at) SELECT connector, ?, ? FROM targets WHERE active = 1 AND takes_alarms = 1"
    db.execute(sql, [alarm_id, now])


@dataclass(frozen=True)
class Takes:
    """What is queued for a target, beside notices."""

    punches: bool = True  # and corrections
    alarms: bool = False  # of refused attempts


def set_targets(db: Database, targets: Mapping[str, Takes]) -> None:
    """Mark exactly these targets as configured, each with what it takes; what waits for others stays, except alarms that cannot be taken."""
    db.execute("UPDATE targets SET active = 0")
    sql = """INSERT INTO targets (connector, active, takes_alarms, takes_punches) VALUES (?, 1, ?, ?)
        ON CONFLICT (connector) DO UPDATE SET active = 1, takes_alarms = excluded.takes_alarms, takes_punches = excluded.takes_punches"""
    for connector, takes in targets.items():
        db.execute(sql, [connector, int(takes.alarms), int(takes.punches)])
    untaken = "alarm_id IS NOT NULL AND connector IN (SELECT connector FROM targets WHERE takes_alarms = 0)"
    db.execute(f"UPDATE outbox SET state = 'discarded' WHERE state IN ('waiting', 'dead') AND {untaken}")


def active_targets(db: Database) -> dict[str, Takes]:
    """Every configured target, and what it takes."""
    rows = db.execute("SELECT connector, takes_punches, takes_alarms FROM targets WHERE active = 1").fetchall()
    return {row[0]: Takes(row[1] == 1, row[2] == 1) for row in rows}


def due(db: Database, connector: str, now: int, limit: int, around: float = 0.0) -> list[Waiting]:
    """Events to be tried at `now` (ms), in order; none of a person who has an event waiting for its retry. `around`: see `event_of`."""
    rows = list(db.query(DUE, {"connector": connector, "now": now, "limit": limit}))
    return [Waiting(row["row_id"], row["attempts"], row["blamed"], seconds(row["tried_at"]), event_of(db, row, around)) for row in rows]


def mark(db: Database, connector: str, marks: Iterable[Mark]) -> None:
    """Store the results of attempts; rows are found by event, since an event may have been queued again meanwhile."""
    for m in marks:
        delivered_at = m.tried_at if m.state == "delivered" else None
        fields = [m.state, m.answer or None, m.tried_at, m.attempts, m.blamed, m.next_attempt_at, delivered_at, m.reference]
        column = COLUMN[m.event.kind]
        sql = f"""UPDATE outbox SET state = ?, answer = ?, tried_at = ?, attempts = ?, blamed = ?, next_attempt_at = ?,
            delivered_at = coalesce(?, delivered_at),
            reference = coalesce(?, reference) WHERE connector = ? AND {column} = ? AND state IN ('waiting', 'dead')"""
        db.execute(sql, [*fields, connector, m.event.id])
        for (kind, number), reference in m.names().items():
            about = {"name": reference, "connector": connector, "id": number, "at": m.tried_at}
            db.execute(f"UPDATE outbox SET reference = :name WHERE id IN ({ROWS_OF[kind]})", about)
            if reference or m.state == "delivered":  # the target has what counts of it: an earlier dead letter about it is settled
                db.execute(f"UPDATE outbox SET state = 'delivered', delivered_at = :at WHERE state = 'dead' AND id IN ({ROWS_OF[kind]})", about)


def set_state(db: Database, target: TargetState) -> None:
    sql = """UPDATE targets SET failures = :failures, next_attempt_at = :next, error = :error, error_at = :error_at, delivered_at = :delivered_at
        WHERE connector = :connector"""
    times = {"next": _ms(target.next_attempt_at) or 0, "error_at": _ms(target.error_at), "delivered_at": _ms(target.last_delivered_at)}
    db.execute(sql, {"connector": target.connector, "failures": target.failures, "error": target.error, **times})


def state(db: Database, connector: str) -> TargetState | None:
    rows = list(db.query("SELECT * FROM targets WHERE connector = ?", [connector]))
    return TargetState(**_state(rows[0])) if rows else None


def health(db: Database) -> list[TargetHealth]:
    return [
        TargetHealth(**_state(row), active=row["active"] == 1, waiting=row["waiting"], oldest_waiting_at=seconds(row["oldest_at"]), dead=row["dead"])
        for row in db.query(SUMMARY)
    ]


def dead_letters(db: Database, connector: str | None, limit: int) -> list[DeadLetter]:
    sql = f"{EVENTS} WHERE o.state = 'dead' AND (:connector IS NULL OR o.connector = :connector) ORDER BY o.id LIMIT :limit"
    letters = []
    for row in db.query(sql, {"connector": connector, "limit": limit}):
        event = event_of(db, row)
        letters.append(
            DeadLetter(
                row["row_id"],
                row["connector"],
                event.kind,
                event.id,
                event.person_id,
                event.code,
                event.occurred_at,
                event.direction,
                seconds(row["tried_at"]),
                row["answer"],
            )
        )
    return letters


def complete_until(db: Database, connector: str, dead_count: bool) -> float | None:
    """The time (s since the epoch) before which every punch is delivered; None: all are."""
    return seconds(db.execute(COMPLETE, {"connector": connector, "dead_count": dead_count}).fetchone()[0])


def change_dead(db: Database, connector: str | None, ids: Sequence[int] | None, state: str) -> int:
    """Give dead letters, all or those with these ids, a new state: waiting or discarded; returns how many."""
    chosen = "" if ids is None else f" AND id IN ({', '.join(map(str, map(int, ids)))})"
    sql = f"""UPDATE outbox SET state = ?, attempts = 0, blamed = 0, next_attempt_at = 0, tried_at = NULL
        WHERE state = 'dead' AND (? IS NULL OR connector = ?){chosen}"""
    changed = int(db.execute(sql, [state, connector, connector]).rowcount)
    if state == "waiting":
        _wake(db, connector)
    return changed


def move(db: Database, old: str, new: str) -> int:
    """Give a target's events, delivered ones and their references included, to the target that it is called now; returns how many wait there for it."""
    for column in COLUMN.values():
        db.execute(f"DELETE FROM outbox WHERE connector = ? AND {column} IN (SELECT {column} FROM outbox WHERE connector = ?)", [old, new])
    untaken = "alarm_id IS NOT NULL AND (SELECT takes_alarms FROM targets WHERE connector = ?) = 0"
    db.execute(f"DELETE FROM outbox WHERE connector = ? AND {untaken}", [old, new])
    waiting = db.execute("SELECT count(*) FROM outbox WHERE connector = ? AND state IN ('waiting', 'dead')", [old]).fetchone()[0]
    db.execute("UPDATE outbox SET connector = ? WHERE connector = ?", [new, old])
    db.execute("UPDATE OR IGNORE recipients SET connector = ? WHERE connector = ?", [new, old])
    db.execute("DELETE FROM targets WHERE connector = ?", [old])
    _wake(db, new)
    return int(waiting)


def forget(db: Database, connector: str) -> int:
    """Give up whatever waits for a target that is not configured any more, and the target; returns how many events."""
    sql = "UPDATE outbox SET state = 'discarded', answer = NULL WHERE connector = ? AND state IN ('waiting', 'dead')"
    count = db.execute(sql, [connector]).rowcount
    db.execute("DELETE FROM targets WHERE connector = ?", [connector])
    return int(count)


def never_queued(db: Database, connector: str, since: int) -> float | None:
    """The time (s since the epoch) of the first recorded punch after `since` (ms) that was never queued for a target; None: all were."""
    sql = """SELECT min(occurred_at) FROM punches p WHERE occurred_at > ? AND method <> 'imported'
        AND NOT EXISTS (SELECT 1 FROM outbox WHERE connector = ? AND punch_id = p.id)
        AND person_id IN (SELECT id FROM people WHERE erased_at IS NULL)"""
    return seconds(db.execute(sql, [since, connector]).fetchone()[0])


def fill(db: Database, connector: str, since: int, until: int, now: int, again: bool = False) -> int:
    """Queue recorded punches, but none that was imported, with since <= occurred_at < until (ms) and their corrections; returns how many were new.

    Events that already wait are queued again among them, so that each person's punches stay in order. `again`: delivered
    punches and corrections are sent once more; what the target calls them stays known.
    """
    queued = "connector = :connector AND state = 'waiting' AND alarm_id IS NULL AND notice_id IS NULL"
    waiting = db.execute(f"SELECT punch_id, correction_id FROM outbox WHERE {queued}", {"connector": connector}).fetchall()
    wanted = "(SELECT id FROM punches WHERE occurred_at >= :since AND occurred_at < :until AND method <> 'imported')"
    added = "punch_id IS NULL AND amends IS NULL AND door IS NULL AND occurred_at >= :since AND occurred_at < :until"
    about = f"SELECT id FROM corrections WHERE punch_id IN {wanted} OR {added} OR amends IN (SELECT id FROM corrections WHERE {added})"
    anew = f"connector = :connector AND state = 'delivered' AND (punch_id IN {wanted} OR correction_id IN ({about}))" if again else "0"
    period = {"connector": connector, "since": since, "until": until}
    kept = db.execute(f"SELECT reference, delivered_at, connector, punch_id, correction_id FROM outbox WHERE {queued} OR {anew}", period).fetchall()
    db.execute(f"DELETE FROM outbox WHERE {queued} OR {anew}", period)
    for column, source in (
        ("punch_id", f"SELECT id, person_id FROM punches WHERE id IN {wanted} OR id IN (SELECT value FROM json_each(:waiting)) ORDER BY id"),
        (
            "correction_id",
            f"SELECT id, person_id FROM corrections WHERE id IN ({about}) OR id IN (SELECT value FROM json_each(:waiting)) ORDER BY id",
        ),
    ):
        numbers = [row[0 if column == "punch_id" else 1] for row in waiting]
        limits = {"since": since, "until": until, "waiting": str([n for n in numbers if n is not None])}
        rows = [(connector, number, person_id, now) for number, person_id in db.execute(source, limits).fetchall()]
        for row in rows:
            db.execute(f"INSERT OR IGNORE INTO outbox (connector, {column}, person_id, queued_at) VALUES (?, ?, ?, ?)", row)
    for row in kept:
        db.execute("UPDATE outbox SET reference = ?, delivered_at = ? WHERE connector = ? AND (punch_id = ? OR correction_id = ?)", row)
    _wake(db, connector)
    total = db.execute(f"SELECT count(*) FROM outbox WHERE {queued}", {"connector": connector}).fetchone()[0]
    return int(total) - len(waiting)


def _wake(db: Database, connector: str | None) -> None:
    """Let a target that pauses after failures be tried at once."""
    db.execute("UPDATE targets SET next_attempt_at = 0 WHERE ? IS NULL OR connector = ?", [connector, connector])


def _state(row: Mapping[str, Any]) -> dict[str, Any]:
    times = {"last_delivered_at": row["delivered_at"], "next_attempt_at": row["next_attempt_at"] or None, "error_at": row["error_at"]}
    return {key: row[key] for key in ("connector", "failures", "error")} | {key: seconds(ms) for key, ms in times.items()}


def _ms(moment: float | None) -> int | None:
    return None if moment is None else to_ms(moment)
