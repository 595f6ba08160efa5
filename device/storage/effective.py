"""The punches that count, computed from recorded punches and corrections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from device.storage.records import Direction

Key = tuple[str, str, int]  # "punch" or "added", the terminal whose log holds it ("": this one), and its number there


@dataclass(frozen=True)
class Correction:
    """A row that states what counts instead of a punch (docs/store.md)."""

    id: int
    punch_id: int | None  # the punch it is about; None: see `amends`
    amends: int | None  # the correction whose added punch it is about; both None: it adds a punch
    occurred_at: float | None  # s since the epoch, UTC; None: that punch does not count
    direction: Direction | None
    door: str = ""  # the terminal of the fleet whose log holds what it is about; "": this one
    by_door: str = ""  # the terminal whose log holds the correction itself
    corrected_at: int = 0  # ms since the epoch; decides between terminals
    log: str = ""  # at a desk, which holds copies of all logs in one: whose row it is
    number: int | None = None  # and its number there

    def turn(self) -> int:
        """Its place in the log it stands in."""
        return self.id if self.number is None else self.number

    @property
    def about(self) -> Key:
        """What it is about; a correction that adds a punch is about that punch."""
        if self.punch_id is not None:
            return "punch", self.door, self.punch_id
        return ("added", self.by_door, self.id) if self.amends is None else ("added", self.door, self.amends)


@dataclass(frozen=True)
class Recorded:
    """A punch as a terminal recorded it."""

    punch_id: int
    occurred_at: float  # s since the epoch, UTC
    direction: Direction
    door: str = ""  # the other terminal of the fleet whose log holds it


@dataclass(frozen=True)
class Entry:
    """A punch that counts: as recorded, as corrected, or added."""

    occurred_at: float  # s since the epoch, UTC
    direction: Direction
    punch_id: int | None = None  # None: added by a correction
    correction_id: int | None = None  # the last correction about it; None: as recorded
    added_by: int | None = None  # the correction that added it
    door: str = ""  # the other terminal of the fleet (its uuid) whose log holds the punch or what added it: `punch_id` and `added_by` are numbers there
    struck: bool = False  # it does not count: a correction removed it from here, or moved it to another time


def effective(punches: Iterable[Recorded], corrections: Iterable[Correction]) -> list[Entry]:
    """The punches that count, by time. Of several corrections about one punch, the last one decides."""
    counting: dict[Key, Entry | None] = {("punch", p.door, p.punch_id): Entry(p.occurred_at, p.direction, p.punch_id, door=p.door) for p in punches}
    for c in in_turn(corrections):
        kind, door, number = c.about
        removed = c.occurred_at is None or c.direction is None
        added_by = number if kind == "added" else None
        counting[c.about] = None if removed else Entry(c.occurred_at, c.direction, c.punch_id, c.id, added_by, door)  # type: ignore[arg-type]
    return in_order(_once(entry for entry in counting.values() if entry))


def struck(punches: Iterable[Recorded], corrections: Iterable[Correction]) -> list[Entry]:
    """Where punches counted until a correction removed or moved them, so that the days that they left can say so."""
    counted: dict[Key, Entry] = {("punch", p.door, p.punch_id): Entry(p.occurred_at, p.direction, p.punch_id, door=p.door) for p in punches}
    left = []
    for c in in_turn(corrections):
        if c.about in counted and counted[c.about].occurred_at != c.occurred_at:
            left.append(replace(counted[c.about], correction_id=c.id, struck=True))
        if c.occurred_at is not None and c.direction is not None:
            counted[c.about] = Entry(c.occurred_at, c.direction, c.punch_id, c.id, door=c.about[1])
    return left


def in_turn(corrections: Iterable[Correction]) -> list[Correction]:
    """In the order in which they count: by id within a terminal's log, by time between terminals, and so the same at each of them."""
    newest: dict[tuple[Key, str], int] = {}
    placed = []
    for c in sorted(corrections, key=Correction.turn):
        at = newest[c.about, c.by_door or c.log] = max(c.corrected_at, newest.get((c.about, c.by_door or c.log), 0))
        placed.append((at, c))
    return [c for _, c in sorted(placed, key=lambda one: (one[0], one[1].turn(), one[1].occurred_at or 0.0))]


def _once(entries: Iterable[Entry]) -> list[Entry]:
    """A request that two terminals approved adds its punch once."""
    kept: list[Entry] = []
    added: set[tuple[float, Direction]] = set()
    for entry in entries:
        if entry.added_by is None or (entry.occurred_at, entry.direction) not in added:
            kept.append(entry)
        if entry.added_by is not None:
            added.add((entry.occurred_at, entry.direction))
    return kept


def supposing(entries: Iterable[Entry], about: Entry | None, instead: Entry | None) -> list[Entry]:
    """What would count if `instead` replaced the punch that `about` names (None removes it); without `about`, `instead` is added."""
    named = (about.punch_id, about.added_by, about.door) if about else None
    return in_order([*(e for e in entries if (e.punch_id, e.added_by, e.door) != named), *([instead] if instead else [])])


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda e: (e.occurred_at, e.punch_id or 0, e.correction_id or 0, e.door))
