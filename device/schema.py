"""The tables of the store and how they came about; each migration is a named function, all pending ones one transaction.

Times are integers: ms since the epoch, UTC. A released migration is never edited; a change is a new one.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

APPLICATION_ID = 0x434C4B46  # "CLKF" in the header of the file: this database is ours
SCHEMA_VERSION = 3  # as many as there are migrations; kept in the file as user_version

TABLES = """
CREATE TABLE people (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice
    name TEXT NOT NULL,
    code TEXT COLLATE NOCASE UNIQUE,
    active INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),
    created_at INTEGER NOT NULL,
    erased_at INTEGER
) STRICT;

CREATE TABLE consents (
    id INTEGER PRIMARY KEY,
    person_id INTEGER NOT NULL REFERENCES people (id),
    wording TEXT NOT NULL,
    given_at INTEGER NOT NULL,
    withdrawn_at INTEGER,
    recorded_by TEXT NOT NULL
) STRICT;
CREATE INDEX consents_by_person ON consents (person_id);

CREATE TABLE templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES people (id),
    model_id TEXT NOT NULL,
    embedding BLOB NOT NULL CHECK (length(embedding) > 0 AND length(embedding) % 4 = 0),  -- float32, little endian
    quality REAL NOT NULL,
    crop BLOB,  -- encoded image, kept to make the template again for another model
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX templates_by_model ON templates (model_id, person_id);
CREATE INDEX templates_by_person ON templates (person_id);

CREATE TABLE punches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES people (id),
    occurred_at INTEGER NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('in', 'out', 'break_start', 'break_end', 'auto')),
    device TEXT NOT NULL,
    method TEXT NOT NULL CHECK (method IN ('face', 'pin', 'manual')),
    score REAL,
    lead REAL,
    threshold REAL,
    liveness REAL,
    model_id TEXT,
    clock_synchronised INTEGER NOT NULL CHECK (clock_synchronised IN (0, 1)),
    boot_id TEXT NOT NULL,
    monotonic_ms INTEGER NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    CHECK (method <> 'face' OR (score IS NOT NULL AND threshold IS NOT NULL AND model_id IS NOT NULL))
) STRICT;
CREATE INDEX punches_by_person ON punches (person_id, id);
CREATE INDEX punches_by_time ON punches (occurred_at);

CREATE TABLE corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person_id INTEGER NOT NULL REFERENCES people (id),
    punch_id INTEGER REFERENCES punches (id),  -- NULL: adds a punch that was never recorded
    occurred_at INTEGER,
    direction TEXT CHECK (direction IN ('in', 'out', 'break_start', 'break_end', 'auto')),  -- NULL: the punch does not count
    reason TEXT NOT NULL,
    corrected_by TEXT NOT NULL,
    corrected_at INTEGER NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    CHECK ((occurred_at IS NULL) = (direction IS NULL)),
    CHECK (punch_id IS NOT NULL OR direction IS NOT NULL)
) STRICT;
CREATE INDEX corrections_by_punch ON corrections (punch_id);

CREATE TABLE sightings (  -- faces nobody was found for; no biometrics
    id INTEGER PRIMARY KEY,
    occurred_at INTEGER NOT NULL,
    count INTEGER NOT NULL CHECK (count > 0),
    best_score REAL
) STRICT;
CREATE INDEX sightings_by_time ON sightings (occurred_at);

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    punch_id INTEGER NOT NULL REFERENCES punches (id),
    connector TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    delivered_at INTEGER,
    last_error TEXT,
    UNIQUE (punch_id, connector)
) STRICT;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    details TEXT NOT NULL,  -- JSON; never names or biometrics, for these rows outlive an erasure
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL  -- JSON
) STRICT;

CREATE TABLE gallery_version (version INTEGER NOT NULL) STRICT;  -- one row; counts changes of people and templates
INSERT INTO gallery_version VALUES (0);
"""

WEB_ACCESS = """
CREATE TABLE users (  -- of the web pages; never deleted, for the audit names them by id
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    login TEXT NOT NULL COLLATE NOCASE UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'hr', 'admin')),
    password_hash TEXT NOT NULL,  -- argon2id
    must_change INTEGER NOT NULL CHECK (must_change IN (0, 1)),
    active INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    token_hash TEXT PRIMARY KEY,  -- SHA-256; the token itself only the browser has
    user_id INTEGER NOT NULL REFERENCES users (id),
    place TEXT NOT NULL CHECK (place IN ('desk', 'kiosk')),
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;

