"""Which requests for corrections make no sense: of moments that cannot be, asked for twice, or overtaken by another correction."""

from __future__ import annotations

import json

from sqlite_utils import Database

from device.attendance.four_eyes import NotAllowed
from device.contract import phrase
from device.storage import corrections
from device.storage.corrections import CorrectionDraft
from device.storage.database import StoreError
from device.storage.records import LastPunch
from device.storage.site_clock import read_clock
from device.system.clock import to_ms
from device.system.time_zones import LocalClock

EARLIEST_DAYS = 3 * 366  # before now: a date further back is a wrong year
AHEAD_SECONDS = 60.0  # by which two clocks may differ


class NoChange(StoreError):
    """A correction that would change nothing."""

    code = "correction.no_change"


class WrongMoment(StoreError):
    """A correction to a moment at which nobody can have been at work."""

    code = "correction.moment"


def check(db: Database, draft: CorrectionDraft, counts: LastPunch | None, now: float) -> None:
    """Check what a request asks for. `counts`: what counts at present for its punch; `now`: s since the epoch.

    Raises:
        WrongMoment: it lies in the future, or years back.
        NoChange: it counts already, or an open request asks for the same.
    """
    if draft.replacement is not None:
        _check_moment(draft.replacement.occurred_at, now, read_clock(db))
    if counts == draft.replacement or (draft.replacement is not None and _added_already(db, draft, draft.replacement)):
        raise NoChange(phrase("correction.no_change", "this correction would change nothing; give another time or direction"))
    same = "person_id = :person_id AND punch_id IS :punch_id AND amends IS :amends AND occurred_at IS :occurred_at AND direction IS :direction"
    same += " AND door IS :door AND door_punch IS :door_punch AND door_added IS :door_added"
    sql = f"SELECT id FROM correction_requests WHERE {same} AND id NOT IN (SELECT request_id FROM correction_decisions)"
    twin = db.execute(sql, {"door": None, "door_punch": None, "door_added": None, **draft.row()}).fetchone()
    if twin:
        raise NoChange(phrase("correction.twice", "request {number} asks for the same and is open; decide that one", number=twin[0]), code="correction.twice")


def _check_moment(moment: float, now: float, clock: LocalClock) -> None:
    if moment > now + AHEAD_SECONDS:
        words = "{time} lies in the future; a punch can be corrected once it has happened"
        raise WrongMoment(phrase("correction.future", words, time=clock.named(moment), local=clock.at(moment)))
    if moment < now - EARLIEST_DAYS * 86_400:
        words = "{time} lies more than three years back; check the date"
        raise WrongMoment(phrase("correction.past", words, time=clock.named(moment), local=clock.at(moment)))


def _added_already(db: Database, draft: CorrectionDraft, added: LastPunch) -> bool:
    """Whether a punch to be added counts already."""
    if draft.punch_id is not None or draft.amends is not None:
        return False
    near = corrections.entries(db, added.occurred_at, added.occurred_at + 0.001, draft.person_id).get(draft.person_id, [])
    return any(entry.direction == added.direction for entry in near)


def seen(counts: LastPunch | None) -> str:
    """What counted when a request was made, as it is stored with it."""
    return json.dumps([to_ms(counts.occurred_at), counts.direction] if counts else None)


def overtaken(db: Database, draft: CorrectionDraft, stored: str | None, counts: LastPunch | None) -> NotAllowed | None:
    """Why a request may not be approved any more: another correction has changed its punch since. `stored`: `seen` then; None: not known."""
    added = draft.replacement is not None and _added_already(db, draft, draft.replacement)
    if not added and (stored is None or stored == seen(counts)):
        return None
    words = "another correction has changed this punch since the request was made; refuse it, and ask again if it is still wrong"
    return NotAllowed(phrase("correction.overtaken", words), code="correction.overtaken")
