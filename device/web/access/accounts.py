"""Who may use the web pages: logins with a role. Kept in the store's `users` table; nobody is deleted, only deactivated."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from device.config import DESK_LANGUAGES
from device.contract import ClockfaceError, phrase
from device.storage.audit import Action
from device.storage.corrections import NOBODYS_LOGINS
from device.storage.groups import LONGEST_DEPARTMENT
from device.storage.records import clean_text
from device.storage.roles import ROLES as ROLES
from device.storage.roles import Role as Role
from device.storage.store import Store
from device.system.clock import to_ms
from device.web.access import passwords

LONGEST_LOGIN = 60  # characters


class AccountError(ClockfaceError):
    """A change of accounts that was refused; the message gives the reason."""

    code = "account"


@dataclass(frozen=True)
class User:
    id: int
    login: str
    role: Role
    must_change: bool  # the password, before anything else
    active: bool
    departments: tuple[str, ...] = ()  # whose people alone this login sees and decides on; empty: everybody
    language: str = ""  # of the desk's pages; "": the one that the browser asks for

    @property
    def actor(self) -> str:
        """The name of this user in the audit."""
        return f"user:{self.id}"

    def may(self, role: Role) -> bool:
        """Whether this user has at least the rights of `role`."""
        return self.active and ROLES.index(self.role) >= ROLES.index(role)


COLUMNS = "id, login, role, must_change, active, departments, language"


def _user(row: tuple[Any, ...]) -> User:
    return User(row[0], row[1], row[2], bool(row[3]), bool(row[4]), tuple(json.loads(row[5])) if row[5] else (), row[6])


def users(store: Store) -> list[User]:
    """All users, sorted by login."""
    with store.reading() as db:
        return [_user(row) for row in db.execute(f"SELECT {COLUMNS} FROM users ORDER BY login")]


def user(store: Store, user_id: int) -> User:
    """Raises:
    AccountError: there is none with this id.
    """
    with store.reading() as db:
        row = db.execute(f"SELECT {COLUMNS} FROM users WHERE id = ?", [user_id]).fetchone()
    if row is None:
        raise AccountError(phrase("account.unknown", "there is no user with id {id}", id=user_id), code="account.unknown")
    return _user(row)


def by_login(store: Store, login: str) -> tuple[User, str] | None:
    """An active user and the hash of the password."""
    with store.reading() as db:
        row = db.execute(f"SELECT {COLUMNS}, password_hash FROM users WHERE login = ? AND active = 1", [login.strip()]).fetchone()
    return (_user(row), row[-1]) if row else None


def add(store: Store, login: str, role: str, password: str) -> User:
    """A new user, who must change the password at the first login.

    Raises:
        AccountError, WeakPassword, StoreError: the login is taken or cannot be kept, no such role, the password is weak.
    """
    login = clean_text("login", login, LONGEST_LOGIN)
    passwords.check_strength(password, login)
    stored = passwords.hashed(password)
    with store.transaction() as db:
        if db.execute("SELECT 1 FROM users WHERE login = ?", [login]).fetchone():
            words = phrase("account.taken", "the login {login!r} is taken; choose another one, or activate that user again", login=login)
            raise AccountError(words, code="account.taken")
        sql = "INSERT INTO users (login, role, password_hash, must_change, created_at) VALUES (?, ?, ?, 1, ?)"
        user_id = db.execute(sql, [login, checked_role(role), stored, to_ms(time.time())]).lastrowid
        store.note(Action.USER_ADDED, user_id=user_id, role=role)
    assert user_id is not None
    return user(store, user_id)


def change(store: Store, user_id: int, *, role: str | None = None, active: bool | None = None) -> User:
    """Change the role of a user, or switch the login off or on. Open sessions of the user end.

    Raises:
        AccountError: no such user or role; or nobody would be left who may administer.
    """
    with store.transaction() as db:
        row = db.execute(f"SELECT {COLUMNS} FROM users WHERE id = ?", [user_id]).fetchone()
        if row is None:
            raise AccountError(phrase("account.unknown", "there is no user with id {id}", id=user_id), code="account.unknown")
        if role == "admin" and row[5]:
            words = phrase("account.departments", "this login sees some departments only; let it see all of them first")
            raise AccountError(words, code="account.admin_departments")
        new_role, new_active = checked_role(role or row[2]), row[4] if active is None else int(active)
        others = db.execute("SELECT count(*) FROM users WHERE role = 'admin' AND active = 1 AND id <> ?", [user_id]).fetchone()[0]
        if not others and not (new_role == "admin" and new_active):
            raise AccountError(phrase("account.last_admin", "at least one active admin is needed: make another user admin first"), code="account.last_admin")
        db.execute("UPDATE users SET role = ?, active = ? WHERE id = ?", [new_role, new_active, user_id])
        db.execute("DELETE FROM sessions WHERE user_id = ?", [user_id])
        store.note(Action.USER_CHANGED, user_id=user_id, role=new_role, active=bool(new_active))
    return user(store, user_id)


def set_departments(store: Store, user_id: int, departments: Sequence[str]) -> User:
    """Let a login see and decide on the people of these departments alone; none: everybody. Open sessions of the user end.

    Raises:
        AccountError: no such user, or an administrator, who sees everything.
        StoreError: a department cannot be called so.
    """
    named = sorted({clean_text("department", name, LONGEST_DEPARTMENT) for name in departments})
    if named and user(store, user_id).role == "admin":
        raise AccountError(phrase("account.admin", "an administrator sees every department; give another role first"), code="account.admin_departments")
    with store.transaction() as db:
        db.execute("UPDATE users SET departments = ? WHERE id = ?", [json.dumps(named, ensure_ascii=False) if named else None, user_id])
        db.execute("DELETE FROM sessions WHERE user_id = ?", [user_id])
        store.note(Action.USER_DEPARTMENTS, user_id=user_id, departments=len(named))
    return user(store, user_id)


@dataclass(frozen=True)
class Owner:
    """Whose login it is: a person of this terminal, or somebody `elsewhere`; neither where that has not been said."""

    person_id: int | None
    name: str
    elsewhere: bool


def owners(store: Store) -> dict[int, Owner]:
    """The owner of each login, by its user's id."""
    sql = "SELECT u.id, u.person_id, coalesce(p.name, ''), u.elsewhere FROM users u LEFT JOIN people p ON p.id = u.person_id"
    with store.reading() as db:
        return {row[0]: Owner(row[1], row[2], bool(row[3])) for row in db.execute(sql)}


