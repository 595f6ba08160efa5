"""What a terminal that was just hung up still needs, one step after the other: each is done, skipped for now, or open. Nothing forces anybody."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Literal, get_args

from sqlite_utils import Database

from device.maintenance import first_sight
from device.storage import settings as stored_settings
from device.storage.audit import Action
from device.storage.store import Store, StoreError

Step = Literal["site", "country", "shifts", "people", "camera", "backup"]
STEPS: tuple[Step, ...] = get_args(Step)
StepState = Literal["done", "skipped", "open"]
KEY = "set_up"  # in table settings: what was skipped; it stays on this terminal
SITE = "SELECT value FROM settings WHERE key = 'site'"


def states(store: Store, file: Path | None) -> dict[Step, StepState]:
    """Each step with how it stands; what the database or the configuration file already has is done."""
    with store.reading() as db:
        done, skipped = _done(db), set(_skipped(db))
    if "web.language" in stored_settings.fixed_by(file):
        done.add("site")
    return {step: "done" if step in done else "skipped" if step in skipped else "open" for step in STEPS}


def skip(store: Store, step: str, yes: bool) -> None:
    """Leave a step for later, or take it up again.

    Raises:
        StoreError: there is no such step.
    """
    if step not in STEPS:
        raise StoreError(f"there is no step {step[:20]!r}; the steps are {', '.join(STEPS)}", code="store.no_such")
    with store.transaction() as db:
        found = {name for name in _skipped(db) if name != step} | ({step} if yes else set())
        db.execute("INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", [KEY, json.dumps(sorted(found))])


def fresh(store: Store) -> bool:
    """Whether nobody has begun to set this terminal up: no step of it is done or skipped, and nobody has been added."""
    with store.reading() as db:
        return not _done(db) and not _skipped(db) and not db.execute("SELECT 1 FROM people LIMIT 1").fetchone()


def _done(db: Database) -> set[Step]:
    site = db.execute(SITE).fetchone()
    law = json.loads(site[0]).get("accounting", {}).get("law", "none") if site else "none"
    found: dict[Step, bool] = {
        "site": site is not None,
        "country": law != "none" or _any(db, "holidays"),
        "shifts": _any(db, "plans"),
        "people": _any(db, "templates"),
        "camera": _any(db, "settings WHERE key = ?", first_sight.KEY),
        "backup": _any(db, "audit WHERE action = ?", Action.BACKUP_MADE.value),
    }
    return {step for step, yes in found.items() if yes}


def _any(db: Database, rows: str, *values: str) -> bool:
    return db.execute(f"SELECT 1 FROM {rows} LIMIT 1", values).fetchone() is not None


def _skipped(db: Database) -> Collection[str]:
    row = db.execute("SELECT value FROM settings WHERE key = ?", [KEY]).fetchone()
    return list(json.loads(row[0])) if row else []
