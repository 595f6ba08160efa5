"""Recipients: who is told of which matters, where, and when. A recipient with a login is told what that login sees, one without is told no names."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlite_utils import Database

from device.config import DESK_LANGUAGES
from device.storage.audit import Action
from device.storage.database import StoreError
from device.storage.matters import KINDS, Matter
from device.storage.roles import Role
from device.storage.store_file import StoreFile
from device.system.clock import to_ms

Way = Literal["once", "daily"]  # at once, or in the digest of the day
WAYS: tuple[Way, ...] = get_args(Way)
DEFAULT_HOUR = 7

RECIPIENTS = """SELECT r.*, u.login, u.role, u.departments, u.active,
    (SELECT json_group_object(kind, way) FROM recipient_rules WHERE recipient_id = r.id) AS rules
FROM recipients r LEFT JOIN users u ON u.id = r.user_id"""


@dataclass(frozen=True)
class Recipient:
    """Somebody, or a program, that is told of matters. Times are s since the epoch."""

    id: int
    connector: str
    address: str
    language: str
    digest_hour: int
    digest_day: str | None
    told_at: float
    created_at: float
    rules: Mapping[str, Way]  # kind of matters -> how they are told
    user_id: int | None
    login: str = ""
    role: Role | None = None
    departments: tuple[str, ...] = ()
    active: bool = True  # the login

    @property
    def names(self) -> bool:
        """Whether people are named to it."""
        return self.user_id is not None

    @property
    def place(self) -> str:
        return f"{self.address} ({self.connector})" if self.address else self.connector

    def sees(self, kind: str) -> bool:
        """Whether this kind is for its eyes: that of the login, as for the pages; numbers without names are for whoever an administrator chose."""
        if self.user_id is None:
            return True
        return self.active and self.role is not None and KINDS[kind].needed.fits(self.role, self.departments)

    def kinds(self, way: Way) -> list[str]:
        """The kinds that it is told of in this way."""
        return [kind for kind in KINDS if self.rules.get(kind) == way and self.sees(kind)]


def _recipient(row: Mapping[str, Any]) -> Recipient:
    known = {key: row[key] for key in ("id", "connector", "address", "language", "digest_hour", "digest_day", "user_id", "role")}
    rules = {kind: way for kind, way in json.loads(row["rules"]).items() if kind in KINDS}
    return Recipient(
        **known, told_at=row["told_at"] / 1000, created_at=row["created_at"] / 1000, rules=rules, login=row["login"] or "",
        departments=tuple(json.loads(row["departments"] or "[]")), active=row["active"] != 0,
    )  # fmt: skip


def recipients(db: Database) -> list[Recipient]:
    """All of them, by target and address."""
    return [_recipient(row) for row in list(db.query(f"{RECIPIENTS} ORDER BY r.connector, r.address"))]


def recipient(db: Database, number: int) -> Recipient:
    """Raises:
    StoreError: there is none with this number.
    """
    found = [_recipient(row) for row in list(db.query(f"{RECIPIENTS} WHERE r.id = ?", [number]))]
    if not found:
        raise StoreError(f"there is no recipient {number}; `python -m device notices` lists them", code="store.no_such")
    return found[0]


@dataclass(frozen=True)
class RecipientDraft:
    """What a form says of a recipient; the address was checked by its target."""

    connector: str
    address: str
    user_id: int | None
    language: str
    digest_hour: int
    rules: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.language not in DESK_LANGUAGES:
            raise StoreError(f"language {self.language[:20]!r}: expected one of {', '.join(DESK_LANGUAGES)}", code="notices.rule")
        if not 0 <= self.digest_hour <= 23:
            raise StoreError(f"hour of the digest: expected 0 to 23, got {self.digest_hour}", code="notices.rule")
        if unknown := [f"{kind}: {way}"[:60] for kind, way in self.rules.items() if kind not in KINDS or way not in WAYS]:
            raise StoreError(f"rule {unknown[0]!r}: expected a kind of {', '.join(KINDS)} and one of {', '.join(WAYS)}", code="notices.rule")


def add(store: StoreFile, draft: RecipientDraft, now: float) -> int:
    """A new recipient; returns its number.

    Raises:
        StoreError: this address is a recipient already, or there is no such login.
    """
    with store.transaction() as db:
        _check(db, draft, 0)
        row = [draft.connector, draft.address, draft.user_id, draft.language, draft.digest_hour, to_ms(now)]
        sql = "INSERT INTO recipients (connector, address, user_id, language, digest_hour, created_at) VALUES (?, ?, ?, ?, ?, ?)"
        number = int(db.execute(sql, row).lastrowid or 0)
        _set_rules(db, number, draft.rules)
        store.note(Action.RECIPIENT_SET, recipient_id=number, connector=draft.connector, user_id=draft.user_id, rules=_in_words(draft))
    return number


def change(store: StoreFile, number: int, draft: RecipientDraft) -> None:
    """Raises:
    StoreError: there is no such recipient or login, or another recipient has this address.
    """
    with store.transaction() as db:
        recipient(db, number)
        _check(db, draft, number)
        row = [draft.connector, draft.address, draft.user_id, draft.language, draft.digest_hour, number]
        db.execute("UPDATE recipients SET connector = ?, address = ?, user_id = ?, language = ?, digest_hour = ? WHERE id = ?", row)
        _set_rules(db, number, draft.rules)
        store.note(Action.RECIPIENT_SET, recipient_id=number, connector=draft.connector, user_id=draft.user_id, rules=_in_words(draft))


def remove(store: StoreFile, number: int) -> None:
    """Tell it nothing any more, not even what waits.

    Raises:
        StoreError: there is none with this number.
    """
    with store.transaction() as db:
        recipient(db, number)
        db.execute("DELETE FROM recipients WHERE id = ?", [number])
        store.note(Action.RECIPIENT_REMOVED, recipient_id=number)


def _check(db: Database, draft: RecipientDraft, number: int) -> None:
    if db.execute("SELECT 1 FROM recipients WHERE connector = ? AND address = ? AND id <> ?", [draft.connector, draft.address, number]).fetchone():
        raise StoreError(f"{draft.address or draft.connector} is a recipient already; change that one", code="notices.twice")
    if draft.user_id is not None and not db.execute("SELECT 1 FROM users WHERE id = ?", [draft.user_id]).fetchone():
        raise StoreError(f"there is no login with id {draft.user_id}", code="store.no_such")


def _in_words(draft: RecipientDraft) -> list[str]:
    return [f"{kind} {way}" for kind, way in draft.rules.items()]


def _set_rules(db: Database, number: int, rules: Mapping[str, str]) -> None:
    db.execute("DELETE FROM recipient_rules WHERE recipient_id = ?", [number])
    db.conn.executemany("INSERT INTO recipient_rules VALUES (?, ?, ?)", [(number, kind, way) for kind, way in rules.items()])


def visible(db: Database, one: Recipient, matters: Collection[Matter]) -> list[Matter]:
    """Those of its people: of the departments of its login, where that is limited."""
    if not one.departments:
        return list(matters)
    marks = ", ".join("?" * len(one.departments))
    sql = f"SELECT id FROM people WHERE department COLLATE NOCASE IN ({marks}) AND erased_at IS NULL"
    seen = {row[0] for row in db.execute(sql, list(one.departments))}
    return [matter for matter in matters if matter.person_id in seen]
