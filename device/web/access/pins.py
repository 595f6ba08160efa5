"""Recording without a face, by employee code and PIN. HR sets a PIN, or the person changes it at the kiosk; only its hash is stored."""

from __future__ import annotations

import re
import secrets
import time

from device.contract import ClockfaceError, phrase
from device.storage.audit import Action
from device.storage.records import Person
from device.storage.store import Store
from device.system.clock import to_ms
from device.web.access import passwords, rate_limit

DIGITS = 6  # of a generated PIN
PIN = re.compile(r"[0-9]{4,8}")


class PinError(ClockfaceError):
    """A PIN that is wrong or was refused. For a wrong one the message never tells whether the code or the PIN was wrong."""

    code = "pin"


def invented() -> str:
    """A PIN that is not easy to guess."""
    while easy(pin := "".join(secrets.choice("0123456789") for _ in range(DIGITS))):
        pass
    return pin


def easy(pin: str) -> bool:
    """Whether a PIN has only one or two different digits, or is a sequence up or down."""
    steps = {(int(b) - int(a)) % 10 for a, b in zip(pin, pin[1:], strict=False)}
    return len(set(pin)) < 3 or steps <= {1} or steps <= {9}


def set_pin(store: Store, person_id: int, pin: str) -> None:
    """Raises:
    PinError: it is not 4 to 8 digits, or easy to guess.
    StoreError: no such person, or erased.
    """
    if not PIN.fullmatch(pin) or easy(pin):
        raise PinError(phrase("pin.weak", "a PIN has 4 to 8 digits, not all alike and not in a row such as 1234"), code="pin.weak")
    person = store.person(person_id)
    if person.erased or person.code is None:
        raise PinError(phrase("pin.no_code", "a PIN needs an employee code; give this person a code first"), code="pin.no_code")
    stored = passwords.hashed(pin)
    with store.transaction() as db:
        sql = "INSERT INTO pins (person_id, hash, set_at) VALUES (?, ?, ?) ON CONFLICT (person_id) DO UPDATE SET hash = excluded.hash, set_at = excluded.set_at"
        db.execute(sql, [person_id, stored, to_ms(time.time())])
        store.note(Action.PIN_SET, person_id=person_id)


def remove_pin(store: Store, person_id: int) -> None:
    with store.transaction() as db:
        if db.execute("DELETE FROM pins WHERE person_id = ?", [person_id]).rowcount:
            store.note(Action.PIN_REMOVED, person_id=person_id)


def who_have_one(store: Store) -> set[int]:
    with store.reading() as db:
        return {row[0] for row in db.execute("SELECT person_id FROM pins")}


def identify(store: Store, code: str, pin: str, address: str, now: float) -> Person:
    """The person of a code and PIN.

    Raises:
        LockedOut: too many failures.
        PinError: code or PIN is wrong, or the person is not active; which, it does not say.
    """
    rate_limit.begin(store, "pin", code, address, now)
    with store.reading() as db:
        sql = "SELECT p.id, hash FROM people p JOIN pins ON person_id = p.id WHERE code = ? AND active = 1"
        row = db.execute(sql, [code.strip()]).fetchone()
    if not passwords.matches(row[1] if row else None, pin[:20]):
        rate_limit.failed(store, "pin", address, person_id=row[0] if row else None)
        raise PinError("code or PIN is wrong", code="pin.wrong")
    rate_limit.forgive(store, "pin", code, address)
    return store.person(int(row[0]))
