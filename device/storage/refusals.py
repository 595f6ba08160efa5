"""Refused attempts: faces that would have been recorded and were not taken for living ones. Functions run inside the caller's transaction.

A row holds a time, a reason and a score: no person, no picture. An alarm (several refusals of one track in a short time) is an
event for those targets of the outbox that take it.
"""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import dataclass, field
from typing import Literal, get_args

from sqlite_utils import Database

from device.storage import outbox_rows
from device.storage.database import StoreError
from device.system.clock import to_ms

RefusalReason = Literal["picture", "not_judged"]  # the score says that it is a picture; nothing could be judged
REASONS: tuple[RefusalReason, ...] = get_args(RefusalReason)


@dataclass(frozen=True)
class Refusal:
    """One refused attempt."""

    occurred_at: float  # s since the epoch, UTC
    reason: RefusalReason
    score: float | None  # 0..1, 1 a living face; None: nothing was judged
    pictures: int  # that were judged


@dataclass(frozen=True)
class Refusals:
    """The refused attempts of a period: how many for each reason, and the last one."""

    counts: dict[RefusalReason, int] = field(default_factory=dict)
    latest: Refusal | None = None

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def add(db: Database, refusal: Refusal) -> None:
    """Store a refused attempt.

    Raises:
        StoreError: the reason is unknown, or a value is out of range.
    """
    score, pictures = refusal.score, refusal.pictures
    if refusal.reason not in REASONS or pictures < 0 or (score is not None and not math.isfinite(score)):
        raise StoreError(f"refused attempt: expected one of {', '.join(REASONS)}, a finite score or None, pictures >= 0, got {refusal}", code="store.refusal")
    row = [to_ms(refusal.occurred_at), refusal.reason, None if score is None else float(score), int(pictures)]
    db.execute("INSERT INTO refusals (occurred_at, reason, score, pictures) VALUES (?, ?, ?, ?)", row)


def add_alarm(db: Database, occurred_at: float, attempts: int, device: str) -> None:
    """Store an alarm and queue it for every configured target that takes alarms.

    Raises:
        StoreError: attempts < 1.
    """
    if attempts < 1:
        raise StoreError(f"alarm of refused attempts: expected at least 1 attempt, got {attempts}", code="store.refusal")
    row = [to_ms(occurred_at), int(attempts), device, secrets.token_hex(8)]
    added = db.execute("INSERT INTO refusal_alarms (occurred_at, attempts, device, key) VALUES (?, ?, ?, ?)", row)
    outbox_rows.add_alarm(db, int(added.lastrowid or 0), to_ms(time.time()))


def between(db: Database, since: int, until: int) -> Refusals:
    """The refused attempts with since <= occurred_at < until (ms)."""
    where, limits = "WHERE occurred_at >= ? AND occurred_at < ?", [since, until]
    counts = dict(db.execute(f"SELECT reason, count(*) FROM refusals {where} GROUP BY reason ORDER BY reason", limits).fetchall())
    sql = f"SELECT occurred_at / 1000.0, reason, score, pictures FROM refusals {where} ORDER BY occurred_at DESC, id DESC LIMIT 1"
    row = db.execute(sql, limits).fetchone()
    return Refusals(counts, Refusal(*row) if row else None)
