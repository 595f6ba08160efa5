"""The review desk: requests for corrections, decisions on them, and locked periods.

A request changes nothing. Its approval appends a correction to the chain, in the same transaction as the decision.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from sqlite_utils import Database

from device.attendance import accounts, locked, request_checks
from device.attendance.four_eyes import NotAllowed, is_lead, why_not
from device.attendance.locked import LatePunch
from device.attendance.planning import read_site, site_json
from device.attendance.reading import MARGIN_DAYS
from device.attendance.sheets import freeze_period, locked_days_changed, sheet_within, site_on
from device.attendance.timesheet.sheet import Sheet
from device.attendance.timesheet.worksite import minute
from device.contract import phrase
from device.storage import corrections
from device.storage.audit import Action
from device.storage.corrections import Before, CorrectionDraft, current
from device.storage.database import StoreError
from device.storage.records import LastPunch, clean_text
from device.storage.store import Store
from device.system.clock import to_ms

STATES = ("open", "approved", "refused")


@dataclass(frozen=True)
class Request:
    """A request for a correction."""

    id: int
    draft: CorrectionDraft
    before: LastPunch | None  # what counts now; for an approved request, what counted before it
    requested_by: str
    requested_at: float  # s since the epoch, UTC
    state: str  # one of STATES
    decided_by: str = ""
    decided_at: float | None = None
    note: str = ""
    correction_id: int | None = None


@dataclass(frozen=True)
class Lock:
    """A period whose timesheets no longer change."""

    id: int
    first: date
    last: date
    locked_by: str
    locked_at: float
    lifted_by: str | None
    lifted_at: float | None


class Desk:
    """Requests, decisions and locks of an open store. `now` gives s since the epoch."""

    def __init__(self, store: Store, now: float | None = None) -> None:
        self.store = store
        self._fixed_now = now

    @property
    def _now(self) -> float:
        return time.time() if self._fixed_now is None else self._fixed_now

    def request(self, draft: CorrectionDraft, by: str) -> Request:
        """Ask for a correction.

        Raises:
            StoreError: no such person or punch.
            WrongMoment: it lies in the future, or years back.
            NoChange: it would change nothing, or an open request asks for the same.
            NotAllowed: it would change a locked period.
        """
        self.store.person(draft.person_id)
        with self.store.transaction() as db:
            corrections.check_target(db, draft)
            counts = current(db, draft.punch_id, draft.amends, draft.door)
            request_checks.check(db, draft, counts, self._now)
            db.execute("SAVEPOINT trial")  # refuses a request that could not be approved
            self._append(db, draft, by)
            db.execute("ROLLBACK TO trial")
            row = {**draft.row(), "requested_by": clean_text("name", by, 200), "requested_at": to_ms(self._now), "seen": request_checks.seen(counts)}
            sql = f"INSERT INTO main.correction_requests ({', '.join(row)}) VALUES ({', '.join(f':{key}' for key in row)})"
            number = int(db.execute(sql, row).lastrowid or 0)
            self.store.note_by(by, Action.CORRECTION_REQUESTED, request_id=number, person_id=draft.person_id)
            return self._one(db, number)

    def decide(self, request_id: int, approve: bool, by: str, note: str = "") -> Request:
        """Approve a request, which makes the correction count, or refuse it.

        Raises:
            StoreError: no such request, or it is decided already.
            NotAllowed: the site requires four eyes, and these would not be those of two people; another correction has changed the punch
                since; or the period is locked.
        """
        note = clean_text("note", note, 1000) if note.strip() else ""
        with self.store.transaction() as db:
            request = self._one(db, request_id)
            if request.state != "open":
                words = "request {number} was already {state} by {who}; nothing was changed"
                raise StoreError(phrase("request.decided", words, number=request_id, state=request.state, who=request.decided_by), code="store.decided")
            denied = _why_not(db, request, by) if approve else None
            if denied is None:
                self._decide(db, request, approve, by, note)
            else:
                self.store.note_by(by, Action.APPROVAL_DENIED, request_id=request_id, person_id=request.draft.person_id, reason=denied.code)
        if denied is not None:
            raise denied
        return self.one(request_id)

    def _decide(self, db: Database, request: Request, approve: bool, by: str, note: str) -> None:
        correction_id = self._append(db, request.draft, by) if approve else None
        values = [request.id, int(approve), clean_text("name", by, 200), to_ms(self._now), note, correction_id]
        sql = "INSERT INTO correction_decisions (request_id, approved, decided_by, decided_at, note, correction_id) VALUES (?, ?, ?, ?, ?, ?)"
        db.execute(sql, values)
        action = Action.CORRECTION_APPROVED if approve else Action.CORRECTION_REFUSED
        self.store.note_by(by, action, request_id=request.id, person_id=request.draft.person_id, correction_id=correction_id)

    def why_not(self, request_id: int, by: str) -> NotAllowed | None:
        """Why somebody may not approve an open request; None if they may."""
        with self.store.reading() as db:
            return _why_not(db, self._one(db, request_id), by)

    def requests(self, state: str | None = None, person_id: int | None = None, limit: int = 200) -> list[Request]:
        """Newest first."""
        where = {"open": "d.request_id IS NULL", "approved": "d.approved = 1", "refused": "d.approved = 0", None: "1"}[state]
        with self.store.reading() as db:
            return _requests(db, f"{where} AND (:person IS NULL OR r.person_id = :person) ORDER BY r.id DESC LIMIT :limit", person=person_id, limit=limit)

    def one(self, request_id: int) -> Request:
        with self.store.reading() as db:
            return self._one(db, request_id)

    def open_count(self) -> int:
        sql = "SELECT count(*) FROM correction_requests WHERE id NOT IN (SELECT request_id FROM correction_decisions)"
        with self.store.reading() as db:
            return int(db.execute(sql).fetchone()[0])

    # locks

    def lock(self, first: date, last: date, by: str) -> Lock:
        """From now on no correction, plan or absence may change these days.

        Raises:
            StoreError: the period is not over, overlaps a locked one, or has open requests.
        """
        with self.store.transaction() as db:
            site = read_site(db)
            begin, end = site.begins(first), site.begins(last + timedelta(days=1))
            if first > last or end > minute(self._now):
                words = "{first} to {last} is not over yet; lock it after {last}"
                raise StoreError(phrase("period.open", words, first=first, last=last), code="store.period_open")
            if any(lock.first <= last and lock.last >= first for lock in _locks(db) if lock.lifted_at is None):
                words = "{first} to {last} overlaps a period that is already locked"
                raise StoreError(phrase("period.twice", words, first=first, last=last), code="store.period_twice")
            waiting = [r for r in _requests(db, "d.request_id IS NULL ORDER BY r.id") if _touches(r, begin * 60, end * 60)]
            if waiting:
                words = "{count} requests for corrections in this period are open; decide them first"
                raise StoreError(phrase("period.waits", words, count=len(waiting)), code="store.period_waits")
            on_accounts = accounts.closing(db, first, last, minute(self._now))
            values = [first.isoformat(), last.isoformat(), begin * 60_000, end * 60_000, site_json(site), clean_text("name", by, 200), to_ms(self._now)]
            sql = "INSERT INTO period_locks (first_day, last_day, from_ms, until_ms, site, locked_by, locked_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
            number = int(db.execute(sql, values).lastrowid or 0)
            freeze_period(db, number, first, last, minute(self._now), on_accounts)
            self.store.note_by(by, Action.PERIOD_LOCKED, lock_id=number, first=first.isoformat(), last=last.isoformat())
            return next(lock for lock in _locks(db) if lock.id == number)

    def lift(self, lock_id: int, by: str) -> None:
        """Open a locked period again; the audit records who did it."""
        with self.store.transaction() as db:
            sql = "UPDATE period_locks SET lifted_by = ?, lifted_at = ? WHERE id = ? AND lifted_at IS NULL"
            if not db.execute(sql, [clean_text("name", by, 200), to_ms(self._now), lock_id]).rowcount:
                raise StoreError(phrase("period.no_lock", "there is no lock {number}, or it was already lifted", number=lock_id), code="store.no_such")
            locked.remove(db, lock_id)
            self.store.note_by(by, Action.PERIOD_LOCK_LIFTED, lock_id=lock_id)

    def locks(self) -> list[Lock]:
        """All locks, lifted ones too, newest first."""
        with self.store.reading() as db:
            return _locks(db)

    def came_later(self) -> dict[int, int]:
        """Lock id -> for how many people punches of the period came after it was locked."""
        with self.store.reading() as db:
            return locked.came_later(db)

    def late_punches(self, lock_id: int) -> list[LatePunch]:
        """Which they are."""
        with self.store.reading() as db:
            return locked.late_punches(db, lock_id)

    # inside a transaction

    def _one(self, db: Database, request_id: int) -> Request:
        requests = _requests(db, "r.id = :id", id=request_id)
        if not requests:
            raise StoreError(phrase("request.unknown", "there is no request {number}", number=request_id), code="store.no_such")
        return requests[0]

    def _append(self, db: Database, draft: CorrectionDraft, by: str) -> int:
        """Append the correction, unless it would change a day of a locked period.

        Triggers refuse a correction inside a locked period; this refuses one outside it that still changes its days.
        """
        frozen = self._frozen_day(db, draft)
        before = list(self._locked_sheets(db, draft))
        correction_id = corrections.append(db, draft, by)
        changed = frozen or next(locked_days_changed(db, draft.person_id, before, minute(self._now)), None)
        if changed:
            words = phrase("correction.locked", "this would change {day}, which is locked; lift the lock first", day=changed)
            raise NotAllowed(words, code="correction.locked")
        return correction_id

    def _frozen_day(self, db: Database, draft: CorrectionDraft) -> date | None:
        """A day whose locked period has one of the punches of a correction, such as the "out" of its last night."""
        for punch in (current(db, draft.punch_id, draft.amends), draft.replacement):
            if punch is None:
                continue
            moment, day = to_ms(punch.occurred_at), read_site(db).day_of(minute(punch.occurred_at))
            for period in locked.periods_of(db, [day], draft.person_id)[draft.person_id]:
                if period.from_ms <= moment < period.until_ms:
                    return min(day, period.last)
        return None

    def _locked_sheets(self, db: Database, draft: CorrectionDraft) -> list[Sheet]:
        site = read_site(db)
        moments = [minute(punch.occurred_at) for punch in (current(db, draft.punch_id, draft.amends, draft.door), draft.replacement) if punch]
        near = {site.day_of(moment) + timedelta(days=offset) for moment in moments for offset in range(-MARGIN_DAYS, MARGIN_DAYS + 1)}
        locked = [day for day in sorted(near) if any(lock.first <= day <= lock.last for lock in _locks(db) if lock.lifted_at is None)]
        return [sheet_within(db, draft.person_id, [day], site_on(db, day, day), minute(self._now)) for day in locked]


def _why_not(db: Database, request: Request, by: str) -> NotAllowed | None:
    """Why somebody may not approve a request: another correction has overtaken it, or the site requires four eyes."""
    if request.state != "open":
        return None
    stored = db.execute("SELECT seen FROM correction_requests WHERE id = ?", [request.id]).fetchone()[0]
    if overtaken := request_checks.overtaken(db, request.draft, stored, request.before):
        return overtaken
    return why_not(db, request.draft, request.requested_by, request.requested_at, by) if read_site(db).four_eyes or is_lead(db, by) else None


def _requests(db: Database, where: str, **values: Any) -> list[Request]:
    sql = f"SELECT r.*, d.approved, d.decided_by, d.decided_at, d.note, d.correction_id, \
d.door AS decision_door, d.door_correction FROM correction_requests r \
LEFT JOIN correction_decisions d ON d.request_id = r.id WHERE {where}"
    return [_request(db, row) for row in list(db.query(sql, values))]


def _request(db: Database, row: Mapping[str, Any]) -> Request:
    draft = CorrectionDraft.from_row(row)
    before = current(db, draft.punch_id, draft.amends, draft.door, _before(db, row))
    request = Request(row["id"], draft, before, row["requested_by"], row["requested_at"] / 1000, "open")
    if row["approved"] is None:
        return request
    decision = {key: row[key] for key in ("decided_by", "note", "correction_id")}
    return replace(request, state="approved" if row["approved"] else "refused", decided_at=row["decided_at"] / 1000, **decision)


def _before(db: Database, row: Mapping[str, Any]) -> Before | None:
    """What came before the correction of an approved request, made here or at another terminal; None without one."""
    if row["correction_id"] is not None:
        made = db.execute("SELECT corrected_at FROM corrections WHERE id = ?", [row["correction_id"]]).fetchone()
    else:
        made = db.execute("SELECT corrected_at FROM door_corrections WHERE device = ? AND id = ?", [row["decision_door"], row["door_correction"]]).fetchone()
    return Before(row["correction_id"], int(made[0])) if made else None


def _touches(request: Request, since: float, until: float) -> bool:
    return any(punch is not None and since <= punch.occurred_at < until for punch in (request.before, request.draft.replacement))


def _locks(db: Database) -> list[Lock]:
    rows = db.execute("SELECT id, first_day, last_day, locked_by, locked_at, lifted_by, lifted_at FROM period_locks ORDER BY id DESC")
    return [
        Lock(number, date.fromisoformat(first), date.fromisoformat(last), by, at / 1000, lifter, None if lifted is None else lifted / 1000)
        for number, first, last, by, at, lifter, lifted in rows
    ]
