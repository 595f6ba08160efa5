"""The log of another terminal becomes punches here: each row has a fate, which `check` tells without writing anything.

Rows go into the hash chain in batches, each of which is written whole or not at all, so that the terminal records in between. A row that is here
already is left alone; so an import that was stopped goes on when it is started again, and a second import adds nothing.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from sqlite_utils import Database

from device.attendance.imports.log_file import LogFile, LogRow
from device.attendance.imports.moments import ImportRefused, WrongTime, moment
from device.attendance.planning import read_site
from device.contract import phrase
from device.storage import punch_imports
from device.storage.audit import Action
from device.storage.fleet_state import fleet_state
from device.storage.records import PunchDraft, clean_text
from device.storage.store import Store
from device.system.clock import to_ms
from device.system.time_zones import zone

BATCH = 1000  # rows in one transaction
PAUSE_SECONDS = 0.01  # between two of them, in which the terminal can record
AHEAD_MS = 60_000  # by which two clocks may differ
LONGEST_DEVICE = 100

Fate = Literal["imported", "present", "twice", "no_code", "unknown", "time", "direction", "future", "too_old", "locked"]
FATES: dict[Fate, str] = {
    "imported": "imported",
    "present": "already there",
    "twice": "twice in the file",
    "no_code": "no code",
    "unknown": "unknown person",
    "time": "no time",
    "direction": "unknown direction",
    "future": "in the future",
    "too_old": "older than punches are kept",
    "locked": "in a locked period",
}
NO_PROBLEM: frozenset[Fate] = frozenset({"imported", "present", "twice"})


@dataclass(frozen=True)
class Choices:
    """How a file is to be read and what becomes of its punches."""

    open_directions: bool = False  # the file's directions are not believed
    device: str = "import"  # the name of the terminal, where the file has none
    deliver: bool = False  # to the connected systems, too
    keep_days: int = 0  # [retention] punches_days; 0: all are kept


@dataclass(frozen=True)
class Judged:
    """A row and what becomes of it."""

    row: LogRow
    fate: Fate
    words: str = ""  # what has to be said about it
    draft: PunchDraft | None = None  # of one that is imported

    @property
    def problem(self) -> bool:
        return self.fate not in NO_PROBLEM


@dataclass
class Summary:
    """How many rows had which fate, and the first of those about which something has to be said."""

    fates: Counter[Fate] = field(default_factory=Counter)
    told: list[Judged] = field(default_factory=list)
    most: int = 200

    def add(self, one: Judged) -> None:
        self.fates[one.fate] += 1
        if (one.problem or one.words) and len(self.told) < self.most:
            self.told.append(one)

    @property
    def problems(self) -> int:
        return sum(count for fate, count in self.fates.items() if fate not in NO_PROBLEM)


class LogImport:
    """One file and one store. `now`: s since the epoch."""

    def __init__(self, store: Store, file: LogFile, choices: Choices, now: float) -> None:
        self.store = store
        self.file = file
        self.choices = choices
        self.now = now
        with store.reading() as db:
            _refuse_desk(db)
            self.zone, self._codes, self._locks = zone(read_site(db).zone), _codes(db), _locks(db)

    def check(self) -> Iterator[Judged]:
        """The fate of each row; nothing is written."""
        with closing(sqlite3.connect("")) as seen:  # on disk, where the file is long
            seen.execute("CREATE TABLE seen (person INTEGER, at INTEGER, PRIMARY KEY (person, at)) WITHOUT ROWID")
            for rows in _batches(self.file.rows()):
                with self.store.reading() as db:
                    judged = self._judged(db, rows)
                yield from (_once(seen, one) for one in judged)

    def run(self) -> Iterator[Judged]:
        """Import; gives the fate of each row once its batch is on disk."""
        for rows in _batches(self.file.rows()):
            with self.store.transaction() as db:
                judged = self._judged(db, rows)
                drafts = [one.draft for one in judged if one.draft]
                if drafts:
                    punch_imports.append(db, drafts, self.choices.deliver)
                    self.store.note(Action.PUNCHES_IMPORTED, punches=len(drafts), delivered=self.choices.deliver)
            yield from judged
            time.sleep(PAUSE_SECONDS)

    def _judged(self, db: Database, rows: Sequence[LogRow]) -> list[Judged]:
        judged = [self._one(row) for row in rows]
        wanted = {key for one in judged if (key := _key(one))}
        taken, found = punch_imports.present(db, wanted), []
        before = set[punch_imports.Key]()
        for one in judged:
            key = _key(one)
            if key is not None and (key in taken or key in before):
                one = Judged(one.row, "present" if key in taken else "twice")
            elif key is not None:
                before.add(key)
            found.append(one)
        return found

    def _one(self, row: LogRow) -> Judged:
        """What becomes of a row, as far as it does not depend on other punches."""
        if not row.code:
            return Judged(row, "no_code")
        person = self._codes.get(row.code.casefold(), self._codes.get(_short(row.code)))
        if not person:
            code = row.code[:40]
            several = phrase("import.several", "several people have the code {code}", code=code)
            return Judged(row, "unknown", phrase("import.nobody", "nobody here has the code {code}", code=code) if person is None else several)
        direction = "auto" if self.choices.open_directions else row.says
        if direction is None:
            return Judged(row, "direction", phrase("import.direction", "{typed!r} is no direction that is known", typed=row.direction[:40]))
        try:
            found = moment(row.time, self.zone, self.file.order)
        except WrongTime as error:
            return Judged(row, "time", error.message)
        if found.ms > to_ms(self.now) + AHEAD_MS:
            return Judged(row, "future")
        if self.choices.keep_days and found.ms < to_ms(self.now) - self.choices.keep_days * 86_400_000:
            return Judged(row, "too_old", phrase("import.too_old", "punches are kept for {days} days", days=self.choices.keep_days))
        if lock := self._lock_of(person, found.ms):
            return Judged(row, "locked", lock)
        device = clean_text("device", (row.device or self.choices.device)[:LONGEST_DEVICE], LONGEST_DEVICE)
        return Judged(row, "imported", found.remark, PunchDraft(person, found.ms / 1000, direction, device, "imported", punch_imports.CLOCK))

    def _lock_of(self, person: int, ms: int) -> str:
        """The locked period of a moment; a person's own part of it may begin and end with their shifts."""
        for name, since, until, own in self._locks:
            begin, end = own.get(person, (since, until))
            if begin <= ms < end:
                return name
        return ""


