"""The actions that the audit can hold. Their texts are part of the hash chain: they may be added to, but never changed.

A database may hold actions that another version wrote: they stay valid and are shown as stored.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Protocol


class Action(str, enum.Enum):
    """An action of the audit; the value is what is stored."""

    # people and their faces
    PERSON_ADDED = "person added"
    PERSON_RENAMED = "person renamed"
    CODE_CHANGED = "code changed"
    PERSON_ACTIVATED = "person activated"
    PERSON_DEACTIVATED = "person deactivated"
    PERSON_ERASED = "person erased"
    PERSON_PLACED = "person placed"  # another department or other sites
    PEOPLE_MERGED = "people merged"  # what a second record of a person had counts for the first; the details name what was moved
    MERGE_UNDONE = "merge undone"
    ENROLLED_AGAIN = "enrolled again"  # new pictures of somebody who was enrolled before; old templates were replaced or kept
    CONSENT_GIVEN = "consent given"
    CONSENT_WITHDRAWN = "consent withdrawn"  # templates and crops were removed with it
    TEMPLATES_ADDED = "templates added"
    TEMPLATES_READ = "templates read"  # the whole gallery was decrypted, for recognition or an enrolment
    BIOMETRICS_READ = "biometrics read"  # a user looked at somebody's enrolment pictures
    LOOK_ALIKE_FOUND = "look-alike found"  # at an enrolment, a face like that of somebody enrolled
    TWO_PEOPLE_DECIDED = "two people decided"  # of a face that stood under two names in a fleet
    LOOK_ALIKE_DECIDED = "look-alike decided"  # whether it is the same person, by the operator
    PIN_SET = "pin set"
    PIN_REMOVED = "pin removed"

    # attendance
    CORRECTION_REQUESTED = "correction requested"
    CORRECTION_APPROVED = "correction approved"
    CORRECTION_REFUSED = "correction refused"
    APPROVAL_DENIED = "approval denied"  # of a correction, to somebody whom it concerns (`device/attendance/four_eyes.py`)
    PERIOD_LOCKED = "period locked"
    PERIOD_LOCK_LIFTED = "period lock lifted"
    OVERTIME_APPROVED = "overtime approved"  # of a day, up to so many minutes
    ACCOUNT_BOOKED = "account booked"  # to a person's time or leave, by HR
    SITE_RULES_CHANGED = "site rules changed"  # time zone, start of the day, breaks and the like
    SHIFT_ADDED = "shift added"
    PLAN_ADDED = "plan added"
    PLAN_ASSIGNED = "plan assigned"  # to a person, from a day on
    ABSENCE_ADDED = "absence added"
    ABSENCE_CANCELLED = "absence cancelled"
    ABSENCE_SHORTENED = "absence shortened"
    EMPLOYMENT_SET = "employment set"  # a person's first and last day
    CALENDAR_CHOSEN = "calendar chosen"  # of holidays, for a person or a plan
    HOLIDAY_SET = "holiday set"
    HOLIDAY_REMOVED = "holiday removed"
    LOG_EXPORTED = "log exported"
    TIMESHEET_EXPORTED = "timesheet exported"

    # users of the pages
    LOGGED_IN = "logged in"
    WRONG_PASSWORD = "wrong password"
    WRONG_PIN = "wrong pin"
    ATTEMPTS_FORGIVEN = "failed attempts forgiven"
    USER_ADDED = "user added"
    USER_CHANGED = "user changed"  # role, or whether the user may log in
    USER_DEPARTMENTS = "user departments"  # whose people a login sees
    USER_IS_PERSON = "user is person"  # whose login it is
    PASSWORD_SET = "password set"
    SESSIONS_ENDED = "sessions ended"  # by their owner, everywhere else
    PAGE_REFUSED = "page refused"  # to a user whose role does not suffice

    # delivery
    TARGETS_SET = "targets set"  # which connectors get punches from now on
    OUTBOX_FILLED = "outbox filled"  # with punches recorded before the target was configured
    OUTBOX_MOVED = "outbox moved"  # what waited for a target, to the name it has now
    OUTBOX_FORGOTTEN = "outbox forgotten"  # what waited for a target that is not configured any more
    DEAD_LETTERS_REPLAYED = "dead letters replayed"
    DEAD_LETTERS_DISCARDED = "dead letters discarded"
    RECIPIENT_SET = "recipient set"  # who is told of open matters, of which and when
    RECIPIENT_REMOVED = "recipient removed"
    NOTICE_TRIED = "notice tried"  # a test message to a recipient

    # the fleet
    FLEET_JOINED = "fleet joined"
    FLEET_APPLIED = "fleet applied"  # a person changed, enrolled or erased elsewhere; or a plan, absence or the like
    FLEET_FAULT_ACCEPTED = "fleet fault accepted"  # somebody looked at a device's chain, which then goes on
    FLEET_CHAIN_CONTINUED = "fleet chain continued"  # here, after that
    FLEET_OVERRULED = "fleet overruled"  # a change was made without knowing of another one, which was overwritten
    FLEET_REFUSED = "fleet refused"  # a change made here was not taken: its days were locked meanwhile, or another one stood already

    # the terminal
    SETTING_CHANGED = "setting changed"
    RESTART_ASKED = "restart asked"
    BACKUP_MADE = "backup made"
    KEYS_EXPORTED = "keys exported"  # sealed with a passphrase: they exist outside this machine from now on
    KEYS_IMPORTED = "keys imported"
    RESET_ASKED = "reset asked"  # back to factory at the restart, which erases this row as well
    RESET_FILE_MADE = "reset file made"  # for a stick: whoever has it can erase this terminal
    RESTORE_ASKED = "restore asked"  # a backup takes the place of the database at the restart
    RESTORE_REFUSED = "restore refused"  # the file was no backup, damaged, or the passphrase wrong
    DATABASE_RESTORED = "database restored"  # a damaged database, from the last good copy
    STORE_WORKS_AGAIN = "store works again"  # after punches could not be recorded
    MODEL_IN_FORCE = "model in force"  # another model, or another file of it, recognises from now on; its file, and who must be enrolled again
    CHAINS_VERIFIED = "chains verified"
    SET_UP_CODE_MADE = "set-up code made"  # for another terminal; what it gives, without its passwords
    SET_UP_CODE_TAKEN = "set-up code taken"  # by this terminal, the same
    TERMINAL_CHECKED = "terminal checked"  # camera, clock, disk, speed and the like, by somebody who set it up
    RETENTION_APPLIED = "retention applied"  # how much of each kind was removed by age
    PUNCHES_IMPORTED = "punches imported"  # from the log of another terminal, one batch of it
    PUNCHES_REMOVED = "punches removed"  # one batch; its details prove the removal to the hash chain
    CLOCK_JUMPED = "clock jumped"
    ZONE_CHANGED = "zone changed"  # of the operating system
    PUNCH_TIME_REPAIRED = "punch time repaired"  # by a correction of a punch recorded before the clock was set

    def __str__(self) -> str:
        return str(self.value)


# Which actions change attendance. An action in neither set, or of another version, may change everybody's day.
CHANGES_NOBODY = frozenset({  # people, their plans and their punches stay the same, except punches and corrections that have rows of their own
    Action.CONSENT_GIVEN, Action.CONSENT_WITHDRAWN, Action.TEMPLATES_ADDED, Action.TEMPLATES_READ, Action.BIOMETRICS_READ,
    Action.LOOK_ALIKE_FOUND, Action.LOOK_ALIKE_DECIDED, Action.TWO_PEOPLE_DECIDED, Action.PIN_SET, Action.PIN_REMOVED,
    Action.CORRECTION_REQUESTED, Action.CORRECTION_APPROVED, Action.CORRECTION_REFUSED, Action.APPROVAL_DENIED, Action.PUNCH_TIME_REPAIRED,
    Action.LOG_EXPORTED, Action.TIMESHEET_EXPORTED, Action.OVERTIME_APPROVED, Action.ACCOUNT_BOOKED,
    Action.PERIOD_LOCKED, Action.PERIOD_LOCK_LIFTED, Action.SHIFT_ADDED, Action.PLAN_ADDED,  # a plan counts only once it is assigned
    Action.LOGGED_IN, Action.WRONG_PASSWORD, Action.WRONG_PIN, Action.ATTEMPTS_FORGIVEN, Action.USER_ADDED, Action.USER_CHANGED,
    Action.USER_IS_PERSON, Action.USER_DEPARTMENTS, Action.PASSWORD_SET, Action.SESSIONS_ENDED, Action.PAGE_REFUSED,
    Action.TARGETS_SET, Action.OUTBOX_FILLED, Action.OUTBOX_MOVED, Action.OUTBOX_FORGOTTEN, Action.DEAD_LETTERS_REPLAYED, Action.DEAD_LETTERS_DISCARDED,
    Action.SETTING_CHANGED, Action.RESTART_ASKED, Action.BACKUP_MADE, Action.KEYS_EXPORTED, Action.KEYS_IMPORTED, Action.TERMINAL_CHECKED,
    Action.RESET_ASKED, Action.RESET_FILE_MADE, Action.RESTORE_ASKED, Action.RESTORE_REFUSED, Action.SET_UP_CODE_MADE, Action.SET_UP_CODE_TAKEN,
    Action.STORE_WORKS_AGAIN, Action.MODEL_IN_FORCE, Action.CHAINS_VERIFIED, Action.RETENTION_APPLIED, Action.FLEET_JOINED,
    Action.FLEET_FAULT_ACCEPTED, Action.FLEET_CHAIN_CONTINUED, Action.PERSON_PLACED, Action.FLEET_OVERRULED, Action.FLEET_REFUSED,
    Action.PUNCHES_IMPORTED, Action.RECIPIENT_SET, Action.RECIPIENT_REMOVED, Action.NOTICE_TRIED,
})  # fmt: skip
CHANGES_ONE_PERSON = frozenset({  # only the person whose `person_id` is in the details: who they are, whether they are active, their plan
    Action.PERSON_ADDED, Action.PERSON_RENAMED, Action.CODE_CHANGED, Action.PERSON_ACTIVATED, Action.PERSON_DEACTIVATED, Action.PERSON_ERASED,
    Action.PLAN_ASSIGNED, Action.ABSENCE_ADDED, Action.EMPLOYMENT_SET, Action.FLEET_APPLIED,
})  # fmt: skip


class Audit(Protocol):
    """Writes an audit row, inside a transaction."""

    def __call__(self, action: Action, **details: Any) -> None: ...


def sql_list(actions: Iterable[Action]) -> str:
    """The list after IN in an SQL statement, such as ('person added', 'pin set'); no value contains a quote."""
    return f"({', '.join(repr(action.value) for action in actions)})"
