"""The time account of a person: what was carried over, what days have added, what HR has booked.

It begins with an opening balance or on the site's `account_since`; without either there is none. Balances are computed at each view. A lock
keeps what was on the account when its period began and ended; what follows is computed from there, so that nothing later changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlite_utils import Database

from device.attendance.four_eyes import is_lead, why_not_for
from device.attendance.planning import read_site
from device.attendance.sheets import sheet_within, site_on
from device.attendance.timesheet.accounting import TimesheetError, hours_from
from device.contract import phrase
from device.storage.audit import Action
from device.storage.database import StoreError
from device.storage.records import clean_text
from device.storage.store import Store
from device.system.clock import to_ms

ONE_DAY = timedelta(days=1)
CHUNK_DAYS = 92  # computed at a time
KINDS = {
    "time": {"opening": "opening balance", "payout": "paid out", "correction": "correction"},
    "leave": {"entitlement": "entitlement", "carried": "carried from before", "payout": "paid out", "forfeited": "forfeited", "correction": "correction"},
}
LARGEST = {"time": 10_000 * 60, "leave": 400 * 100}  # minutes; hundredths of a day


@dataclass(frozen=True)
class Booking:
    """A booking to an account: minutes of time, or hundredths of a day of leave; with a sign."""

    id: int
    person_id: int
    account: str
    kind: str
    day: date
    amount: int
    reason: str
    booked_by: str
    booked_at: float  # s since the epoch


@dataclass(frozen=True)
class Statement:
    """A person's time account over some days, in minutes."""

    before: int
    earned: int  # what the days have added, of overtime what counts
    booked: int

    @property
    def after(self) -> int:
        return self.before + self.earned + self.booked


def book(store: Store, booking: Booking) -> int:
    """Returns the id of the booking.

    Raises:
        StoreError: no such person or kind, no reason, too large an amount, or the account was locked on that day.
        NotAllowed: the site requires four eyes, and it is the account of whoever books.
    """
    store.person(booking.person_id)
    if booking.kind not in KINDS.get(booking.account, {}):
        known = "; ".join(f"{account}: {', '.join(kinds)}" for account, kinds in KINDS.items())
        got = f"{booking.account[:20]!r} {booking.kind[:20]!r}"
        raise StoreError(phrase("booking.kind", "booking: expected a kind of {known}, got {got}", known=known, got=got), code="store.booking")
    if abs(booking.amount) > LARGEST[booking.account] or (booking.amount == 0 and booking.kind != "opening"):
        raise StoreError(phrase("booking.amount", "booking: an amount of {amount} is zero or too large", amount=booking.amount), code="store.booking")
    values = [booking.person_id, booking.account, booking.kind, booking.day.isoformat(), booking.amount, clean_text("reason", booking.reason, 200)]
    with store.transaction() as db:
        denied = why_not_for(db, booking.person_id, booking.booked_by) if read_site(db).four_eyes or is_lead(db, booking.booked_by) else None
        if denied is not None:
            store.note_by(booking.booked_by, Action.APPROVAL_DENIED, person_id=booking.person_id, reason=denied.code)
        else:
            sql = "INSERT INTO main.account_bookings (person_id, account, kind, day, amount, reason, booked_by, booked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            number = int(db.execute(sql, [*values, clean_text("name", booking.booked_by, 200), to_ms(booking.booked_at)]).lastrowid or 0)
            store.note_by(booking.booked_by, Action.ACCOUNT_BOOKED, person_id=booking.person_id, booking_id=number, account=booking.account)
    if denied is not None:
        raise denied
    return number


def bookings(db: Database, person_id: int, account: str, first: date, last: date) -> list[Booking]:
    sql = """SELECT id, person_id, account, kind, day, amount, reason, booked_by, booked_at FROM account_bookings
        WHERE person_id = ? AND account = ? AND day BETWEEN ? AND ? ORDER BY day, id"""
    rows = db.execute(sql, [person_id, account, first.isoformat(), last.isoformat()]).fetchall()
    return [Booking(row[0], row[1], row[2], row[3], date.fromisoformat(row[4]), row[5], row[6], row[7], row[8] / 1000) for row in rows]


def amount_from(account: str, text: str) -> int:
    """ "-2:30" or "2:30" of time -> minutes, "2.5" of leave -> hundredths of a day.

    Raises:
        TimesheetError: it is neither.
    """
    sign, plain = (-1, text.strip()[1:]) if text.strip().startswith("-") else (1, text.strip().lstrip("+"))
    if account == "time":
        return sign * (hours_from(plain) or 0)
    whole, _, part = plain.replace(",", ".").partition(".")
    if not whole.isdecimal() or len(whole) > 4 or not (part or "0").isdecimal() or len(part) > 2:
        raise TimesheetError(phrase("text.leave", "{text!a} is not a number of days; write it as 2.5", text=text[:20]), code="timesheet.text")
    return sign * (int(whole) * 100 + int(part.ljust(2, "0") or 0))


