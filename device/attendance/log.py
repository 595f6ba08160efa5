"""The log on the review site: filtered, one page at a time; each punch with what it counts for and whether its hash chain is intact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlite_utils import Database

from device.attendance.timesheet.worksite import Site
from device.storage.groups import Selection
from device.storage.hash_chain import GENESIS, row_hash
from device.storage.records import METHODS, LastPunch, Person, Punch
from device.storage.store import Store

PAGE = 100  # punches
AT_SITE = "SELECT json_extract(told, '$.name') FROM fleet_devices WHERE json_extract(told, '$.site_id') = :site"
MOST_COUNTED = 10_000  # punches; with more, the page says "more than"
DIRECTIONS = {"in": "in", "out": "out", "break_start": "break start", "break_end": "break end", "auto": "auto"}


@dataclass(frozen=True)
class LogFilter:
    """Which punches to show. `first` and `last` are days of the site, both included."""

    first: date
    last: date
    person_id: int | None = None
    device: str = ""
    method: str = ""
    group: Selection = Selection()  # site: of the device; department: of the person

    def __post_init__(self) -> None:
        assert self.method in ("", *METHODS)

    @property
    def until(self) -> date:
        """The day after the last."""
        return self.last + timedelta(days=1)


@dataclass(frozen=True)
class LogLine:
    """A punch as the log shows it."""

    punch: Punch
    person: Person
    corrected: bool
    counts: LastPunch | None  # what counts in its place; None: it does not count
    chain: str  # "" where the hash chain is intact, otherwise what is wrong


@dataclass(frozen=True)
class LogPage:
    """One page of the log, newest punch first."""

    lines: tuple[LogLine, ...]
    total: int  # at most MOST_COUNTED + 1
    number: int  # from 1

    @property
    def more(self) -> bool:
        return self.number * PAGE < self.total


def log_page(store: Store, chosen: LogFilter, site: Site, number: int = 1) -> LogPage:
    """One page of the log; reads an index, never the whole table."""
    clause, values = where(chosen, site)
    with store.reading() as db:
        total = db.execute(f"SELECT count(*) FROM (SELECT 1 FROM punches WHERE {clause} LIMIT {MOST_COUNTED + 1})", values).fetchone()[0]
        number = max(1, min(number, -(-total // PAGE)))
        sql = f"SELECT * FROM punches WHERE {clause} ORDER BY occurred_at DESC, id DESC LIMIT {PAGE} OFFSET {(number - 1) * PAGE}"
        rows = list(db.query(sql, values))
        return LogPage(tuple(_lines(db, rows)), total, number)


def devices(store: Store) -> list[str]:
    """Names of all terminals in the log, found in one index step per name."""
    sql = """WITH RECURSIVE found (device) AS (
        SELECT min(device) FROM punches UNION ALL
        SELECT (SELECT min(device) FROM punches WHERE device > found.device) FROM found WHERE found.device IS NOT NULL
    ) SELECT device FROM found WHERE device IS NOT NULL"""
    with store.reading() as db:
        return [row[0] for row in db.execute(sql)]


def sightings(store: Store, chosen: LogFilter, site: Site) -> dict[date, int]:
    """How many unknown faces were seen on each day."""
    by_day: dict[date, int] = {}
    since, until = _span(chosen, site)
    with store.reading() as db:
        for at, count in db.execute("SELECT occurred_at, count FROM sightings WHERE occurred_at >= ? AND occurred_at < ? ORDER BY occurred_at", [since, until]):
            day = site.day_of(at // 60_000)
            by_day[day] = by_day.get(day, 0) + count
    return by_day


def where(chosen: LogFilter, site: Site) -> tuple[str, dict[str, Any]]:
    """The filter as a condition on `punches`, and its values."""
    since, until = _span(chosen, site)
    wanted = {"person_id": chosen.person_id, "device": chosen.device or None, "method": chosen.method or None}
    clauses = ["occurred_at >= :since", "occurred_at < :until", *(f"{key} = :{key}" for key, value in wanted.items() if value is not None)]
    if chosen.group.site:
        clauses.append(f"device IN ({AT_SITE})")
    if chosen.group.department:
        clauses.append("person_id IN (SELECT id FROM people WHERE department = :department COLLATE NOCASE)")
    return " AND ".join(clauses), {"since": since, "until": until, **wanted, **chosen.group.values}


def _span(chosen: LogFilter, site: Site) -> tuple[int, int]:
    return site.begins(chosen.first) * 60_000, site.begins(chosen.until) * 60_000


def _lines(db: Database, rows: list[dict[str, Any]]) -> Iterable[LogLine]:
    ids = [row["id"] for row in rows]
    people = {row["id"]: Person.from_row(row) for row in db.query(f"SELECT * FROM people WHERE id IN ({_marks(rows)})", [row["person_id"] for row in rows])}
    before = dict(db.execute(f"SELECT id, hash FROM main.punches WHERE id IN ({_marks(rows)})", [number - 1 for number in ids]).fetchall())
    corrected = {}
    for number, at, direction in db.execute(f"SELECT punch_id, occurred_at, direction FROM corrections WHERE punch_id IN ({_marks(rows)}) ORDER BY id", ids):
        corrected[number] = None if direction is None else LastPunch(at / 1000, direction)
    for row in rows:
        punch = Punch.from_row(row)
        counts = corrected.get(punch.id, LastPunch(punch.occurred_at, punch.direction))
        yield LogLine(punch, people[punch.person_id], punch.id in corrected, counts, _fault(row, before))


def _fault(row: dict[str, Any], before: dict[int, str]) -> str:
    if row["hash"] != row_hash(row):
        return "changed after it was recorded"
    if row["previous_hash"] != before.get(row["id"] - 1, GENESIS if row["id"] == 1 else ""):
        return "does not follow the one before it"
    return ""


def _marks(rows: list[dict[str, Any]]) -> str:
    return ", ".join("?" * len(rows))
