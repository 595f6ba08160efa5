"""The first tables: people, templates, the log, its corrections and the audit; logins and PINs; what chains and counts them."""

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

READING = """
CREATE INDEX punches_by_device ON punches (device, occurred_at);
"""

REMOVALS = """
CREATE TABLE removals (  -- of a chain's rows that a policy removed, what keeps the chain whole (`device/maintenance/retention.py`)
    chain TEXT NOT NULL CHECK (chain IN ('punches', 'corrections')),
    id INTEGER NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    audit_id INTEGER NOT NULL REFERENCES audit (id),
    PRIMARY KEY (chain, id)
) STRICT;
CREATE INDEX removals_by_batch ON removals (audit_id);
CREATE TABLE removing (now INTEGER NOT NULL) STRICT;  -- has a row within the transaction that removes
CREATE INDEX outbox_by_punch ON outbox (punch_id);
CREATE INDEX outbox_by_correction ON outbox (correction_id);
CREATE INDEX decisions_by_correction ON correction_decisions (correction_id);
CREATE INDEX requests_by_punch ON correction_requests (punch_id);
CREATE INDEX requests_by_added ON correction_requests (amends);
"""

BUT_BY_POLICY = """
DROP TRIGGER {table}_no_delete;
CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} WHEN NOT EXISTS (SELECT 1 FROM removing)
BEGIN SELECT RAISE(ABORT, '{table} are immutable, and removed by a policy alone: add a correction'); END;
"""
