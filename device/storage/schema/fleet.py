"""Identities that hold everywhere, what is noted for the company's database, other doors' punches and the copies of a desk."""

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
