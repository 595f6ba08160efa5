"""Shifts, plans, absences, requests for corrections, and locked periods."""

CORRECTIONS = """
CREATE TEMP TABLE outbox_meanwhile AS SELECT * FROM outbox WHERE correction_id IS NOT NULL;  -- it refers to the table that is rebuilt
DELETE FROM outbox WHERE correction_id IS NOT NULL;
CREATE TABLE corrections_amended (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES people (id),
    punch_id INTEGER REFERENCES punches (id),  -- the punch it is about
    amends INTEGER REFERENCES corrections_amended (id),  -- the correction whose added punch it is about; both NULL: adds a punch
    occurred_at INTEGER,
    direction TEXT CHECK (direction IN ('in', 'out', 'break_start', 'break_end', 'auto')),  -- NULL: that punch does not count
    reason TEXT NOT NULL,
    corrected_by TEXT NOT NULL,
    corrected_at INTEGER NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    CHECK ((occurred_at IS NULL) = (direction IS NULL)),
    CHECK (punch_id IS NULL OR amends IS NULL),
    CHECK (punch_id IS NOT NULL OR amends IS NOT NULL OR direction IS NOT NULL)
) STRICT;
INSERT INTO corrections_amended
SELECT id, person_id, punch_id, NULL, occurred_at, direction, reason, corrected_by, corrected_at, previous_hash, hash FROM corrections ORDER BY id;
DELETE FROM sqlite_sequence WHERE name = 'corrections_amended';
INSERT INTO sqlite_sequence (name, seq) SELECT 'corrections_amended', seq FROM sqlite_sequence WHERE name = 'corrections';
DROP TABLE corrections;
ALTER TABLE corrections_amended RENAME TO corrections;
INSERT INTO outbox SELECT * FROM outbox_meanwhile;
DROP TABLE outbox_meanwhile;
CREATE INDEX corrections_by_punch ON corrections (punch_id);
CREATE INDEX corrections_by_added ON corrections (amends);
CREATE INDEX corrections_by_time ON corrections (occurred_at);
CREATE INDEX corrections_by_person ON corrections (person_id, id);
CREATE TRIGGER corrections_amend_an_added_punch BEFORE INSERT ON corrections
WHEN NEW.amends IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM corrections WHERE id = NEW.amends AND person_id = NEW.person_id AND punch_id IS NULL AND amends IS NULL)
BEGIN SELECT RAISE(ABORT, 'amends names no correction that added a punch for this person'); END;
"""

