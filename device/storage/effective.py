"""The punches that count, computed from recorded punches and corrections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from device.storage.records import Direction


@dataclass(frozen=True)
class Correction:
    """A row that states what counts instead of a punch (docs/store.md)."""

    id: int
    punch_id: int | None  # the punch it is about; None: see `amends`
    amends: int | None  # the correction whose added punch it is about; both None: it adds a punch
    occurred_at: float | None  # s since the epoch, UTC; None: that punch does not count
    direction: Direction | None


@dataclass(frozen=True)
class Recorded:
    """A punch as the terminal recorded it."""

    punch_id: int
    occurred_at: float  # s since the epoch, UTC
    direction: Direction


@dataclass(frozen=True)
class Entry:
    """A punch that counts: as recorded, as corrected, or added."""

    occurred_at: float  # s since the epoch, UTC
    direction: Direction
    punch_id: int | None = None  # None: added by a correction
    correction_id: int | None = None  # the last correction about it; None: as recorded
    added_by: int | None = None  # the correction that added it
    door: str = ""  # the other terminal of the fleet that recorded it; its own log holds it
    struck: bool = False  # it does not count: a correction removed it from here, or moved it to another time


def effective(punches: Iterable[Recorded], corrections: Iterable[Correction]) -> list[Entry]:
    """The punches that count, by time. Of several corrections about one punch, the last one, by id, decides."""
    counting: dict[tuple[str, int], Entry | None] = {("punch", p.punch_id): Entry(p.occurred_at, p.direction, p.punch_id) for p in punches}
    for c in sorted(corrections, key=lambda c: c.id):
        key = ("punch", c.punch_id) if c.punch_id is not None else ("added", c.id if c.amends is None else c.amends)
        removed = c.occurred_at is None or c.direction is None
        added_by = key[1] if key[0] == "added" else None
        counting[key] = None if removed else Entry(c.occurred_at, c.direction, c.punch_id, c.id, added_by)  # type: ignore[arg-type]
    return in_order(entry for entry in counting.values() if entry)


def struck(punches: Iterable[Recorded], corrections: Iterable[Correction]) -> list[Entry]:
    """Where punches counted until a correction removed or moved them, so that the days that they left can say so."""
    counted: dict[tuple[str, int], Entry] = {("punch", p.punch_id): Entry(p.occurred_at, p.direction, p.punch_id) for p in punches}
    left = []
    for c in sorted(corrections, key=lambda c: c.id):
        key = ("punch", c.punch_id) if c.punch_id is not None else ("added", c.id if c.amends is None else c.amends)
        if key in counted and counted[key].occurred_at != c.occurred_at:
            left.append(replace(counted[key], correction_id=c.id, struck=True))
        if c.occurred_at is not None and c.direction is not None:
            counted[key] = Entry(c.occurred_at, c.direction, c.punch_id, c.id)
    return left


def supposing(entries: Iterable[Entry], punch_id: int | None, added_by: int | None, instead: Entry | None) -> list[Entry]:
    """What would count if `instead` replaced a recorded or an added punch (None removes it); without either id, `instead` is added."""
    kept = [e for e in entries if (punch_id is None or e.punch_id != punch_id) and (added_by is None or e.added_by != added_by)]
    return in_order([*kept, *([instead] if instead else [])])


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda e: (e.occurred_at, e.punch_id or 0, e.correction_id or 0))
