"""The tables of the store and their migrations; each migration is a named function, all pending ones run in one transaction.

Times are integers: ms since the epoch, UTC. A released migration is never edited; a change is a new one.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from device.storage import company_records, schema_doors, schema_hours

APPLICATION_ID = 0x434C4B46  # "CLKF" in the header of the file: a database of Clockface
SCHEMA_VERSION = 16  # the number of migrations; kept in the file as user_version

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

READING = """
CREATE INDEX punches_by_device ON punches (device, occurred_at);
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

REFUSALS = """
CREATE TABLE refusals (  -- faces that would have been recorded and were not taken for living ones; no person, no picture
    id INTEGER PRIMARY KEY,
    occurred_at INTEGER NOT NULL,
    reason TEXT NOT NULL CHECK (reason IN ('picture', 'not_judged')),
    score REAL,
    pictures INTEGER NOT NULL CHECK (pictures >= 0)
) STRICT;
CREATE INDEX refusals_by_time ON refusals (occurred_at);

CREATE TABLE refusal_alarms (  -- several refusals of one track in a short time
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    occurred_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL CHECK (attempts > 0),
    device TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE  -- random: receivers detect duplicates by it
) STRICT;
CREATE INDEX refusal_alarms_by_time ON refusal_alarms (occurred_at);

ALTER TABLE targets ADD COLUMN takes_alarms INTEGER NOT NULL DEFAULT 0 CHECK (takes_alarms IN (0, 1));

CREATE TABLE outbox_with_alarms (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which one person's events are delivered
    connector TEXT NOT NULL,
    person_id INTEGER REFERENCES people (id),  -- NULL: an alarm
    punch_id INTEGER REFERENCES punches (id),
    correction_id INTEGER REFERENCES corrections (id),
    alarm_id INTEGER REFERENCES refusal_alarms (id) ON DELETE CASCADE,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead', 'discarded')),
    queued_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,  -- that failed
    blamed INTEGER NOT NULL DEFAULT 0,  -- of these, where the target took other events meanwhile
    tried_at INTEGER,
    next_attempt_at INTEGER NOT NULL DEFAULT 0,
    delivered_at INTEGER,
    answer TEXT,  -- what the target said last; emptied when the person is erased
    reference TEXT,  -- what the target calls it; '' where a correction took it away
    CHECK ((punch_id IS NOT NULL) + (correction_id IS NOT NULL) + (alarm_id IS NOT NULL) = 1),
    CHECK ((person_id IS NULL) = (alarm_id IS NOT NULL)),
    UNIQUE (connector, punch_id),
    UNIQUE (connector, correction_id),
    UNIQUE (connector, alarm_id)
) STRICT;
INSERT INTO outbox_with_alarms
SELECT id, connector, person_id, punch_id, correction_id, NULL, state, queued_at, attempts, blamed, tried_at, next_attempt_at, delivered_at, answer, reference
    FROM outbox ORDER BY id;
DELETE FROM sqlite_sequence WHERE name = 'outbox_with_alarms';
INSERT INTO sqlite_sequence (name, seq) SELECT 'outbox_with_alarms', seq FROM sqlite_sequence WHERE name = 'outbox';
DROP TABLE outbox;
ALTER TABLE outbox_with_alarms RENAME TO outbox;
CREATE INDEX outbox_by_state ON outbox (connector, state, id);
CREATE INDEX outbox_held_back ON outbox (connector, next_attempt_at) WHERE state = 'waiting';
CREATE INDEX outbox_by_person ON outbox (person_id);
CREATE INDEX outbox_by_punch ON outbox (punch_id);
CREATE INDEX outbox_by_correction ON outbox (correction_id);
CREATE INDEX outbox_by_alarm ON outbox (alarm_id);
"""

