"""Four eyes are those of two people: who may approve a request, by the person behind each login and each PIN."""

from __future__ import annotations

from sqlite_utils import Database

from device.contract import phrase
from device.storage.audit import Action
from device.storage.corrections import CorrectionDraft
from device.storage.database import StoreError
from device.system.clock import to_ms

PIN_SECONDS = 7 * 86400.0  # how long whoever issued a PIN may know it


class NotAllowed(StoreError):
    """A decision that this person may not make, or a change in a locked period."""

    code = "correction.not_allowed"


def why_not(db: Database, draft: CorrectionDraft, requested_by: str, requested_at: float, by: str) -> NotAllowed | None:
    """Why an actor may not approve a request; None if they may.

    Args:
        requested_at: s since the epoch.
    """
    actors = same_person(db, by, person_of(db, by)[0])
    if requested_by in actors:
        words = phrase("eyes.own", "nobody approves a correction they asked for themselves; let somebody else decide it")
        return NotAllowed(words, code="correction.own")
    if why := why_not_for(db, draft.person_id, by):
        return why
    if requested_by.startswith("person:") and _issued_pin(db, draft.person_id, requested_at, actors):
        words = phrase("eyes.own_pin", "you issued the PIN that asked for this, within seven days before; let somebody else decide it")
        return NotAllowed(words, code="correction.own_pin")
    return None


def is_lead(db: Database, actor: str) -> bool:
    """Whether an actor is a login that sees some departments only; its decisions need four eyes whatever the site says."""
    kind, _, number = actor.partition(":")
    if kind != "user" or not number.isdecimal():
        return False
    return db.execute("SELECT 1 FROM users WHERE id = ? AND departments IS NOT NULL", [int(number)]).fetchone() is not None


def why_not_for(db: Database, person_id: int, by: str) -> NotAllowed | None:
    """Why an actor may not approve anything of a person's times; None if they may."""
    own, unknown = person_of(db, by)
    if unknown:
        words = phrase("eyes.no_person", "this login belongs to nobody yet; an administrator names its person on Users and roles, or with `users person`")
        return NotAllowed(words, code="correction.no_person")
    if own == person_id:
        words = phrase("eyes.own_times", "nobody approves a correction or overtime of their own times; let somebody else decide it")
        return NotAllowed(words, code="correction.own_times")
    return None


def person_of(db: Database, actor: str) -> tuple[int | None, bool]:
    """The person behind an actor, and whether that still has to be said. Actors that are no login (a command) are nobody's."""
    kind, _, number = actor.partition(":")
    if kind != "user" or not number.isdecimal():
        return None, False
    row = db.execute("SELECT person_id, elsewhere FROM users WHERE id = ?", [int(number)]).fetchone()
    return (None, True) if row is None else (row[0], row[0] is None and not row[1])


def same_person(db: Database, actor: str, person_id: int | None) -> frozenset[str]:
    """All actors that are the same person: every login of theirs, and the person at the kiosk."""
    if person_id is None:
        return frozenset({actor})
    logins = db.execute("SELECT id FROM users WHERE person_id = ?", [person_id])
    return frozenset({actor, f"person:{person_id}", *(f"user:{row[0]}" for row in logins)})


def _issued_pin(db: Database, person_id: int, before: float, actors: frozenset[str]) -> bool:
    """Whether one of the actors set the PIN of a person in the days before a moment."""
    sql = "SELECT actor FROM audit WHERE action = ? AND at BETWEEN ? AND ? AND json_extract(details, '$.person_id') = ?"
    rows = db.execute(sql, [Action.PIN_SET.value, to_ms(before - PIN_SECONDS), to_ms(before), person_id])
    return any(row[0] in actors for row in rows)
