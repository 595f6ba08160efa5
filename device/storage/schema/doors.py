"""What other doors of the fleet have a part in: company records with keys that hold everywhere, and corrections of other doors' punches."""

from __future__ import annotations

from collections.abc import Mapping

from sqlite_utils import Database

RECORDS = """
CREATE TABLE fleet_records (  -- rows that belong to the company (`device/storage/company_records.py`)
    kind TEXT NOT NULL,  -- the table
    key TEXT NOT NULL,  -- uuid
    row TEXT NOT NULL,  -- JSON list of its primary key here; two keys may name one row
    version INTEGER NOT NULL,  -- of the company's database; 0: not sent yet
    arrived INTEGER,  -- there, microseconds; NULL: not yet
    PRIMARY KEY (kind, key)
) STRICT;
CREATE INDEX fleet_records_by_row ON fleet_records (kind, row);
CREATE TABLE fleet_awaited (kind TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (kind, key)) STRICT;  -- came before what it refers to
"""

DOORS = """
DROP TABLE door_punches;
DELETE FROM fleet WHERE key = 'at.doors';  -- they are read again
CREATE TABLE door_punches (  -- of other terminals' last weeks; their own chains hold them for good
    door TEXT NOT NULL,  -- uuid of the terminal
    id INTEGER NOT NULL,
    device TEXT NOT NULL,  -- its name
    person_id INTEGER NOT NULL REFERENCES people (id),
    occurred_at INTEGER NOT NULL,
    direction TEXT NOT NULL,
    method TEXT NOT NULL,
    PRIMARY KEY (door, id)
) STRICT;
CREATE INDEX door_punches_by_person ON door_punches (person_id, occurred_at);
CREATE INDEX door_punches_by_time ON door_punches (occurred_at);

ALTER TABLE corrections ADD COLUMN door TEXT;  -- uuid of the terminal in whose log that stands which it is about; NULL: this one
ALTER TABLE corrections ADD COLUMN door_punch INTEGER;  -- a punch there
ALTER TABLE corrections ADD COLUMN door_added INTEGER;  -- or a correction there that added a punch
CREATE INDEX corrections_of_doors ON corrections (door, door_punch) WHERE door IS NOT NULL;
ALTER TABLE correction_requests ADD COLUMN door TEXT;
ALTER TABLE correction_requests ADD COLUMN door_punch INTEGER;
ALTER TABLE correction_requests ADD COLUMN door_added INTEGER;
ALTER TABLE correction_decisions ADD COLUMN door TEXT;
ALTER TABLE correction_decisions ADD COLUMN door_correction INTEGER;  -- in that terminal's log

CREATE TABLE door_corrections (  -- of other terminals; their own chains hold them for good
    device TEXT NOT NULL,  -- uuid
    id INTEGER NOT NULL,
    person_id INTEGER NOT NULL REFERENCES people (id),
    door TEXT NOT NULL,  -- uuid of the one in whose log that stands which it is about; '': this terminal's
    punch INTEGER,
    added INTEGER,  -- the correction there that added the punch; both NULL: adds a punch
    occurred_at INTEGER,
    direction TEXT,  -- NULL: that punch does not count
    corrected_at INTEGER NOT NULL,
    PRIMARY KEY (device, id)
) STRICT;
CREATE INDEX door_corrections_by_person ON door_corrections (person_id);
CREATE INDEX door_corrections_by_punch ON door_corrections (door, punch);
CREATE INDEX door_corrections_by_added ON door_corrections (door, added);

CREATE TRIGGER corrections_of_doors_locked BEFORE INSERT ON corrections
WHEN NEW.door IS NOT NULL AND EXISTS (SELECT 1 FROM period_locks l WHERE l.lifted_at IS NULL AND (
    EXISTS (SELECT 1 FROM door_punches p WHERE p.door = NEW.door AND p.id = NEW.door_punch AND p.occurred_at >= l.from_ms AND p.occurred_at < l.until_ms)
    OR EXISTS (SELECT 1 FROM door_corrections c WHERE (c.door = NEW.door AND (c.punch = NEW.door_punch OR c.added = NEW.door_added)
        OR c.device = NEW.door AND c.id = NEW.door_added) AND c.occurred_at >= l.from_ms AND c.occurred_at < l.until_ms)))
BEGIN SELECT RAISE(ABORT, 'the period is locked'); END;
"""

ABOUT = "punch_id IS NOT NULL OR amends IS NOT NULL OR direction IS NOT NULL"
WIDER = {  # a condition of a table, and what it becomes: a row may be about another door's log
    ("corrections", ABOUT): f"{ABOUT} OR door IS NOT NULL",
    ("correction_requests", ABOUT): f"{ABOUT} OR door IS NOT NULL",
    ("correction_decisions", "(approved = 1) = (correction_id IS NOT NULL)"): "(approved = 1) = (correction_id IS NOT NULL OR door_correction IS NOT NULL)",
}


def widen(db: Database, wider: Mapping[tuple[str, str], str] = WIDER) -> None:
    """Change CHECK conditions in place, as SQLite describes it for changes that leave the stored rows as they are (lang_altertable.html, section 7)."""
    db.execute("PRAGMA writable_schema = ON")
    for (table, old), new in wider.items():
        sql = str(db.execute("SELECT sql FROM sqlite_master WHERE name = ?", [table]).fetchone()[0])
        assert old in sql, table
        db.execute("UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?", [sql.replace(old, new), table])
    version = int(db.execute("PRAGMA schema_version").fetchone()[0])
    db.execute(f"PRAGMA schema_version = {version + 1}")
    db.execute("PRAGMA writable_schema = RESET")
