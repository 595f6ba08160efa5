"""Rate limits against guessing: failed logins and PINs are counted, and after too many the next try has to wait."""

from __future__ import annotations

import hashlib
from typing import Literal

from device.contract import ClockfaceError
from device.storage.audit import Action
from device.storage.store import Store
from device.system.clock import to_ms

Kind = Literal["password", "pin"]
WRONG: dict[Kind, Action] = {"password": Action.WRONG_PASSWORD, "pin": Action.WRONG_PIN}
WINDOW_SECONDS = 900.0  # how long a failure counts
MOST_OF_SUBJECT_AND_ADDRESS = 5  # failures of one login or code from one address
MOST_OF_ADDRESS = 20  # ... of one address
MOST_OF_SUBJECT = 40  # ... of one login or code, from any address; high, since otherwise strangers could lock the owner out


class LockedOut(ClockfaceError):
    """Too many failures; the message gives the time to wait."""

    code = "login.locked_out"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"too many failed attempts: wait {max(1, round(seconds / 60))} minutes, then try again")


def check(store: Store, kind: Kind, subject: str, address: str, now: float) -> None:
    """Check the limits; call it before a password or PIN is verified, so that a right guess during a lock reveals nothing.

    Raises:
        LockedOut: too many failures in the last `WINDOW_SECONDS`.
    """
    limits = (
        ("subject = :subject AND address = :address", MOST_OF_SUBJECT_AND_ADDRESS),
        ("address = :address", MOST_OF_ADDRESS),
        ("subject = :subject", MOST_OF_SUBJECT),
    )
    values = {"kind": kind, "since": to_ms(now - WINDOW_SECONDS), "until": to_ms(now), "subject": _hash(subject), "address": address}
    for condition, most in limits:
        sql = f"SELECT at FROM attempts WHERE kind = :kind AND at BETWEEN :since AND :until AND {condition} ORDER BY at DESC LIMIT {most}"
        with store.reading() as db:
            failures = [row[0] / 1000 for row in db.execute(sql, values)]
        if len(failures) >= most:
            raise LockedOut(failures[-1] + WINDOW_SECONDS - now)


def failed(store: Store, kind: Kind, subject: str, address: str, now: float) -> None:
    """Count a failure and write it into the audit."""
    with store.transaction() as db:
        db.execute("INSERT INTO attempts (at, kind, subject, address) VALUES (?, ?, ?, ?)", [to_ms(now), kind, _hash(subject), address])
        store.note(WRONG[kind], address=address)


def forgive(store: Store, kind: Kind, subject: str) -> None:
    """Reset the failures of this login or code after a success."""
    with store.transaction() as db:
        db.execute("DELETE FROM attempts WHERE kind = ? AND subject = ?", [kind, _hash(subject)])


def _hash(subject: str) -> str:
    return hashlib.sha256(subject.strip().casefold().encode("utf-8", "surrogatepass")).hexdigest()
