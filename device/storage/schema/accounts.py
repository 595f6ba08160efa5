"""Approved overtime, bookings to the accounts of people, and what a lock keeps of an account."""

ACCOUNTS = """
CREATE TABLE overtime_approvals (  -- only grows; of several for one day of a person the last one counts
    id INTEGER PRIMARY KEY,
    person_id INTEGER NOT NULL REFERENCES people (id),
    day TEXT NOT NULL,
    minutes INTEGER NOT NULL CHECK (minutes >= 0),  -- as many count at most
    approved_by TEXT NOT NULL,
    approved_at INTEGER NOT NULL
) STRICT;
CREATE INDEX overtime_approvals_by_person ON overtime_approvals (person_id, day);

CREATE TABLE account_bookings (  -- only grows; a mistake is booked back
    id INTEGER PRIMARY KEY,
    person_id INTEGER NOT NULL REFERENCES people (id),
    account TEXT NOT NULL CHECK (account IN ('time', 'leave')),
    kind TEXT NOT NULL,
    day TEXT NOT NULL,
    amount INTEGER NOT NULL,  -- minutes of time, hundredths of a day of leave; with a sign
    reason TEXT NOT NULL,
    booked_by TEXT NOT NULL,
    booked_at INTEGER NOT NULL
) STRICT;
CREATE INDEX account_bookings_by_person ON account_bookings (person_id, account, day);

ALTER TABLE locked_sheets ADD COLUMN account_before INTEGER;  -- minutes on the person's account when the period began; NULL: there was no account
ALTER TABLE locked_sheets ADD COLUMN account_after INTEGER;
"""

LOCKED = {
    ("overtime_approvals", "INSERT"): "NEW.day BETWEEN l.first_day AND l.last_day",
    ("account_bookings", "INSERT"): "NEW.account = 'time' AND NEW.day <= l.last_day",
}
