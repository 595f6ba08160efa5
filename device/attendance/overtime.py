"""Approval of overtime, where the site lets it count only then: which days wait, and who approves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from sqlite_utils import Database

from device.attendance.four_eyes import is_lead, why_not_for
from device.attendance.planning import read_site
from device.attendance.sheets import sheet_within, site_on
from device.attendance.timesheet.sheet import Sheet
from device.attendance.timesheet.workday import WorkDay
from device.contract import ClockfaceError, phrase
from device.storage.audit import Action
from device.storage.database import StoreError
from device.storage.records import clean_text
from device.storage.store import Store
from device.system.clock import to_ms


def waiting(sheets: Mapping[int, Sheet]) -> list[tuple[int, WorkDay]]:
    """(person id, day) of overtime that is not approved, or not all of it."""
    days = [(person, day) for person, sheet in sheets.items() for day in sheet.days if day.site.accounting.approves]
    return [(person, day) for person, day in days if day.overtime_minutes > day.approved_minutes]


def approve(store: Store, person_id: int, day: date, by: str, now: float, minutes: int | None = None) -> int:
    """Approve the overtime of a day, all of it unless `minutes` says otherwise; 0 takes an approval back. Returns how many minutes count.

    What a later correction adds to the day is not approved by that.

    Args:
        now: s since the epoch.

    Raises:
        StoreError: no such person, the day has less overtime, or it is locked.
        NotAllowed: the site requires four eyes, and the overtime is the approver's own, or nobody knows whose login it is.
    """
    return approve_days(store, [(person_id, day)], by, now, minutes)[0]


def approve_days(store: Store, days: Sequence[tuple[int, date]], by: str, now: float, minutes: int | None = None) -> list[int]:
    """Approve the overtime of several days, each a person's, in one transaction: all of them, or none. Returns the minutes of each.

    Raises:
        StoreError, NotAllowed: as `approve`, for the first day that cannot be approved.
    """
    for person_id in {person_id for person_id, _ in days}:
        store.person(person_id)
    with store.transaction() as db:
        denied = next(((person_id, day, why) for person_id, day in days if (why := _denied(db, person_id, by))), None)
        if denied is None:
            return [_approve(store, db, person_id, day, by, now, minutes) for person_id, day in days]
        person_id, day, why = denied
        store.note_by(by, Action.APPROVAL_DENIED, person_id=person_id, day=day.isoformat(), reason=why.code)
    raise why


def _denied(db: Database, person_id: int, by: str) -> ClockfaceError | None:
    return why_not_for(db, person_id, by) if read_site(db).four_eyes or is_lead(db, by) else None


def _approve(store: Store, db: Database, person_id: int, day: date, by: str, now: float, minutes: int | None) -> int:
    found = sheet_within(db, person_id, [day], site_on(db, day, day), int(now // 60)).days[0].overtime_minutes
    minutes = found if minutes is None else minutes
    if not 0 <= minutes <= found:
        words = "{day}: expected 0 to {found} minutes of overtime, got {minutes}"
        raise StoreError(phrase("overtime.less", words, day=day, found=found, minutes=minutes), code="store.overtime")
    values = [person_id, day.isoformat(), minutes, clean_text("name", by, 200), to_ms(now)]
    db.execute("INSERT INTO main.overtime_approvals (person_id, day, minutes, approved_by, approved_at) VALUES (?, ?, ?, ?, ?)", values)
    store.note_by(by, Action.OVERTIME_APPROVED, person_id=person_id, day=day.isoformat(), minutes=minutes)
    return minutes