UUID = (  # random, version 4
    "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2) || '-'"
    " || hex(randomblob(6)))"
)
FLEET = """
CREATE TABLE fleet (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;  -- what this terminal is in a fleet, and how far it has read and sent
CREATE TABLE fleet_changes (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL) STRICT;  -- to be sent; the row itself is read then
CREATE TABLE fleet_applying (now INTEGER NOT NULL) STRICT;  -- has a row within a transaction that stores what came from above
CREATE TABLE fleet_waiting (template TEXT PRIMARY KEY) STRICT;  -- came before the key that opens it
CREATE TABLE door_punches (  -- of other terminals' last days; their own chains hold them for good
    device TEXT NOT NULL,
    id INTEGER NOT NULL,
    person_id INTEGER NOT NULL REFERENCES people (id),
    occurred_at INTEGER NOT NULL,
    direction TEXT NOT NULL,
    method TEXT NOT NULL,
    PRIMARY KEY (device, id)
) STRICT;
CREATE INDEX door_punches_by_person ON door_punches (person_id, occurred_at);
CREATE INDEX door_punches_by_time ON door_punches (occurred_at);
"""
DESK = """
CREATE TABLE fleet_sites (id TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT;  -- as the company's database has them
CREATE TABLE fleet_devices (id TEXT PRIMARY KEY, told TEXT NOT NULL) STRICT;  -- at a desk: JSON, what the database tells of each device
CREATE TABLE copies (  -- at a desk: whose row a punch or a correction is; one that is not here was made at this desk
    chain TEXT NOT NULL CHECK (chain IN ('punches', 'corrections')),
    device TEXT NOT NULL,
    number INTEGER NOT NULL,  -- at that device
    row INTEGER NOT NULL,  -- here
    PRIMARY KEY (chain, device, number)
) STRICT;
CREATE UNIQUE INDEX copies_by_row ON copies (chain, row);
CREATE TABLE copies_waiting (  -- corrections that came before the punch they are about
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    told TEXT NOT NULL  -- JSON
) STRICT;
CREATE TABLE faces_elsewhere (  -- at a desk: templates that only terminals can open
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    person_id INTEGER NOT NULL REFERENCES people (id),
    model_id TEXT NOT NULL
) STRICT;
CREATE INDEX faces_elsewhere_by_person ON faces_elsewhere (person_id);
ALTER TABLE people ADD COLUMN sites TEXT;  -- JSON, ids of fleet_sites; NULL: everywhere
ALTER TABLE people ADD COLUMN department TEXT;
"""
FINDINGS = """
CREATE TABLE findings (  -- one face under two names, as a terminal of a fleet found it
    key TEXT PRIMARY KEY,  -- both uuids, in order
    one TEXT NOT NULL,
    other TEXT NOT NULL,
    score REAL,  -- NULL: the same code
    device TEXT NOT NULL,
    decided TEXT  -- by HR: they are two people
) STRICT;
"""
GLOBAL = """
ALTER TABLE {table} ADD COLUMN uuid TEXT;
UPDATE {table} SET uuid = {uuid};
CREATE UNIQUE INDEX {table}_by_uuid ON {table} (uuid);
CREATE TRIGGER {table}_get_a_uuid AFTER INSERT ON {table} WHEN NEW.uuid IS NULL
BEGIN UPDATE {table} SET uuid = {uuid} WHERE id = NEW.id; END;
"""
SENT = """
CREATE TRIGGER {table}_{event}_for_the_fleet AFTER {event} ON {table}
WHEN EXISTS (SELECT 1 FROM fleet WHERE key = 'membership') AND NOT EXISTS (SELECT 1 FROM fleet_applying) AND {key} IS NOT NULL
BEGIN INSERT INTO fleet_changes (kind, key) VALUES ('{kind}', {key}); END;
"""

MIGRATIONS = Migrations("clockface")


def migrate(db: Database) -> None:
    """Apply pending migrations inside the caller's write transaction, so that two processes that start together do not collide."""
    MIGRATIONS.apply(db)
    company_records.note_changes(db)
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


@MIGRATIONS()
def plan_and_correct(db: Database) -> None:
    """Shifts, absence, requests for corrections, locked periods; a correction may be about a punch that another one added."""
    for table in ("corrections_no_update", "corrections_no_delete", "corrections_only_append"):
        db.execute(f"DROP TRIGGER {table}")
    db.executescript(CORRECTIONS)
    db.executescript(IMMUTABLE.format(table="corrections", genesis="0" * 64))
    db.executescript(PLANNING)
    for table in ("shifts", "plans", "assignments", "correction_requests", "correction_decisions"):
        db.executescript(FIXED.format(table=table))
    for (table, event), condition in LOCKED.items():
        db.executescript(LOCK.format(table=table, event=event, condition=condition))