PLANNING = """
CREATE INDEX punches_by_person_and_time ON punches (person_id, occurred_at);

CREATE TABLE shifts (  -- never changed: a new one takes the place of an old one from a day on
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    start_time TEXT,  -- 08:00, local
    end_time TEXT,
    break_minutes INTEGER NOT NULL,
    minutes INTEGER,  -- of a flexible shift
    grace_minutes INTEGER NOT NULL
) STRICT;

CREATE TABLE plans (  -- which shifts follow each other; never changed either
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    cycle TEXT NOT NULL,  -- JSON: ids of shifts, null for a free day
    anchor TEXT NOT NULL  -- a day the first entry falls on
) STRICT;

CREATE TABLE assignments (  -- only grows; of two from the same day on the later row holds
    id INTEGER PRIMARY KEY,
    person_id INTEGER NOT NULL REFERENCES people (id),
    plan_id INTEGER REFERENCES plans (id),  -- NULL: no plan from then on
    since TEXT NOT NULL
) STRICT;
CREATE INDEX assignments_by_person ON assignments (person_id, since);

CREATE TABLE holidays (
    day TEXT PRIMARY KEY,
    name TEXT NOT NULL
) STRICT;

CREATE TABLE absences (
    id INTEGER PRIMARY KEY,
    person_id INTEGER NOT NULL REFERENCES people (id),
    first_day TEXT NOT NULL,
    last_day TEXT NOT NULL,
    kind TEXT NOT NULL,
    cancelled_at INTEGER,
    CHECK (first_day <= last_day)
) STRICT;
CREATE INDEX absences_by_person ON absences (person_id, first_day);

CREATE TABLE period_locks (
    id INTEGER PRIMARY KEY,
    first_day TEXT NOT NULL,
    last_day TEXT NOT NULL,
    from_ms INTEGER NOT NULL,  -- the same as moments: begin of the first day
    until_ms INTEGER NOT NULL,  -- end of the last
    site TEXT NOT NULL,  -- JSON: the rules its sheets were made with
    locked_by TEXT NOT NULL,
    locked_at INTEGER NOT NULL,
    lifted_by TEXT,
    lifted_at INTEGER,
    CHECK (first_day <= last_day),
    CHECK ((lifted_by IS NULL) = (lifted_at IS NULL))
) STRICT;

CREATE TABLE correction_requests (
    id INTEGER PRIMARY KEY,
    person_id INTEGER NOT NULL REFERENCES people (id),
    punch_id INTEGER REFERENCES punches (id),
    amends INTEGER REFERENCES corrections (id),
    occurred_at INTEGER,
    direction TEXT CHECK (direction IN ('in', 'out', 'break_start', 'break_end', 'auto')),
    reason TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    CHECK ((occurred_at IS NULL) = (direction IS NULL)),
    CHECK (punch_id IS NULL OR amends IS NULL),
    CHECK (punch_id IS NOT NULL OR amends IS NOT NULL OR direction IS NOT NULL)
) STRICT;
CREATE INDEX correction_requests_by_person ON correction_requests (person_id, id);

CREATE TABLE correction_decisions (  -- a request without one is open
    request_id INTEGER PRIMARY KEY REFERENCES correction_requests (id),
    approved INTEGER NOT NULL CHECK (approved IN (0, 1)),
    decided_by TEXT NOT NULL,
    decided_at INTEGER NOT NULL,
    note TEXT NOT NULL,
    correction_id INTEGER REFERENCES corrections (id),
    CHECK ((approved = 1) = (correction_id IS NOT NULL))
) STRICT;
"""

FIXED = """
CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table}
BEGIN SELECT RAISE(ABORT, '{table} are never changed: add a new row'); END;
CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table}
BEGIN SELECT RAISE(ABORT, '{table} are never removed: add a new row'); END;
"""

LOCKED = {  # what may not happen in a locked period: name, event -> condition; `l` is the lock
    ("corrections", "INSERT"): """NEW.occurred_at >= l.from_ms AND NEW.occurred_at < l.until_ms
    OR EXISTS (SELECT 1 FROM punches p WHERE p.id = NEW.punch_id AND p.occurred_at >= l.from_ms AND p.occurred_at < l.until_ms)
    OR EXISTS (SELECT 1 FROM corrections c WHERE (c.punch_id = NEW.punch_id OR c.id = NEW.amends OR c.amends = NEW.amends)
        AND c.occurred_at >= l.from_ms AND c.occurred_at < l.until_ms)""",
    ("assignments", "INSERT"): "NEW.since <= l.last_day",
    ("holidays", "INSERT"): "NEW.day BETWEEN l.first_day AND l.last_day",
    ("holidays", "UPDATE"): "OLD.day BETWEEN l.first_day AND l.last_day OR NEW.day BETWEEN l.first_day AND l.last_day",
    ("holidays", "DELETE"): "OLD.day BETWEEN l.first_day AND l.last_day",
    ("absences", "INSERT"): "NEW.first_day <= l.last_day AND NEW.last_day >= l.first_day",
    ("absences", "UPDATE"): "OLD.first_day <= l.last_day AND OLD.last_day >= l.first_day OR NEW.first_day <= l.last_day AND NEW.last_day >= l.first_day",
    ("absences", "DELETE"): "OLD.first_day <= l.last_day AND OLD.last_day >= l.first_day",
}

LOCK = """
CREATE TRIGGER {table}_locked_{event} BEFORE {event} ON {table}
WHEN EXISTS (SELECT 1 FROM period_locks l WHERE l.lifted_at IS NULL AND ({condition}))
BEGIN SELECT RAISE(ABORT, 'the period is locked'); END;
"""