CREATE TABLE attempts (  -- failed ones; older than a day they are removed
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('password', 'pin')),
    subject TEXT NOT NULL,  -- SHA-256 of the login or code that was typed: it may have been a password
    address TEXT NOT NULL
) STRICT;
CREATE INDEX attempts_by_time ON attempts (kind, at);

CREATE TABLE pins (
    person_id INTEGER PRIMARY KEY REFERENCES people (id),
    hash TEXT NOT NULL,  -- argon2id
    set_at INTEGER NOT NULL
) STRICT;
"""

IMMUTABLE = """
CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table}
BEGIN SELECT RAISE(ABORT, '{table} are immutable: add a correction'); END;
CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table}
BEGIN SELECT RAISE(ABORT, '{table} are immutable: add a correction'); END;
CREATE TRIGGER {table}_only_append BEFORE INSERT ON {table}
WHEN EXISTS (SELECT 1 FROM {table} WHERE id >= NEW.id)
    OR NEW.previous_hash <> coalesce((SELECT hash FROM {table} ORDER BY id DESC LIMIT 1), '{genesis}')
BEGIN SELECT RAISE(ABORT, '{table} only grow at the end of their hash chain'); END;
"""

COUNTED = """
CREATE TRIGGER {table}_{event}_counted AFTER {event} ON {table}
BEGIN UPDATE gallery_version SET version = version + 1; END;
"""

OUTBOX = """
CREATE TABLE outbox_with_states (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which one person's events are delivered
    connector TEXT NOT NULL,
    person_id INTEGER NOT NULL REFERENCES people (id),
    punch_id INTEGER REFERENCES punches (id),
    correction_id INTEGER REFERENCES corrections (id),
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead', 'discarded')),
    queued_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,  -- that failed
    blamed INTEGER NOT NULL DEFAULT 0,  -- of these, where the target took other events meanwhile
    tried_at INTEGER,
    next_attempt_at INTEGER NOT NULL DEFAULT 0,
    delivered_at INTEGER,
    answer TEXT,  -- what the target said last; emptied when the person is erased
    reference TEXT,  -- what the target calls it; '' where a correction took it away
    CHECK ((punch_id IS NULL) <> (correction_id IS NULL)),
    UNIQUE (connector, punch_id),
    UNIQUE (connector, correction_id)
) STRICT;
INSERT INTO outbox_with_states (id, connector, person_id, punch_id, state, queued_at, attempts, next_attempt_at, delivered_at, answer)
    SELECT o.id, o.connector, p.person_id, o.punch_id, CASE WHEN o.delivered_at IS NULL THEN 'waiting' ELSE 'delivered' END,
        p.occurred_at, o.attempts, coalesce(o.next_attempt_at, 0), o.delivered_at, o.last_error
    FROM outbox o JOIN punches p ON p.id = o.punch_id;
DROP TABLE outbox;
ALTER TABLE outbox_with_states RENAME TO outbox;
CREATE INDEX outbox_by_state ON outbox (connector, state, id);
CREATE INDEX outbox_held_back ON outbox (connector, next_attempt_at) WHERE state = 'waiting';
CREATE INDEX outbox_by_person ON outbox (person_id);

CREATE TABLE targets (  -- one row a connector that is or was configured
    connector TEXT PRIMARY KEY,
    active INTEGER NOT NULL CHECK (active IN (0, 1)),  -- punches and corrections are queued for it
    failures INTEGER NOT NULL DEFAULT 0,  -- in a row, of the target as a whole
    next_attempt_at INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    error_at INTEGER,
    delivered_at INTEGER
) STRICT;
"""

MIGRATIONS = Migrations("clockface")


def migrate(db: Database) -> None:
    """Apply what is pending, inside the caller's write transaction: two processes that start together do not collide."""
    MIGRATIONS.apply(db)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@MIGRATIONS()
def create_tables(db: Database) -> None:
    db.executescript(TABLES)
    for table in ("punches", "corrections", "audit"):
        db.executescript(IMMUTABLE.format(table=table, genesis="0" * 64))
    for table in ("people", "templates"):
        for event in ("INSERT", "UPDATE", "DELETE"):
            db.executescript(COUNTED.format(table=table, event=event))


@MIGRATIONS()
def create_web_access(db: Database) -> None:
    db.executescript(WEB_ACCESS)


@MIGRATIONS()
def outbox_has_states_and_targets(db: Database) -> None:
    db.executescript(OUTBOX)