def statement(db: Database, person_id: int, days: Sequence[date], as_of: int) -> Statement | None:
    """A person's account over consecutive days; None: it had not begun. `as_of`: minutes since the epoch."""
    begun = _anchor(db, person_id, days[-1])
    if begun is None:
        return None
    before = balance(db, person_id, days[0], as_of) or 0
    after = balance(db, person_id, days[-1] + ONE_DAY, as_of) or 0
    since = begun[0] if _anchor(db, person_id, days[0]) is None else days[0]
    earned = sum(minutes for _, minutes in _counting(db, person_id, max(since, days[0]), days[-1] + ONE_DAY, as_of))
    return Statement(before, earned, after - before - earned)


def balance(db: Database, person_id: int, day: date, as_of: int) -> int | None:
    """Minutes on a person's account when a day begins; None: it had not begun."""
    anchor = _anchor(db, person_id, day)
    if anchor is None:
        return None
    since, minutes = anchor
    if since >= day:
        return minutes
    booked = sum(one.amount for one in bookings(db, person_id, "time", since, day - ONE_DAY) if one.kind != "opening")
    return minutes + booked + sum(earned for _, earned in _counting(db, person_id, since, day, as_of))


def _anchor(db: Database, person_id: int, day: date) -> tuple[date, int] | None:
    """The last day up to a day on whose begin the account is known, and what was on it: from a lock, an opening balance or the site's rule."""
    sql = """SELECT date(l.last_day, '+1 day') AS since, s.account_after FROM locked_sheets s JOIN period_locks l ON l.id = s.lock_id
            WHERE s.person_id = :person AND l.lifted_at IS NULL AND s.account_after IS NOT NULL
        UNION ALL SELECT l.first_day, s.account_before FROM locked_sheets s JOIN period_locks l ON l.id = s.lock_id
            WHERE s.person_id = :person AND l.lifted_at IS NULL AND s.account_before IS NOT NULL
        UNION ALL SELECT day, amount FROM (
            SELECT day, amount FROM account_bookings WHERE person_id = :person AND account = 'time' AND kind = 'opening' ORDER BY id)"""
    known: list[tuple[date, int]]
    known = [(date.fromisoformat(since), minutes) for since, minutes in db.execute(sql, {"person": person_id}) if since <= day.isoformat()]
    if known:
        return max(reversed(known), key=lambda pair: pair[0])  # of one day the last: an opening balance after a lock, the newer of two
    begins = read_site(db).accounting.account_since
    return (begins, 0) if begins is not None and begins <= day else None


def _counting(db: Database, person_id: int, first: date, end: date, as_of: int) -> Iterator[tuple[date, int]]:
    """What counts of each day from the first to the one before `end`."""
    while first < end:
        days = [first + timedelta(days=offset) for offset in range(min(CHUNK_DAYS, (end - first).days))]
        for day in sheet_within(db, person_id, days, site_on(db, days[0], days[-1]), as_of).days:
            yield day.day, day.counting_minutes
        first = days[-1] + ONE_DAY


def closing(db: Database, first: date, last: date, as_of: int) -> dict[int, tuple[int | None, int]]:
    """person id -> what is on the account when a period that is being locked begins and ends; those without an account are left out."""
    found = {}
    for (person,) in db.execute("SELECT id FROM people ORDER BY id").fetchall():
        if _anchor(db, person, last) is not None:
            found[person] = balance(db, person, first, as_of), balance(db, person, last + ONE_DAY, as_of) or 0
    return found


def grant(store: Store, people: Sequence[int], year: int, amount: int, by: str, now: float, reason: str = "") -> tuple[int, int]:
    """Grant the same leave of a year (hundredths of a day) to people who have none of it yet; returns to how many, and how many were left out."""
    first = date(year, 1, 1)
    with store.reading() as db:
        sql = "SELECT person_id FROM account_bookings WHERE account = 'leave' AND kind = 'entitlement' AND day BETWEEN ? AND ?"
        had = {row[0] for row in db.execute(sql, [first.isoformat(), date(year, 12, 31).isoformat()])}
        own = {person for person in people if read_site(db).four_eyes and why_not_for(db, person, by)}
    due = [person for person in people if person not in had | own]
    for person in due:
        book(store, Booking(0, person, "leave", "entitlement", first, amount, reason or f"leave of {year}", by, now))
    return len(due), len(people) - len(due)
