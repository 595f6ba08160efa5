"""Open matters, who is told of which, and the notices that tell of them: a fourth kind of row in the outbox."""

NOTICES = """
CREATE TABLE matters (  -- what somebody should look at, from when until when; no name, no picture
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,  -- the same whenever it comes back
    person_id INTEGER REFERENCES people (id),  -- NULL: about the machine
    details TEXT NOT NULL,  -- JSON
    since INTEGER NOT NULL,
    open_at INTEGER,  -- from when on it counts; NULL: it has not lasted long enough
    gone_at INTEGER,  -- since when it is not seen any more
    over_at INTEGER
) STRICT;
CREATE UNIQUE INDEX matters_open ON matters (key) WHERE over_at IS NULL;
CREATE INDEX matters_over ON matters (over_at);
CREATE INDEX matters_by_person ON matters (person_id);

CREATE TABLE recipients (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    connector TEXT NOT NULL,
    address TEXT NOT NULL,  -- of a mailbox; '': the target has one place alone
    user_id INTEGER REFERENCES users (id),  -- whose rights count; NULL: nobody's, so no names
    language TEXT NOT NULL,
    digest_hour INTEGER NOT NULL CHECK (digest_hour BETWEEN 0 AND 23),  -- in the site's zone
    digest_day TEXT,  -- for which the last digest was queued
    told_at INTEGER NOT NULL DEFAULT 0,  -- when something was last queued at once
    created_at INTEGER NOT NULL,
    UNIQUE (connector, address)
) STRICT;

CREATE TABLE recipient_rules (
    recipient_id INTEGER NOT NULL REFERENCES recipients (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,  -- of matters
    way TEXT NOT NULL CHECK (way IN ('once', 'daily')),
    PRIMARY KEY (recipient_id, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE notices (  -- what it tells is decided when it is sent
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient_id INTEGER NOT NULL REFERENCES recipients (id) ON DELETE CASCADE,
    way TEXT NOT NULL CHECK (way IN ('once', 'daily')),
    key TEXT NOT NULL UNIQUE,  -- random: receivers detect duplicates by it
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX notices_by_recipient ON notices (recipient_id);

CREATE TABLE tellings (  -- which notice has told whom that a matter is open, or over
    recipient_id INTEGER NOT NULL REFERENCES recipients (id) ON DELETE CASCADE,
    matter_id INTEGER NOT NULL REFERENCES matters (id) ON DELETE CASCADE,
    over INTEGER NOT NULL CHECK (over IN (0, 1)),
    notice_id INTEGER NOT NULL REFERENCES notices (id) ON DELETE CASCADE,
    PRIMARY KEY (recipient_id, matter_id, over)
) STRICT, WITHOUT ROWID;
CREATE INDEX tellings_by_matter ON tellings (matter_id);
CREATE INDEX tellings_by_notice ON tellings (notice_id);

ALTER TABLE targets ADD COLUMN takes_punches INTEGER NOT NULL DEFAULT 1 CHECK (takes_punches IN (0, 1));

CREATE TABLE outbox_with_notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which one person's events, or one recipient's notices, are delivered
    connector TEXT NOT NULL,
    person_id INTEGER REFERENCES people (id),  -- NULL: an alarm or a notice
    punch_id INTEGER REFERENCES punches (id),
    correction_id INTEGER REFERENCES corrections (id),
    alarm_id INTEGER REFERENCES refusal_alarms (id) ON DELETE CASCADE,
    notice_id INTEGER REFERENCES notices (id) ON DELETE CASCADE,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead', 'discarded')),
    queued_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,  -- that failed
    blamed INTEGER NOT NULL DEFAULT 0,  -- of these, where the target took other events meanwhile
    tried_at INTEGER,
    next_attempt_at INTEGER NOT NULL DEFAULT 0,
    delivered_at INTEGER,
    answer TEXT,  -- what the target said last; emptied when the person is erased
    reference TEXT,  -- what the target calls it; '' where a correction took it away
    CHECK ((punch_id IS NOT NULL) + (correction_id IS NOT NULL) + (alarm_id IS NOT NULL) + (notice_id IS NOT NULL) = 1),
    CHECK ((person_id IS NULL) = (alarm_id IS NOT NULL OR notice_id IS NOT NULL)),
    UNIQUE (connector, punch_id),
    UNIQUE (connector, correction_id),
    UNIQUE (connector, alarm_id),
    UNIQUE (connector, notice_id)
) STRICT;
INSERT INTO outbox_with_notices
SELECT id, connector, person_id, punch_id, correction_id, alarm_id, NULL, state, queued_at, attempts, blamed, tried_at, next_attempt_at, delivered_at,
    answer, reference FROM outbox ORDER BY id;
DELETE FROM sqlite_sequence WHERE name = 'outbox_with_notices';
INSERT INTO sqlite_sequence (name, seq) SELECT 'outbox_with_notices', seq FROM sqlite_sequence WHERE name = 'outbox';
DROP TABLE outbox;
ALTER TABLE outbox_with_notices RENAME TO outbox;
CREATE INDEX outbox_by_state ON outbox (connector, state, id);
CREATE INDEX outbox_held_back ON outbox (connector, next_attempt_at) WHERE state = 'waiting';
CREATE INDEX outbox_by_person ON outbox (person_id);
CREATE INDEX outbox_by_punch ON outbox (punch_id);
CREATE INDEX outbox_by_correction ON outbox (correction_id);
CREATE INDEX outbox_by_alarm ON outbox (alarm_id);
CREATE INDEX outbox_by_notice ON outbox (notice_id);
"""
