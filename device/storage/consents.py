"""Consent to templates: the wording shown, its version and language, when and how it was given, when it was withdrawn.

The rows stay when a person is erased: with the pseudonym they prove that it was lawful to keep the templates.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal, get_args

from sqlite_utils import Database

from device.storage.database import StoreError
from device.storage.records import clean_text
from device.system.clock import to_ms

Way = Literal["screen", "paper", "declared"]  # declared: by the operator who enrolled at the command line


@dataclass(frozen=True)
class ConsentDraft:
    """A consent to be stored with the templates it allows."""

    version: str  # of the wording
    language: str
    wording: str  # the whole text as it was shown
    way: Way  # given on the screen, signed on paper that the company keeps, or declared by the operator
    given_at: float  # s since the epoch, UTC

    def __post_init__(self) -> None:
        if not self.wording.strip() or self.way not in get_args(Way):
            raise StoreError(f"consent: expected the wording that was agreed to, and one of {', '.join(get_args(Way))}", code="store.consent")
        clean_text("version of the consent", self.version, 60)


@dataclass(frozen=True)
class Consent:
    """A stored consent."""

    id: int
    person_id: int
    version: str
    language: str
    way: str
    given_at: float  # s since the epoch, UTC
    withdrawn_at: float | None
    recorded_by: str


def give(db: Database, person_id: int, draft: ConsentDraft, actor: str) -> int:
    """Store a consent inside the caller's transaction; returns its id."""
    sql = "INSERT INTO consents (person_id, wording, given_at, recorded_by, version, language, way) VALUES (?, ?, ?, ?, ?, ?, ?)"
    row = [person_id, draft.wording, to_ms(draft.given_at), actor, draft.version, draft.language, draft.way]
    return int(db.execute(sql, row).lastrowid or 0)


def withdraw(db: Database, person_id: int) -> int:
    """Withdraw all consents of a person inside the caller's transaction; returns how many were in force."""
    sql = "UPDATE consents SET withdrawn_at = ? WHERE person_id = ? AND withdrawn_at IS NULL"
    return int(db.execute(sql, [to_ms(time.time()), person_id]).rowcount)


def of(db: Database, person_id: int) -> list[Consent]:
    """All consents of a person, the newest first."""
    columns = "id, person_id, coalesce(version, ''), coalesce(language, ''), coalesce(way, ''), given_at, withdrawn_at, recorded_by"
    rows = db.execute(f"SELECT {columns} FROM consents WHERE person_id = ? ORDER BY id DESC", [person_id]).fetchall()
    return [Consent(i, who, version, language, way, at / 1000, None if end is None else end / 1000, by) for i, who, version, language, way, at, end, by in rows]


def in_force(db: Database) -> set[int]:
    """Ids of people who have a consent that is not withdrawn."""
    return {row[0] for row in db.execute("SELECT DISTINCT person_id FROM consents WHERE withdrawn_at IS NULL")}


def asked_again(db: Database, person_id: int, wording: str) -> bool:
    """Whether a person has no consent in force to this wording: it has changed since, or they never gave one."""
    sql = "SELECT 1 FROM consents WHERE person_id = ? AND withdrawn_at IS NULL AND wording = ?"
    return db.execute(sql, [person_id, wording]).fetchone() is None
