"""Sessions: a random token in the browser, its hash in the store, and two time limits, idle and absolute.

A browser at the kiosk may hold one session for its own pages (`kiosk`), which ends soon, and one for the review site
(`desk`); neither opens the other's pages.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal

from device.config import WebSettings
from device.storage.audit import Action
from device.storage.store import Store
from device.system.clock import to_ms
from device.web.access.accounts import COLUMNS, User, _user

Place = Literal["desk", "kiosk"]
KIOSK_IDLE_SECONDS = 180.0  # so that an unattended kiosk locks itself
KIOSK_LONGEST_SECONDS = 1800.0
TOUCH_SECONDS = 20.0  # how often the last activity is stored, so that not every click costs a write to the disk


@dataclass(frozen=True)
class Limits:
    idle_seconds: float
    longest_seconds: float


def limits(settings: WebSettings, place: Place) -> Limits:
    if place == "kiosk":
        return Limits(KIOSK_IDLE_SECONDS, KIOSK_LONGEST_SECONDS)
    return Limits(settings.idle_minutes * 60.0, settings.longest_hours * 3600.0)


def start(store: Store, user: User, place: Place, now: float) -> str:
    """Log somebody in; returns the token for the browser's cookie."""
    token = secrets.token_urlsafe(32)
    with store.transaction() as db:
        row = [_hash(token), user.id, place, to_ms(now), to_ms(now)]
        db.execute("INSERT INTO sessions (token_hash, user_id, place, created_at, seen_at) VALUES (?, ?, ?, ?, ?)", row)
        store.note(Action.LOGGED_IN, user_id=user.id, place=place)
    return token


def find(store: Store, token: str, place: Place, ends: Limits, now: float) -> User | None:
    """The user of a token; None if it is unknown or expired, or if the clock was set back to before its start."""
    with store.reading() as db:
        sql = f"SELECT {COLUMNS}, s.created_at, s.seen_at FROM sessions s JOIN users u ON u.id = s.user_id WHERE token_hash = ? AND place = ? AND active = 1"
        row = db.execute(sql.replace(COLUMNS, ", ".join(f"u.{name}" for name in COLUMNS.split(", "))), [_hash(token), place]).fetchone()
    if row is None:
        return None
    seen = row[-1] / 1000
    if not lasts(row[-2] / 1000, seen, ends, now):
        end(store, token)
        return None
    if now - seen > TOUCH_SECONDS:
        with store.transaction() as db:
            db.execute("UPDATE sessions SET seen_at = ? WHERE token_hash = ?", [to_ms(now), _hash(token)])
    return _user(row)


def lasts(since: float, seen: float, ends: Limits, now: float) -> bool:
    """Whether a session is still open."""
    return since - 1 <= now < since + ends.longest_seconds and now < seen + ends.idle_seconds


def end(store: Store, token: str) -> None:
    """Log out."""
    with store.transaction() as db:
        db.execute("DELETE FROM sessions WHERE token_hash = ?", [_hash(token)])


def end_others(store: Store, user: User, place: Place, token: str) -> None:
    """End what a login takes the place of: the user's other sessions at this place, and the session that the browser had."""
    with store.transaction() as db:
        db.execute("DELETE FROM sessions WHERE (user_id = ? AND place = ?) OR token_hash = ?", [user.id, place, _hash(token)])


@dataclass(frozen=True)
class Session:
    """One open session as its owner sees it."""

    place: Place
    since: float  # s since the epoch
    seen: float  # last activity, to within TOUCH_SECONDS
    here: bool


def of(store: Store, user: User, settings: WebSettings, token: str, now: float) -> list[Session]:
    """The open sessions of a user; `token` is that of the browser that asks."""
    with store.reading() as db:
        rows = db.execute("SELECT place, created_at, seen_at, token_hash FROM sessions WHERE user_id = ? ORDER BY created_at", [user.id]).fetchall()
    found = [Session(row[0], row[1] / 1000, row[2] / 1000, row[3] == _hash(token)) for row in rows]
    return [session for session in found if lasts(session.since, session.seen, limits(settings, session.place), now)]


def end_elsewhere(store: Store, user: User, token: str) -> None:
    """End all sessions of a user but the one with this token."""
    with store.transaction() as db:
        db.execute("DELETE FROM sessions WHERE user_id = ? AND token_hash <> ?", [user.id, _hash(token)])
        store.note(Action.SESSIONS_ENDED, user_id=user.id)


def tidy(store: Store, now: float) -> None:
    """Remove expired sessions and old failed attempts, whatever the settings are."""
    with store.transaction() as db:
        db.execute("DELETE FROM sessions WHERE created_at < ?", [to_ms(now - 169 * 3600)])
        db.execute("DELETE FROM attempts WHERE at < ?", [to_ms(now - 86400)])


def form_token(secret: str) -> str:
    """The token that every form must carry: derived from the session cookie, useless without it, and not the cookie itself."""
    return hmac.new(secret.encode(), b"clockface form", hashlib.sha256).hexdigest()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