def nobodys(store: Store) -> list[str]:
    """Active logins that could approve, and may not until it is said whose they are."""
    with store.reading() as db:
        return [str(row[0]) for row in db.execute(NOBODYS_LOGINS)]


def set_owner(store: Store, user_id: int, person_id: int | None) -> None:
    """Say whose login it is; None: somebody who is not among the people recorded here.

    Raises:
        AccountError, StoreError: no such user or person, or the person is erased.
    """
    user(store, user_id)
    if person_id is not None and store.person(person_id).erased:
        raise AccountError(phrase("account.erased", "this person is erased; give another one"), code="account.unknown")
    with store.transaction() as db:
        db.execute("UPDATE users SET person_id = ?, elsewhere = ? WHERE id = ?", [person_id, int(person_id is None), user_id])
        store.note(Action.USER_IS_PERSON, user_id=user_id, person_id=person_id)


def set_password(store: Store, user_id: int, password: str, *, must_change: bool) -> None:
    """Set a new password; sessions that were opened with the old one end.

    Raises:
        AccountError, WeakPassword: no such user, or the password is weak.
    """
    passwords.check_strength(password, user(store, user_id).login)
    stored = passwords.hashed(password)
    with store.transaction() as db:
        db.execute("UPDATE users SET password_hash = ?, must_change = ? WHERE id = ?", [stored, int(must_change), user_id])
        db.execute("DELETE FROM sessions WHERE user_id = ?", [user_id])
        store.note(Action.PASSWORD_SET, user_id=user_id, must_change=must_change)


def set_language(store: Store, user_id: int, language: str) -> None:
    """The language in which this login reads the desk.

    Raises:
        AccountError: the desk does not have it.
    """
    if language not in DESK_LANGUAGES:
        raise AccountError(f"language {language[:20]!r}: expected one of {', '.join(DESK_LANGUAGES)}")
    with store.transaction() as db:
        db.execute("UPDATE users SET language = ? WHERE id = ?", [language, user_id])


def checked_role(role: str) -> Role:
    """Raises:
    AccountError: no such role.
    """
    for known in ROLES:
        if known == role:
            return known
    raise AccountError(f"role {role[:20]!r}: expected one of {', '.join(ROLES)}")
