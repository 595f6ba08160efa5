"""The frozen timesheets of locked periods: written when a period is locked, read instead of computing, removed when the lock is lifted.

A lock of an older version has none; its days are computed with the rules that were stored with it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from sqlite_utils import Database

from device.attendance.planning import site_from_json
from device.attendance.timesheet.absences import TimeOff
from device.attendance.timesheet.buckets import NONE, Buckets
from device.attendance.timesheet.parts import Part, Pause
from device.attendance.timesheet.periods import Frozen
from device.attendance.timesheet.shifts import Planned
from device.attendance.timesheet.stays import Span, Stamp
from device.attendance.timesheet.workday import KeptTimes, WorkDay
from device.attendance.timesheet.worksite import Site
from device.storage.effective import Entry
from device.storage.records import Direction

FACTS = ("worked_minutes", "break_minutes", "deducted_minutes", "late_minutes", "early_minutes", "state", "over", "core_minutes", "corrected")
LATER_FACTS = ("uncounted_minutes", "check_out")  # sheets of earlier versions have none
RECORDED = """((SELECT count(*) FROM punches p WHERE p.person_id = :person AND p.occurred_at >= :since AND p.occurred_at < :until)
    + (SELECT count(*) FROM door_punches p WHERE p.person_id = :person AND p.occurred_at >= :since AND p.occurred_at < :until))"""
OF_PERIOD = """SELECT '', id, occurred_at, direction, device FROM punches WHERE person_id = :person AND occurred_at >= :since AND occurred_at < :until
    UNION ALL SELECT door, id, occurred_at, direction, device FROM door_punches
    WHERE person_id = :person AND occurred_at >= :since AND occurred_at < :until"""
NEAR = """lifted_at IS NULL AND first_day <= :last AND last_day >= :first
    OR lifted_at IS NULL AND last_day = (SELECT max(last_day) FROM period_locks WHERE lifted_at IS NULL AND last_day < :first)
    OR lifted_at IS NULL AND first_day = (SELECT min(first_day) FROM period_locks WHERE lifted_at IS NULL AND first_day > :last)"""


class Periods(defaultdict[int, list[Frozen]]):
    """person id -> their parts of the locked periods; somebody who has none was not there when the periods were locked."""


def periods_of(db: Database, days: Sequence[date], person_id: int | None = None) -> Periods:
    """The frozen parts of the locked periods that have some of the days, and of the ones before and after them."""
    locks = db.execute(
        f"SELECT id, first_day, last_day, from_ms, until_ms, site FROM period_locks l WHERE ({NEAR}) "
        "AND EXISTS (SELECT 1 FROM locked_sheets WHERE lock_id = l.id) ORDER BY first_day",
        {"first": days[0].isoformat(), "last": days[-1].isoformat()},
    ).fetchall()
    bounds = [(number, Frozen(date.fromisoformat(first), date.fromisoformat(last), since, until, {})) for number, first, last, since, until, _ in locks]
    own = defaultdict[int, dict[int, Frozen]](dict)
    for number, first, last, _, _, site in locks:
        rules, touched = site_from_json(site), date.fromisoformat(first) <= days[-1] and date.fromisoformat(last) >= days[0]
        sql = f"""SELECT person_id, from_ms, until_ms, {"days" if touched else "'[]'"} FROM locked_sheets
            WHERE lock_id = :lock AND (:person IS NULL OR person_id = :person)"""
        for person, since, until, text in db.execute(sql, {"lock": number, "person": person_id}).fetchall():
            kept = _read(text, days, rules)
            own[person][number] = Frozen(date.fromisoformat(first), date.fromisoformat(last), since, until, kept)
    found = Periods(lambda: [blank for _, blank in bounds])
    found.update({person: [parts.get(number, blank) for number, blank in bounds] for person, parts in own.items()})
    return found


def _read(text: str, days: Sequence[date], site: Site) -> dict[date, WorkDay]:
    wanted = {day.isoformat() for day in days}
    rows = json.loads(text)
    return {date.fromisoformat(row["day"]): _work_day(row, site) for row in rows if row["day"] in wanted}


def write(db: Database, lock_id: int, parts: Mapping[int, Frozen], accounts: Mapping[int, tuple[int | None, int]]) -> None:
    """`accounts`: minutes on people's accounts when the period begins and ends; those who have none are left out."""
    sql = f"""INSERT INTO locked_sheets (lock_id, person_id, from_ms, until_ms, days, punches, account_before, account_after)
        SELECT :lock, :person, :since, :until, :days, {RECORDED}, :before, :after"""
    for person, part in parts.items():
        values = {"lock": lock_id, "person": person, "since": part.from_ms, "until": part.until_ms, "days": _text(part.days.values())}
        values |= dict(zip(("before", "after"), accounts.get(person, (None, None)), strict=True))
        db.execute(sql, values)


