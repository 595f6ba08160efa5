"""What hours follow from, beside punches: breaks of shifts, days of employment, and the frozen sheets of locked periods."""

HOURS = """
ALTER TABLE shifts ADD COLUMN break_automatic INTEGER NOT NULL DEFAULT 0 CHECK (break_automatic IN (0, 1));  -- older shifts stay as they were
ALTER TABLE shifts ADD COLUMN break_paid INTEGER NOT NULL DEFAULT 0 CHECK (break_paid IN (0, 1));
ALTER TABLE shifts ADD COLUMN break_from TEXT;
ALTER TABLE shifts ADD COLUMN break_to TEXT;
ALTER TABLE plans ADD COLUMN pairing TEXT;  -- NULL: as the site
ALTER TABLE correction_requests ADD COLUMN seen TEXT;  -- JSON: what counted for its punch when it was made; NULL: an older request

CREATE TABLE employments (  -- from a first to a last day, both included; NULL: unlimited on that side. Somebody who comes back has several
    id INTEGER PRIMARY KEY,
    person_id INTEGER NOT NULL REFERENCES people (id),
    first_day TEXT,
    last_day TEXT,
    CHECK (first_day <= last_day)
) STRICT;
CREATE INDEX employments_by_person ON employments (person_id, id);
INSERT INTO employments (person_id, last_day)
    SELECT p.id, max(date(a.at / 1000, 'unixepoch')) FROM people p JOIN audit a ON json_extract(a.details, '$.person_id') = p.id
    WHERE p.active = 0 AND p.erased_at IS NULL AND a.action = 'person deactivated' GROUP BY p.id;

CREATE TABLE locked_sheets (  -- what a locked period's timesheets were, one row per person (`device/attendance/locked.py`)
    lock_id INTEGER NOT NULL REFERENCES period_locks (id),
    person_id INTEGER NOT NULL REFERENCES people (id),
    from_ms INTEGER NOT NULL,  -- punches from then until until_ms belong to the period, whether they count or not
    until_ms INTEGER NOT NULL,
    punches INTEGER NOT NULL,  -- between the two, when the period was locked; those that come later do not count
    days TEXT NOT NULL,  -- JSON
    PRIMARY KEY (lock_id, person_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX locked_sheets_by_person ON locked_sheets (person_id);
CREATE TRIGGER locked_sheets_no_update BEFORE UPDATE ON locked_sheets
BEGIN SELECT RAISE(ABORT, 'locked sheets are never changed: lift the lock'); END;
CREATE TRIGGER locked_sheets_no_delete BEFORE DELETE ON locked_sheets
WHEN NOT EXISTS (SELECT 1 FROM removing) AND EXISTS (SELECT 1 FROM period_locks WHERE id = OLD.lock_id AND lifted_at IS NULL)
BEGIN SELECT RAISE(ABORT, 'locked sheets are never removed: lift the lock'); END;

DROP TRIGGER absences_locked_UPDATE;
CREATE TRIGGER absences_locked_UPDATE BEFORE UPDATE ON absences
WHEN EXISTS (SELECT 1 FROM period_locks l WHERE l.lifted_at IS NULL
    AND (OLD.first_day <= l.last_day AND OLD.last_day >= l.first_day OR NEW.first_day <= l.last_day AND NEW.last_day >= l.first_day)
    AND (max(OLD.first_day, l.first_day), min(OLD.last_day, l.last_day), OLD.kind, OLD.person_id, coalesce(OLD.cancelled_at, 0))
        <> (max(NEW.first_day, l.first_day), min(NEW.last_day, l.last_day), NEW.kind, NEW.person_id, coalesce(NEW.cancelled_at, 0)))
BEGIN SELECT RAISE(ABORT, 'the period is locked'); END;
"""

SHIFT_RULES = """
ALTER TABLE plans ADD COLUMN further TEXT NOT NULL DEFAULT '[]';  -- JSON: ids of the second shift of each day of the cycle, then of the third, null for none
ALTER TABLE shifts ADD COLUMN early_grace_minutes INTEGER;  -- NULL: the same as grace_minutes
ALTER TABLE shifts ADD COLUMN before_minutes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shifts ADD COLUMN after_minutes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shifts ADD COLUMN check_out TEXT;  -- 20:00, local
ALTER TABLE shifts ADD COLUMN half_day_minutes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shifts ADD COLUMN absent_minutes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE absences ADD COLUMN half TEXT CHECK (half IN ('first', 'second'));  -- of one day; NULL: the whole day, or between two times
ALTER TABLE absences ADD COLUMN from_time TEXT;  -- 14:00, local
ALTER TABLE absences ADD COLUMN to_time TEXT;
"""
