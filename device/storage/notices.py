"""Notices: messages to recipients, as rows of the outbox. What a notice tells is decided when it is sent, by what is open and by the recipient's rights then.

So nothing is lost while a target is down, and afterwards one message tells how things stand, not one for each that would have been sent.
Each matter is told once, and once more when it is over.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlite_utils import Database

from device.storage import outbox_rows
from device.storage.database import StoreError
from device.storage.matters import COLUMNS, KEPT_SECONDS, KINDS, Matter, forget_old, matter_of
from device.storage.recipients import Recipient, Way, recipient, recipients, visible
from device.storage.site_clock import read_clock
from device.system.clock import to_ms

BETWEEN_SECONDS = 600.0  # from one notice at once to the next one to the same recipient; what comes meanwhile is told together

UNTOLD = f"""
SELECT {COLUMNS}, (SELECT count(*) FROM tellings t WHERE t.recipient_id = :recipient AND t.matter_id = m.id AND t.notice_id <> :notice) AS told
FROM matters m LEFT JOIN people p ON p.id = m.person_id
WHERE m.open_at IS NOT NULL AND (m.over_at IS NULL OR m.over_at >= :since)
    AND NOT EXISTS (SELECT 1 FROM tellings t WHERE t.recipient_id = :recipient AND t.matter_id = m.id AND t.over = (m.over_at IS NOT NULL)
        AND t.notice_id <> :notice)
ORDER BY m.since, m.id
"""


@dataclass(frozen=True)
class Notice:
    """What one message tells its recipient."""

    id: int
    key: str
    way: Way
    recipient: Recipient
    begun: tuple[Matter, ...]  # that are open and were not told yet
    over: tuple[Matter, ...]
    still: Mapping[str, int]  # of a digest: kind -> how many are open that were told before


def announce(db: Database, now: float) -> int:
    """Queue a notice for every recipient who is to be told something now; returns how many. `now`: s since the epoch."""
    active = outbox_rows.active_targets(db)
    queued = 0
    for one in recipients(db):
        if one.connector in active:
            queued += _at_once(db, one, now) + _digest(db, one, now)
    forget_old(db, to_ms(now))
    old = to_ms(now - KEPT_SECONDS)
    db.execute("DELETE FROM notices WHERE created_at < ? AND id NOT IN (SELECT notice_id FROM outbox WHERE notice_id IS NOT NULL AND state = 'waiting')", [old])
    return queued


def _at_once(db: Database, one: Recipient, now: float) -> int:
    if 0 <= now - one.told_at < BETWEEN_SECONDS or _waits(db, one, "once") or not untold(db, one, "once"):
        return 0
    db.execute("UPDATE recipients SET told_at = ? WHERE id = ?", [to_ms(now), one.id])
    return _queue(db, one, "once", now)


def _digest(db: Database, one: Recipient, now: float) -> int:
    """Once per day of the site, at its hour or at the first moment after it."""
    local: datetime = read_clock(db).at(now)
    day = local.date().isoformat()
    if one.digest_day == day or local.hour < one.digest_hour or not one.kinds("daily"):
        return 0
    db.execute("UPDATE recipients SET digest_day = ? WHERE id = ?", [day, one.id])
    return _queue(db, one, "daily", now) if untold(db, one, "daily") and not _waits(db, one, "daily") else 0


def _waits(db: Database, one: Recipient, way: Way) -> bool:
    sql = "SELECT 1 FROM outbox o JOIN notices n ON n.id = o.notice_id WHERE n.recipient_id = ? AND n.way = ? AND o.state = 'waiting'"
    return db.execute(sql, [one.id, way]).fetchone() is not None


def _queue(db: Database, one: Recipient, way: Way, now: float) -> int:
    row = [one.id, way, secrets.token_hex(8), to_ms(now)]
    number = db.execute("INSERT INTO notices (recipient_id, way, key, created_at) VALUES (?, ?, ?, ?)", row).lastrowid
    db.execute("INSERT INTO outbox (connector, notice_id, queued_at) VALUES (?, ?, ?)", [one.connector, number, to_ms(now)])
    return 1


def untold(db: Database, one: Recipient, way: Way, notice_id: int = 0) -> list[tuple[Matter, bool]]:
    """What it is still to be told in this way, each with whether it was told before; what this notice tells counts as untold.

    Something about a person that was settled before it was told is not told. Nor is a failing target told of its own failure, which the page *Health* shows.
    """
    kinds = one.kinds(way)
    values = {"recipient": one.id, "notice": notice_id, "since": to_ms(one.created_at)}
    rows = [(matter_of(row), bool(row["told"])) for row in list(db.query(UNTOLD, values)) if row["kind"] in kinds]
    seen = {matter.id for matter in visible(db, one, [matter for matter, _ in rows])}
    own = f"delivery:{one.connector}"
    return [
        (matter, told)
        for matter, told in rows
        if matter.id in seen and matter.key != own and not (matter.over_at is not None and not told and KINDS[matter.kind].about_people)
    ]


def claim(db: Database, notice_id: int) -> Notice | None:
    """What a notice tells if it is sent now, noted as told; None: nothing is left to tell. Called again, it begins anew.

    Raises:
        StoreError: there is no such notice.
    """
    row = db.execute("SELECT recipient_id, way, key FROM notices WHERE id = ?", [notice_id]).fetchone()
    if row is None:
        raise StoreError(f"there is no notice {notice_id}", code="store.no_such")
    one, way = recipient(db, row[0]), row[1]
    db.execute("DELETE FROM tellings WHERE notice_id = ?", [notice_id])
    found = untold(db, one, way, notice_id)
    if not found:
        return None
    for matter, _ in found:
        for over in (0, 1) if matter.over_at is not None else (0,):
            db.execute("INSERT OR IGNORE INTO tellings VALUES (?, ?, ?, ?)", [one.id, matter.id, over, notice_id])
    begun = tuple(matter for matter, _ in found if matter.over_at is None)
    over_again = tuple(matter for matter, _ in found if matter.over_at is not None)
    return Notice(notice_id, row[2], way, one, begun, over_again, _still(db, one, begun) if way == "daily" else {})


def _still(db: Database, one: Recipient, begun: tuple[Matter, ...]) -> dict[str, int]:
    kinds, new = one.kinds("daily"), {matter.id for matter in begun}
    sql = f"SELECT {COLUMNS} FROM matters m LEFT JOIN people p ON p.id = m.person_id WHERE m.over_at IS NULL AND m.open_at IS NOT NULL"
    rows = [matter_of(row) for row in list(db.query(sql)) if row["kind"] in kinds and row["id"] not in new]
    counts = Counter(matter.kind for matter in visible(db, one, rows))
    return {kind: counts[kind] for kind in KINDS if counts[kind]}
