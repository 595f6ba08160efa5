"""The tables of the store and their migrations; each migration is a named function, all pending ones run in one transaction.

Times are integers: ms since the epoch, UTC. A released migration is never edited; a change is a new one.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from device.storage import company_records
from device.storage.schema import accounts, calendars, doors, fleet, hours, imports, notices, outbox, planning, tables

APPLICATION_ID = 0x434C4B46  # "CLKF" in the header of the file: a database of Clockface
SCHEMA_VERSION = 23  # the number of migrations; kept in the file as user_version

MIGRATIONS = Migrations("clockface")


def migrate(db: Database) -> None:
    """Apply pending migrations inside the caller's write transaction, so that two processes that start together do not collide."""
    MIGRATIONS.apply(db)
    company_records.note_changes(db)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@MIGRATIONS()
def create_tables(db: Database) -> None:
    db.executescript(tables.TABLES)
    for table in ("punches", "corrections", "audit"):
        db.executescript(tables.IMMUTABLE.format(table=table, genesis="0" * 64))
    for table in ("people", "templates"):
        for event in ("INSERT", "UPDATE", "DELETE"):
            db.executescript(tables.COUNTED.format(table=table, event=event))


@MIGRATIONS()
def create_web_access(db: Database) -> None:
    db.executescript(tables.WEB_ACCESS)


@MIGRATIONS()
def outbox_has_states_and_targets(db: Database) -> None:
    db.executescript(outbox.OUTBOX)


@MIGRATIONS()
def plan_and_correct(db: Database) -> None:
    """Shifts, absence, requests for corrections, locked periods; a correction may be about a punch that another one added."""
    for table in ("corrections_no_update", "corrections_no_delete", "corrections_only_append"):
        db.execute(f"DROP TRIGGER {table}")
    db.executescript(planning.CORRECTIONS)
    db.executescript(tables.IMMUTABLE.format(table="corrections", genesis="0" * 64))
    db.executescript(planning.PLANNING)
    for table in ("shifts", "plans", "assignments", "correction_requests", "correction_decisions"):
        db.executescript(planning.FIXED.format(table=table))
    for (table, event), condition in planning.LOCKED.items():
        db.executescript(planning.LOCK.format(table=table, event=event, condition=condition))


@MIGRATIONS()
def consents_have_version_language_and_way(db: Database) -> None:
    for column in ("version", "language", "way"):
        db.execute(f"ALTER TABLE consents ADD COLUMN {column} TEXT")


@MIGRATIONS()
def read_the_log_by_device(db: Database) -> None:
    db.executescript(tables.READING)


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
    db.executescript(tables.REMOVALS)
    db.executescript(planning.FIXED.format(table="removals"))
    for table in ("punches", "corrections", "correction_requests", "correction_decisions"):
        db.executescript(tables.BUT_BY_POLICY.format(table=table))


@MIGRATIONS()
def refused_attempts_are_counted(db: Database) -> None:
    """Refused attempts, and their alarms as a third kind of event in the outbox, for targets that take them."""
    db.executescript(outbox.REFUSALS)


@MIGRATIONS()
def join_a_fleet(db: Database) -> None:
    """People, templates and consents get an identity that holds everywhere; what changes is noted for the company's database."""
    db.executescript(fleet.FLEET)
    for table, kind in (("people", "person"), ("templates", "template"), ("consents", "consent")):
        db.executescript(fleet.GLOBAL.format(table=table, uuid=fleet.UUID))
        for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            db.executescript(fleet.SENT.format(table=table, event=event, kind=kind, key=f"{row}.uuid"))
    for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        owner = f"(SELECT uuid FROM people WHERE id = {row}.person_id)"
        db.executescript(fleet.SENT.format(table="pins", event=event, kind="pin", key=owner))


@MIGRATIONS()
def logins_belong_to_people(db: Database) -> None:
    """Whose login it is; `elsewhere`: of somebody who is not among the people recorded here. Neither: that has not been said yet."""
    db.execute("ALTER TABLE users ADD COLUMN person_id INTEGER REFERENCES people (id)")
    db.execute("ALTER TABLE users ADD COLUMN elsewhere INTEGER NOT NULL DEFAULT 0 CHECK (elsewhere IN (0, 1))")


@MIGRATIONS()
def serve_a_desk(db: Database) -> None:
    """Copies of other devices' logs; a copied correction comes from where the lock of its period was checked."""
    db.executescript(fleet.DESK)
    db.executescript(fleet.SENT.format(table="faces_elsewhere", event="DELETE", kind="template", key="OLD.uuid"))
    db.execute("DROP TRIGGER corrections_locked_INSERT")
    condition = f"({planning.LOCKED['corrections', 'INSERT']}) AND NOT EXISTS (SELECT 1 FROM fleet_applying)"
    db.executescript(planning.LOCK.format(table="corrections", event="INSERT", condition=condition))


@MIGRATIONS()
def hours_follow_plans_and_employment(db: Database) -> None:
    """Breaks of shifts, pairing of plans, days of employment, the frozen sheets of locked periods."""
    db.executescript(hours.HOURS)


@MIGRATIONS()
def tell_of_one_face_under_two_names(db: Database) -> None:
    db.executescript(fleet.FINDINGS)
    for event in ("INSERT", "UPDATE"):
        db.executescript(fleet.SENT.format(table="findings", event=event, kind="finding", key="NEW.key"))


@MIGRATIONS()
def share_company_records_and_corrections(db: Database) -> None:
    """Rows that the whole fleet shares, and corrections and requests about other doors' punches."""
    db.executescript(doors.RECORDS)
    db.executescript(doors.DOORS)
    doors.widen(db)


@MIGRATIONS()
def plan_days_of_several_shifts(db: Database) -> None:
    db.executescript(hours.SHIFT_RULES)


@MIGRATIONS()
def punches_can_be_imported(db: Database) -> None:
    """The log of an older terminal, marked as such."""
    doors.widen(db, imports.METHODS)
    db.executescript(imports.IMPORTS)


@MIGRATIONS()
def logins_see_departments(db: Database) -> None:
    """JSON, the departments whose people a login sees; NULL: everybody."""
    db.execute("ALTER TABLE users ADD COLUMN departments TEXT")


@MIGRATIONS()
def people_have_accounts(db: Database) -> None:
    """Approved overtime, bookings of time and leave, and what a lock keeps of an account."""
    db.executescript(accounts.ACCOUNTS)
    for table in ("overtime_approvals", "account_bookings"):
        db.executescript(planning.FIXED.format(table=table))
    for (table, event), condition in accounts.LOCKED.items():
        db.executescript(planning.LOCK.format(table=table, event=event, condition=condition))


@MIGRATIONS()
def logins_have_a_language(db: Database) -> None:
    """The language of the desk's pages for this login; empty: the one that the browser asks for."""
    db.execute("ALTER TABLE users ADD COLUMN language TEXT NOT NULL DEFAULT ''")


@MIGRATIONS()
def several_calendars_of_holidays(db: Database) -> None:
    """Days of further calendars, and which plans and people have one."""
    db.executescript(calendars.CALENDARS)
    for (table, event), condition in calendars.LOCKED.items():
        db.executescript(planning.LOCK.format(table=table, event=event, condition=condition))


@MIGRATIONS()
def tell_of_open_matters(db: Database) -> None:
    """Open matters, recipients with their rules, and notices as a fourth kind of event in the outbox."""
    db.executescript(notices.NOTICES)
