"""Two records of one person become one: what the second has, templates, punches, absences and plan, counts for the first.

Punches are never changed: corrections take them from the second and add them to the first, so that the log, its hash chain and every
target of a connector tell what happened. Punches of locked periods stay where they are. For a day a merge can be undone, from the
ids that its audit row holds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from device.contract import phrase, phrases
from device.storage import corrections, templates
from device.storage.audit import Action
from device.storage.corrections import CorrectionDraft
from device.storage.database import StoreError
from device.storage.effective import Entry
from device.storage.records import LastPunch, Person
from device.storage.store import Store

UNDO_SECONDS = 86_400.0


class MergeError(StoreError):
    """Two records that cannot be merged, or a merge that cannot be undone; the message says why."""

    code = "merge"


@dataclass(frozen=True)
class Merged:
    """What a merge has moved to the first record, or an undoing back to the second."""

    into: Person
    other: Person  # deactivated by a merge
    templates: int
    punches: int
    absences: int
    plans: int
    left: int  # punches that stay: of a locked period, or in the log of another terminal

    @property
    def words(self) -> str:
        other, into = (f"{person.name} (id {person.id})" for person in (self.other, self.into))
        numbers = {"templates": self.templates, "punches": self.punches, "absences": self.absences, "plans": self.plans}
        english = "{templates} templates, {punches} punches, {absences} absences and {plans} plans of {other} count for {into} now"
        moved = phrase("merge.moved", english, other=other, into=into, **numbers)
        if not self.left:
            return moved
        left = phrase("merge.left", "{left} punches of locked periods or of other terminals stay with {other}", left=self.left, other=other)
        return phrases("; ", [moved, left])


def merge(store: Store, into: int, other: int, by: str) -> Merged:
    """Let everything of `other` count for `into`; `other` is deactivated and keeps name and code.

    Raises:
        MergeError: they are the same record, or one of them is erased.
    """
    _check(store, into, other)
    keys = _keys(store, into, other)
    with store.transaction() as db:
        moved = templates.hand_over(db, keys, other, into)
        entries = corrections.entries(db, 0.0, float("inf"), other).get(other, [])
        movable = [entry for entry in entries if not entry.door and not _locked(db, entry.occurred_at)]
        punches = [_move(db, entry, other, into, by) for entry in movable]
        details = {"person_id": into, "other_id": other, "templates": moved, "punches": punches}
        details["absences"] = list(_move_absences(db, other, into))
        details["plans"] = _copy_plans(db, other, into)
        db.execute("UPDATE people SET active = 0 WHERE id = ?", [other])
        store.note_by(by, Action.PEOPLE_MERGED, **details)
    return _merged(store, details, len(entries) - len(movable))


def undo(store: Store, into: int, by: str, now: float | None = None) -> Merged:
    """Take the last merge into a record back: everything counts for the other record again. `now`: s since the epoch.

    Raises:
        MergeError: there was none within a day, it was undone already, or one of them was erased since.
    """
    now = time.time() if now is None else now
    details = last_merge(store, into, now)
    if details is None:
        raise MergeError(phrase("merge.nothing", "nothing was merged into person {id} within a day, or it was undone already", id=into), code="merge.nothing")
    other = int(details["other_id"])
    _check(store, into, other)
    keys = _keys(store, into, other)
    with store.transaction() as db:
        back = templates.hand_over(db, keys, into, other, details["templates"])
        movable = [pair for pair in details["punches"] if not _locked(db, _moment(db, pair[1]))]
        for removal, addition in movable:
            _move_back(db, removal, addition, other, into, by)
        for moved, original in details["absences"]:
            _cancel(db, moved)
            _copy_absence(db, original, other)
        if details["plans"]:
            db.execute("INSERT INTO assignments (person_id, plan_id, since) VALUES (?, NULL, ?)", [into, min(details["plans"])])
        db.execute("UPDATE people SET active = 1 WHERE id = ?", [other])
        store.note_by(by, Action.MERGE_UNDONE, person_id=into, other_id=other)
    returned = {**details, "person_id": other, "other_id": into, "templates": back, "punches": movable}
    return _merged(store, returned, len(details["punches"]) - len(movable))


def last_merge(store: Store, into: int, now: float) -> dict[str, Any] | None:
    """The details of the last merge into a record that can still be undone."""
    actions = (Action.PEOPLE_MERGED, Action.MERGE_UNDONE)
    sql = "SELECT action, details FROM audit WHERE action IN (?, ?) AND at >= ? AND json_extract(details, '$.person_id') = ? ORDER BY id DESC LIMIT 1"
    with store.reading() as db:
        row = db.execute(sql, [*map(str, actions), int((now - UNDO_SECONDS) * 1000), into]).fetchone()
    return json.loads(row[1]) if row and row[0] == Action.PEOPLE_MERGED else None


def _keys(store: Store, into: int, other: int) -> dict[int, bytes]:
    """What opens and seals the templates of both; a desk has neither, and makes no keys."""
    with store.reading() as db:
        held = db.execute("SELECT 1 FROM templates WHERE person_id IN (?, ?) LIMIT 1", [into, other]).fetchone()
    return {person_id: store.keys.ensure(person_id) for person_id in (into, other)} if held else {}


def _check(store: Store, into: int, other: int) -> None:
    people = [store.person(person_id) for person_id in (into, other)]
    if into == other:
        words = phrase("merge.same", "{name} (id {id}) cannot be merged with the same record: name two", name=people[0].name, id=into)
        raise MergeError(words, code="merge.same")
    if erased := [person for person in people if person.erased]:
        words = phrase("merge.erased", "person {id} is erased: nothing of them is left to merge", id=erased[0].id)
        raise MergeError(words, code="merge.erased")


def _merged(store: Store, details: dict[str, Any], left: int) -> Merged:
    into, other = store.person(int(details["person_id"])), store.person(int(details["other_id"]))
    return Merged(into, other, len(details["templates"]), len(details["punches"]), len(details["absences"]), len(details["plans"]), left)


# punches


def _locked(db: Database, moment: float) -> bool:
    sql = "SELECT EXISTS (SELECT 1 FROM period_locks WHERE lifted_at IS NULL AND ? >= from_ms AND ? < until_ms)"
    return bool(db.execute(sql, [int(moment * 1000)] * 2).fetchone()[0])


def _move(db: Database, entry: Entry, other: int, into: int, by: str) -> tuple[int, int]:
    """Ids of the corrections that take a punch from one person and add it to the other."""
    punch = LastPunch(entry.occurred_at, entry.direction)
    removal = corrections.append(db, CorrectionDraft(other, entry.punch_id, entry.added_by, None, f"merged: counts for person {into}"), by)
    return removal, corrections.append(db, CorrectionDraft(into, None, None, punch, f"merged: recorded for person {other}"), by)


def _move_back(db: Database, removal: int, addition: int, other: int, into: int, by: str) -> None:
    """What counts for the added punch now, corrected since or not, counts for the other record again."""
    sql = "SELECT occurred_at, direction FROM corrections WHERE id = ? OR amends = ? ORDER BY id DESC LIMIT 1"
    at, direction = db.execute(sql, [addition, addition]).fetchone()
    punch = None if direction is None else LastPunch(at / 1000, direction)
    if punch is not None:
        corrections.append(db, CorrectionDraft(into, None, addition, None, "merge undone"), by)
        punch_id, amends = db.execute("SELECT punch_id, amends FROM corrections WHERE id = ?", [removal]).fetchone()
        corrections.append(db, CorrectionDraft(other, punch_id, amends, punch, "merge undone"), by)


def _moment(db: Database, correction_id: int) -> float:
    return float(db.execute("SELECT occurred_at FROM corrections WHERE id = ?", [correction_id]).fetchone()[0]) / 1000


# absences and plans


def _move_absences(db: Database, other: int, into: int) -> Iterator[tuple[int, int]]:
    """Cancel absences at one person and enter them for the other, unless a locked period or an absence of the other is there; yields the new and the old id."""
    there = "{} AND a.first_day <= {}.last_day AND a.last_day >= {}.first_day"
    locked = f"SELECT 1 FROM period_locks l WHERE {there.format('l.lifted_at IS NULL', 'l', 'l')}"
    mine = f"SELECT 1 FROM absences m WHERE m.person_id = ? AND {there.format('m.cancelled_at IS NULL', 'm', 'm')}"
    free = f"NOT EXISTS ({locked}) AND NOT EXISTS ({mine})"
    for (absence_id,) in db.execute(f"SELECT id FROM absences a WHERE person_id = ? AND cancelled_at IS NULL AND {free}", [other, into]).fetchall():
        _cancel(db, absence_id)
        yield _copy_absence(db, absence_id, into), absence_id


def _cancel(db: Database, absence_id: int) -> None:
    db.execute("UPDATE absences SET cancelled_at = ? WHERE id = ? AND cancelled_at IS NULL", [int(time.time() * 1000), absence_id])


def _copy_absence(db: Database, absence_id: int, person_id: int) -> int:
    """The same absence, with whatever columns it has, for another person."""
    row = next(db.query("SELECT * FROM absences WHERE id = ?", [absence_id]))
    kept = {name: value for name, value in row.items() if name not in ("id", "uuid", "cancelled_at")} | {"person_id": person_id}
    sql = f"INSERT INTO absences ({', '.join(kept)}) VALUES ({', '.join('?' * len(kept))})"
    return int(db.execute(sql, list(kept.values())).lastrowid or 0)


def _copy_plans(db: Database, other: int, into: int) -> list[str]:
    """Give a person without any plan those of the other, from the first day after locked periods; returns their first days."""
    if db.execute("SELECT 1 FROM assignments WHERE person_id = ?", [into]).fetchone():
        return []
    free = "NOT EXISTS (SELECT 1 FROM period_locks l WHERE l.lifted_at IS NULL AND since <= l.last_day)"
    rows = db.execute(f"SELECT plan_id, since FROM assignments WHERE person_id = ? AND {free} ORDER BY since, id", [other]).fetchall()
    db.conn.executemany("INSERT INTO assignments (person_id, plan_id, since) VALUES (?, ?, ?)", [(into, *row) for row in rows])
    return [since for _, since in rows]
