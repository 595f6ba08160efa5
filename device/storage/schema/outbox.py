"""What is to be delivered, and where to; refused attempts and their alarms, which are delivered as well."""

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