def _refuse_desk(db: Database) -> None:
    state = fleet_state(db)
    if state is not None and state.desk:
        english = "a desk keeps no log of its own: import at the terminal that takes the old one's place"
        raise ImportRefused(phrase("import.desk", english), code="import.desk")


def _codes(db: Database) -> dict[str, int]:
    """Code without case, and code without leading zeros where only one person has it (0: several have) -> person id."""
    rows = db.execute("SELECT code, id FROM people WHERE code IS NOT NULL AND erased_at IS NULL").fetchall()
    short: dict[str, int] = {}
    for code, number in rows:
        short[_short(code)] = 0 if _short(code) in short else number
    return short | {code.casefold(): number for code, number in rows}


def _short(code: str) -> str:
    return code.casefold().lstrip("0") or "0"


Lock = tuple[str, int, int, Mapping[int, tuple[int, int]]]  # its days, from and until which moment (ms), and of whom from and until another one


def _locks(db: Database) -> list[Lock]:
    locks = db.execute("SELECT id, first_day, last_day, from_ms, until_ms FROM period_locks WHERE lifted_at IS NULL").fetchall()
    found: list[Lock] = []
    for number, first, last, since, until in locks:
        rows = db.execute("SELECT person_id, from_ms, until_ms FROM locked_sheets WHERE lock_id = ?", [number])
        found.append((phrase("days", "{first} to {last}", first=first, last=last), since, until, {person: (begin, end) for person, begin, end in rows}))
    return found


def _key(one: Judged) -> punch_imports.Key | None:
    return (one.draft.person_id, to_ms(one.draft.occurred_at)) if one.draft else None


def _once(seen: sqlite3.Connection, one: Judged) -> Judged:
    key = _key(one)
    if key is not None and not seen.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", key).rowcount:
        return replace(one, fate="twice", words="", draft=None)
    return one


def _batches(rows: Iterable[LogRow]) -> Iterator[list[LogRow]]:
    left = iter(rows)
    while batch := list(islice(left, BATCH)):
        yield batch

