"""Open matters: what somebody should look at, such as a missing punch or a dead camera, each from when until when.

Whoever looks says what is there now (`note`); from one look to the next a matter begins, lasts, and is over. A matter of the machine counts once it has
lasted for SETTLED_SECONDS, and is over once it has been away for a while, longer each time it comes back within a day: so a camera that comes and goes is
one matter, not a hundred. A matter about a person counts at once, and is over as soon as it is not found any more.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlite_utils import Database

from device.storage.roles import Needed

SETTLED_SECONDS = 120.0
CALM_SECONDS = 900.0
CALMER = 4  # times as long for each time that it was over within a day and came back
LONGEST_CALM_SECONDS = 86_400.0
KEPT_SECONDS = 90 * 86_400.0  # after it was over


@dataclass(frozen=True)
class MatterKind:
    """A kind of matters; whoever may open its page may be told."""

    page: str
    needed: Needed
    about_people: bool = False


KINDS = {  # in the order in which pages and messages list them; `needed` is that of the page, as a test checks
    "missed": MatterKind("/timesheets", Needed("viewer", teams=True), about_people=True),
    "request": MatterKind("/corrections", Needed("hr", teams=True), about_people=True),
    "camera": MatterKind("/health", Needed("viewer", teams=False)),
    "delivery": MatterKind("/health", Needed("viewer", teams=False)),
    "disk": MatterKind("/health", Needed("viewer", teams=False)),
    "certificate": MatterKind("/health", Needed("viewer", teams=False)),
    "terminal": MatterKind("/health", Needed("viewer", teams=False)),
}


@dataclass(frozen=True)
class FoundMatter:
    """Something that is there now. `key` is the same as long as it is the same matter."""

    kind: str
    key: str
    person_id: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Matter:
    """A matter with the name of whom it is about. Times are s since the epoch."""

    id: int
    kind: str
    key: str
    details: Mapping[str, Any]
    since: float
    over_at: float | None
    person_id: int | None = None
    name: str = ""
    code: str | None = None

    @property
    def page(self) -> str:
        return KINDS[self.kind].page


def calm_seconds(returns: int) -> float:
    """How long a matter of the machine must be away to be over, after it was over so many times within a day."""
    return float(min(CALM_SECONDS * CALMER ** min(returns, 10), LONGEST_CALM_SECONDS))


def note(db: Database, kinds: Collection[str], found: Iterable[FoundMatter], now: int) -> None:
    """Take what a look at these kinds has found; of other kinds nothing changes. `now`: ms since the epoch. Nothing is written where nothing changes."""
    standing = {row["key"]: row for row in db.query("SELECT * FROM matters WHERE over_at IS NULL") if row["kind"] in kinds}
    for one in found:
        row = standing.pop(one.key, None)
        if row is None:
            _begin(db, one, now)
        else:
            _goes_on(db, row, one, now)
    for row in standing.values():
        _away(db, row, now)


def _begin(db: Database, one: FoundMatter, now: int) -> None:
    open_at = now if KINDS[one.kind].about_people else None
    values = [one.kind, one.key, one.person_id, _json(one), now, open_at]
    db.execute("INSERT INTO matters (kind, key, person_id, details, since, open_at) VALUES (?, ?, ?, ?, ?, ?)", values)


def _goes_on(db: Database, row: Mapping[str, Any], one: FoundMatter, now: int) -> None:
    since = min(row["since"], now)  # a clock that was set back
    counts = row["open_at"] is not None or now - since >= SETTLED_SECONDS * 1000
    after = {"details": _json(one), "since": since, "open_at": (row["open_at"] or now) if counts else None, "gone_at": None}
    if any(row[column] != value for column, value in after.items()):
        db.execute("UPDATE matters SET details = :details, since = :since, open_at = :open_at, gone_at = :gone_at WHERE id = :id", {**after, "id": row["id"]})


def _away(db: Database, row: Mapping[str, Any], now: int) -> None:
    if KINDS[row["kind"]].about_people:
        db.execute("UPDATE matters SET gone_at = ?, over_at = ? WHERE id = ?", [now, now, row["id"]])
        return
    gone_at = now if row["gone_at"] is None else min(row["gone_at"], now)
    returns = db.execute("SELECT count(*) FROM matters WHERE key = ? AND over_at > ?", [row["key"], now - 86_400_000]).fetchone()[0]
    if now - gone_at < calm_seconds(returns) * 1000:
        if gone_at != row["gone_at"]:
            db.execute("UPDATE matters SET gone_at = ? WHERE id = ?", [gone_at, row["id"]])
    elif row["open_at"] is None:  # it never lasted
        db.execute("DELETE FROM matters WHERE id = ?", [row["id"]])
    else:
        db.execute("UPDATE matters SET over_at = ? WHERE id = ?", [gone_at, row["id"]])


def _json(one: FoundMatter) -> str:
    return json.dumps(one.details, sort_keys=True, ensure_ascii=False)


COLUMNS = "m.id, m.kind, m.key, m.details, m.since, m.over_at, m.person_id, coalesce(p.name, '') AS name, p.code"
OPEN = f"SELECT {COLUMNS} FROM matters m LEFT JOIN people p ON p.id = m.person_id WHERE m.over_at IS NULL AND m.open_at IS NOT NULL AND m.gone_at IS NULL"


def matter_of(row: Mapping[str, Any]) -> Matter:
    times = {"since": row["since"] / 1000, "over_at": None if row["over_at"] is None else row["over_at"] / 1000}
    known = {key: row[key] for key in ("id", "kind", "key", "person_id", "name", "code")}
    return Matter(**known, **times, details=json.loads(row["details"]))


def open_matters(db: Database, kinds: Collection[str]) -> list[Matter]:
    """What is open of these kinds and of the people whom the store shows; kind by kind, the oldest first."""
    rows = [matter_of(row) for row in db.query(f"{OPEN} ORDER BY m.since, m.id") if row["kind"] in kinds]
    return sorted(rows, key=lambda one: list(KINDS).index(one.kind))


def count_open(db: Database, kinds: Collection[str]) -> int:
    """How many these are."""
    marks = ", ".join("?" * len(kinds))
    sql = f"SELECT count(*) FROM matters WHERE over_at IS NULL AND open_at IS NOT NULL AND gone_at IS NULL AND kind IN ({marks})"
    return int(db.execute(sql, list(kinds)).fetchone()[0])


def forget_old(db: Database, now: int) -> None:
    """Remove what was over long ago."""
    db.execute("DELETE FROM matters WHERE over_at < ?", [now - int(KEPT_SECONDS * 1000)])