@MIGRATIONS()
def consents_have_version_language_and_way(db: Database) -> None:
    for column in ("version", "language", "way"):
        db.execute(f"ALTER TABLE consents ADD COLUMN {column} TEXT")


@MIGRATIONS()
def read_the_log_by_device(db: Database) -> None:
    db.executescript(READING)


@MIGRATIONS()
def templates_are_sealed(db: Database) -> None:
    """Which keys belong to this database, and whether older templates are still to be sealed (`device/storage/templates.py`)."""
    db.execute("CREATE TABLE identity (id TEXT NOT NULL, to_seal INTEGER NOT NULL, to_compact INTEGER NOT NULL) STRICT")
    db.execute("INSERT INTO identity SELECT lower(hex(randomblob(16))), plain, plain FROM (SELECT count(*) > 0 AS plain FROM templates)")


@MIGRATIONS()
def find_punches_of_an_unset_clock(db: Database) -> None:
    db.execute("CREATE INDEX punches_on_an_unset_clock ON punches (boot_id, id) WHERE clock_synchronised = 0")


@MIGRATIONS()
def punches_can_be_removed_by_policy(db: Database) -> None:
    db.executescript(REMOVALS)
    db.executescript(FIXED.format(table="removals"))
    for table in ("punches", "corrections", "correction_requests", "correction_decisions"):
        db.executescript(BUT_BY_POLICY.format(table=table))


@MIGRATIONS()
def refused_attempts_are_counted(db: Database) -> None:
    """Refused attempts, and their alarms as a third kind of event in the outbox, for targets that take them."""
    db.executescript(REFUSALS)


@MIGRATIONS()
def join_a_fleet(db: Database) -> None:
    """People, templates and consents get an identity that holds everywhere; what changes is noted for the company's database."""
    db.executescript(FLEET)
    for table, kind in (("people", "person"), ("templates", "template"), ("consents", "consent")):
        db.executescript(GLOBAL.format(table=table, uuid=UUID))
        for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            db.executescript(SENT.format(table=table, event=event, kind=kind, key=f"{row}.uuid"))
    for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        owner = f"(SELECT uuid FROM people WHERE id = {row}.person_id)"
        db.executescript(SENT.format(table="pins", event=event, kind="pin", key=owner))


@MIGRATIONS()
def logins_belong_to_people(db: Database) -> None:
    """Whose login it is; `elsewhere`: of somebody who is not among the people recorded here. Neither: that has not been said yet."""
    db.execute("ALTER TABLE users ADD COLUMN person_id INTEGER REFERENCES people (id)")
    db.execute("ALTER TABLE users ADD COLUMN elsewhere INTEGER NOT NULL DEFAULT 0 CHECK (elsewhere IN (0, 1))")


@MIGRATIONS()
def serve_a_desk(db: Database) -> None:
    """Copies of other devices' logs; a copied correction comes from where the lock of its period was checked."""
    db.executescript(DESK)
    db.executescript(SENT.format(table="faces_elsewhere", event="DELETE", kind="template", key="OLD.uuid"))
    db.execute("DROP TRIGGER corrections_locked_INSERT")
    condition = f"({LOCKED['corrections', 'INSERT']}) AND NOT EXISTS (SELECT 1 FROM fleet_applying)"
    db.executescript(LOCK.format(table="corrections", event="INSERT", condition=condition))


@MIGRATIONS()
def hours_follow_plans_and_employment(db: Database) -> None:
    """Breaks of shifts, pairing of plans, days of employment, the frozen sheets of locked periods."""
    db.executescript(schema_hours.HOURS)


@MIGRATIONS()
def tell_of_one_face_under_two_names(db: Database) -> None:
    db.executescript(FINDINGS)
    for event in ("INSERT", "UPDATE"):
        db.executescript(SENT.format(table="findings", event=event, kind="finding", key="NEW.key"))


@MIGRATIONS()
def share_company_records_and_corrections(db: Database) -> None:
    """Rows that the whole fleet shares, and corrections and requests about other doors' punches."""
    db.executescript(schema_doors.RECORDS)
    db.executescript(schema_doors.DOORS)
    schema_doors.widen(db)
