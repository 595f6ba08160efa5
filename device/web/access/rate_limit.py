"""One door for every guess at a password or PIN: counted before it is examined, in one transaction, so that guesses at once count like those in a row.

A login or code waits after its failures, longer with each; an address is only slowed to a rate, so that nobody locks out the others behind it.
This machine's own screen is never refused for what others did there: its guesses are answered later (`pause_seconds`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

from sqlite_utils import Database

from device.contract import ClockfaceError
from device.storage.audit import Action
from device.storage.store import Store
from device.system.clock import to_ms
from device.web.connections import household, own_machine

Kind = Literal["password", "pin"]
WRONG: dict[Kind, Action] = {"password": Action.WRONG_PASSWORD, "pin": Action.WRONG_PIN}
WINDOW_SECONDS = 86400.0  # how long a failure of a login or code counts
FIRST_WAIT_SECONDS = 60.0  # it doubles with each further failure
OF_SUBJECT_AND_ADDRESS = 5, 3600.0  # failures of one login or code from one address before it waits, and the longest wait
OF_SUBJECT: dict[Kind, tuple[int, float]] = {  # ... from any address; high and short, since otherwise strangers could lock the owner out
    "password": (40, 60.0),
    "pin": (40, 900.0),
}
BURST = 20  # failures of an address before it is slowed down ...
SPACING_SECONDS = 15.0  # ... to one in this time
LONGEST_PAUSE_SECONDS = 4.0  # of an answer at this machine's own screen


class LockedOut(ClockfaceError):
    """Too many failures; the message gives the time to wait."""

    code = "login.locked_out"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        wait = f"{round(seconds / 60)} minutes" if seconds >= 90 else "a minute" if seconds > 30 else f"{max(1, round(seconds))} seconds"
        self.minutes = max(1, round(seconds / 60))
        super().__init__(f"too many failed attempts: wait {wait}, then try again")


def begin(store: Store, kind: Kind, subject: str, address: str, now: float) -> None:
    """Count a guess as a failure before it is examined; `forgive` takes that back. A refused one is not counted, and reveals nothing.

    Raises:
        LockedOut: this login or code has to wait, or this address is too fast.
    """
    subject, place = _hash(subject), household(address)
    with store.transaction() as db:
        seconds = max(
            _wait(_failures(db, kind, now, subject=subject, address=place), *OF_SUBJECT_AND_ADDRESS, now),
            _wait(_failures(db, kind, now, subject=subject), *OF_SUBJECT[kind], now),
            0.0 if own_machine(address) else _over_rate(_failures(db, kind, now, address=place), now),
        )
        if seconds > 0:
            raise LockedOut(seconds)
        db.execute("INSERT INTO attempts (at, kind, subject, address) VALUES (?, ?, ?, ?)", [to_ms(now), kind, subject, place])


def failed(store: Store, kind: Kind, address: str, **whose: int | None) -> None:
    """Note in the audit that a guess was wrong, and whose login or code it was for: `user_id` or `person_id`.

    What was typed for a login or code that nobody has is not kept: it may be a password.
    """
    with store.transaction():
        store.note(WRONG[kind], address=address, **whose)


def forgive(store: Store, kind: Kind, subject: str, address: str) -> None:
    """Forget the failures of this login or code from this address after a success there."""
    with store.transaction() as db:
        db.execute("DELETE FROM attempts WHERE kind = ? AND subject = ? AND address = ?", [kind, _hash(subject), household(address)])


def pause_seconds(store: Store, kind: Kind, address: str, now: float) -> float:
    """How long an answer at this machine's own screen is held back, s: 0 until there are more failures than `BURST` in a row."""
    if not own_machine(address):
        return 0.0
    with store.reading() as db:
        return min(LONGEST_PAUSE_SECONDS, _over_rate(_failures(db, kind, now, address=household(address)), now))


def _failures(db: Database, kind: Kind, now: float, **of: str) -> list[float]:
    """Times of counted guesses, s, oldest first."""
    where = " AND ".join(f"{column} = :{column}" for column in of)
    values: dict[str, Any] = {"kind": kind, "since": to_ms(now - WINDOW_SECONDS), "until": to_ms(now), **of}
    sql = f"SELECT at FROM attempts WHERE kind = :kind AND at BETWEEN :since AND :until AND {where} ORDER BY at DESC LIMIT 200"
    return [row[0] / 1000 for row in db.execute(sql, values)][::-1]


def _wait(failures: Sequence[float], free: int, longest: float, now: float) -> float:
    """How long a login or code has to wait: nothing for the first failures, then twice as long after each."""
    beyond = len(failures) - free
    return 0.0 if beyond < 0 else failures[-1] + min(longest, FIRST_WAIT_SECONDS * 2.0 ** min(beyond, 30)) - now


def _over_rate(failures: Sequence[float], now: float) -> float:
    """How long an address has to wait for its next guess: after a burst, one per `SPACING_SECONDS` (a leaky bucket, ITU-T I.371 annex A)."""
    full = 0.0  # when the bucket is empty again
    for at in failures:
        full = max(full, at) + SPACING_SECONDS
    return max(0.0, full - (BURST - 1) * SPACING_SECONDS - now)


def _hash(subject: str) -> str:
    return hashlib.sha256(subject.strip().casefold().encode("utf-8", "surrogatepass")).hexdigest()