def came_later(db: Database) -> dict[int, int]:
    """Lock id -> for how many people a terminal has delivered punches of the period after it was locked, which do not count."""
    recorded = RECORDED.replace(":person", "s.person_id").replace(":since", "s.from_ms").replace(":until", "s.until_ms")
    return dict(db.execute(f"SELECT lock_id, count(*) FROM locked_sheets s WHERE s.punches < {recorded} GROUP BY lock_id").fetchall())


@dataclass(frozen=True)
class LatePunch:
    """A punch of a locked period that its sheet does not have: it came after the lock. Another terminal's, or one that this terminal kept from before."""

    person_id: int
    name: str
    occurred_at: float  # s since the epoch, UTC
    direction: Direction
    device: str


def late_punches(db: Database, lock_id: int) -> list[LatePunch]:
    """By time; of the people whom `came_later` counts."""
    recorded, found = RECORDED.replace(":person", "s.person_id").replace(":since", "s.from_ms").replace(":until", "s.until_ms"), []
    sql = f"""SELECT s.person_id, name, from_ms, until_ms, days FROM locked_sheets s JOIN people p ON p.id = s.person_id
        WHERE lock_id = ? AND s.punches < {recorded}"""
    for person, name, since, until, text in db.execute(sql, [lock_id]).fetchall():
        counted = {(entry["door"], entry["punch_id"]) for day in json.loads(text) for _, _, entry in day["stamps"]}
        for door, number, at, direction, device in db.execute(OF_PERIOD, {"person": person, "since": since, "until": until}):
            if (door, number) not in counted:
                found.append(LatePunch(person, name, at / 1000, direction, device))
    return sorted(found, key=lambda punch: (punch.occurred_at, punch.person_id))


def remove(db: Database, lock_id: int) -> None:
    db.execute("DELETE FROM locked_sheets WHERE lock_id = ?", [lock_id])


def _text(days: Any) -> str:
    return json.dumps([_row(day) for day in days], separators=(",", ":"))


def _row(day: WorkDay) -> dict[str, Any]:
    planned = {key: value for key, value in asdict(day.planned).items() if key != "day"}
    stamps = [[stamp.at, stamp.step, asdict(stamp.entry)] for stamp in day.stamps]
    spans = [[span.kind, span.start, span.end] for span in day.spans]
    return {
        "day": day.day.isoformat(), "planned": planned, "stamps": stamps, "spans": spans, "faults": day.faults, "flags": day.flags,
        "kept": [asdict(part) for part in day.kept],
        **{name: getattr(day, name) for name in (*FACTS, *LATER_FACTS)}, **({"buckets": asdict(day.buckets)} if day.buckets != NONE else {}),
    }  # fmt: skip


def _work_day(row: Mapping[str, Any], site: Site) -> WorkDay:
    day = date.fromisoformat(row["day"])
    return WorkDay(
        day=day, site=site, planned=_planned(day, row["planned"]), kept=tuple(KeptTimes(**part) for part in row.get("kept", ())),
        stamps=tuple(Stamp(moment, step, Entry(**entry)) for moment, step, entry in row["stamps"]), spans=tuple(Span(*span) for span in row["spans"]),
        faults=tuple(row["faults"]), flags=tuple(row["flags"]), buckets=Buckets(**row.get("buckets", {})),
        **{name: row[name] for name in FACTS}, **{name: row[name] for name in LATER_FACTS if name in row},
    )  # fmt: skip


def _planned(day: date, row: Mapping[str, Any]) -> Planned:
    names = ("kind", "title", "due_minutes", "credited_minutes", "plan", "employed", "pairing")
    parts = row["parts"] if "parts" in row else _one_part(row)
    off = tuple(TimeOff(**one) for one in row.get("off", ()))
    return Planned(day, span=_pair(row["span"]), parts=tuple(_part(part) for part in parts), off=off, **{name: row[name] for name in names})


def _one_part(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The part of a day as earlier versions stored it: with one shift, or none."""
    if row["kind"] != "work" and row["span"] is None:
        return []
    grace = {"late_grace_minutes": row["grace_minutes"], "early_grace_minutes": row["grace_minutes"]}
    return [{"title": row["title"], **{name: row[name] for name in ("span", "due_minutes", "pause", "flexible")}, **grace}]


def _part(row: Mapping[str, Any]) -> Part:
    pause = row["pause"] and Pause(**{**row["pause"], "window": _pair(row["pause"]["window"])})
    return Part(**{**row, "span": _pair(row["span"]), "pause": pause})


def _pair(values: Sequence[int] | None) -> tuple[int, int] | None:
    return (values[0], values[1]) if values else None
