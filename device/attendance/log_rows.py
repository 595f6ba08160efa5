"""The recorded punches as rows for exports, by time: read page by page, so that millions of them take no memory and hold nobody up.

No read transaction lasts longer than a page; what is recorded meanwhile is not among the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from device.attendance.log import LogFilter, where
from device.attendance.timesheet.worksite import Site
from device.storage.store import Store
from device.system.clock import iso_utc, to_ms
from device.system.time_zones import LocalClock

ROWS = 5_000  # of a page
FIELDS = "p.id, p.person_id, o.name, o.code, p.occurred_at, p.direction, p.method, p.score, p.lead, p.threshold, p.clock_synchronised, p.device"
PAGE = """SELECT {fields} FROM (SELECT * FROM main.punches INDEXED BY {index} WHERE {where} AND id <= :newest
    AND NOT (occurred_at = :since AND id <= :id) ORDER BY occurred_at, id LIMIT {rows}) p
    CROSS JOIN people o ON o.id = p.person_id ORDER BY p.occurred_at, p.id"""


def rows_of(store: Store, chosen: LogFilter, site: Site) -> Iterator[dict[str, Any]]:
    """What the log page shows with this filter: `delivery.tables.COLUMNS` and `local_time`, the clock of the site."""
    clause, values = where(chosen, site)
    return _rows(store, clause, values, site.clock)


def rows_between(store: Store, since: float, until: float, person_id: int | None, clock: LocalClock) -> Iterator[dict[str, Any]]:
    """Punches with since <= occurred_at < until (s since the epoch)."""
    clause = "occurred_at >= :since AND occurred_at < :until" + (" AND person_id = :person_id" if person_id is not None else "")
    return _rows(store, clause, {"since": to_ms(since), "until": to_ms(min(until, 1e12)), "person_id": person_id}, clock)


def count(store: Store, chosen: LogFilter, site: Site) -> int:
    """How many rows `rows_of` has."""
    clause, values = where(chosen, site)
    with store.reading() as db:
        return int(db.execute(f"SELECT count(*) FROM punches WHERE {clause}", values).fetchone()[0])


def _rows(store: Store, clause: str, values: Mapping[str, Any], clock: LocalClock) -> Iterator[dict[str, Any]]:
    index = "punches_by_person_and_time" if values.get("person_id") is not None else "punches_by_device" if values.get("device") else "punches_by_time"
    if store.departments:
        clause += " AND +person_id IN (SELECT id FROM people)"  # those whom this store shows
    sql = PAGE.format(fields=FIELDS, index=index, where=clause, rows=ROWS)
    with store.reading() as db:
        newest = db.execute("SELECT max(id) FROM punches").fetchone()[0]
    place: dict[str, Any] = {**values, "newest": newest, "id": -1}
    while place:
        with store.reading() as db:
            page = db.execute(sql, place).fetchall()
        for row in page:
            yield _row(row, clock)
        place = {**place, "since": page[-1][4], "id": page[-1][0]} if len(page) == ROWS else {}


def _row(row: tuple[Any, ...], clock: LocalClock) -> dict[str, Any]:
    number, person, name, code, at, direction, method, score, lead, threshold, synchronised, device = row
    return {
        "punch_id": number, "person_id": person, "name": name, "code": code, "occurred_at": iso_utc(at / 1000), "direction": direction, "method": method,
        "score": score, "lead": lead, "threshold": threshold, "clock_synchronised": bool(synchronised), "device": device,
        "local_time": clock.at(at / 1000).replace(tzinfo=None),  # as spreadsheets expect it
    }  # fmt: skip
