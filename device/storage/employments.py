"""Days of employment, as far as they follow from a person's activation; `device/attendance/planning.py` reads and sets them."""

from __future__ import annotations

import time
from datetime import date, timedelta

from sqlite_utils import Database

from device.storage.site_clock import read_clock

LATEST = "SELECT id, first_day, last_day FROM employments WHERE person_id = ? ORDER BY id DESC LIMIT 1"


def end(db: Database, person_id: int, last: date | None = None) -> None:
    """End the latest employment on a day (None: today at the site), unless it has a last day already."""
    last = last or read_clock(db).day(time.time())
    number, first, known = db.execute(LATEST, [person_id]).fetchone() or (None, None, None)
    if number is None:
        db.execute("INSERT INTO employments (person_id, last_day) VALUES (?, ?)", [person_id, last.isoformat()])
    elif known is None:
        db.execute("UPDATE employments SET last_day = ? WHERE id = ?", [max(first or "", last.isoformat()), number])


def begin_again(db: Database, person_id: int) -> None:
    """Begin another employment today if the latest one has ended before it; one that was to end later goes on."""
    day = read_clock(db).day(time.time())
    number, _, last = db.execute(LATEST, [person_id]).fetchone() or (None, None, None)
    if last is not None and last < (day - timedelta(days=1)).isoformat():
        db.execute("INSERT INTO employments (person_id, first_day) VALUES (?, ?)", [person_id, day.isoformat()])
    elif last is not None:
        db.execute("UPDATE employments SET last_day = NULL WHERE id = ?", [number])
