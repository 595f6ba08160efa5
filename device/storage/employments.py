"""Days of employment, as far as they follow from a person's activation; `device/attendance/planning.py` reads and sets them."""

from __future__ import annotations

from datetime import date, timedelta

from sqlite_utils import Database

LATEST = "SELECT id, first_day, last_day FROM employments WHERE person_id = ? ORDER BY id DESC LIMIT 1"


def end(db: Database, person_id: int, last: date) -> None:
    """End the latest employment on a day, unless it has a last day already."""
    number, first, known = db.execute(LATEST, [person_id]).fetchone() or (None, None, None)
    if number is None:
        db.execute("INSERT INTO employments (person_id, last_day) VALUES (?, ?)", [person_id, last.isoformat()])
    elif known is None:
        db.execute("UPDATE employments SET last_day = ? WHERE id = ?", [max(first or "", last.isoformat()), number])


def begin_again(db: Database, person_id: int, day: date) -> None:
    """Begin another employment on a day if the latest one has ended before it; one that was to end later goes on."""
    number, _, last = db.execute(LATEST, [person_id]).fetchone() or (None, None, None)
    if last is not None and last < (day - timedelta(days=1)).isoformat():
        db.execute("INSERT INTO employments (person_id, first_day) VALUES (?, ?)", [person_id, day.isoformat()])
    elif last is not None:
        db.execute("UPDATE employments SET last_day = NULL WHERE id = ?", [number])
