"""Own times at the kiosk: with code and PIN a person sees the last days and can request a correction, which HR decides."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Any

from starlette.responses import RedirectResponse, Response

from device.attendance import accounts
from device.attendance.four_eyes import NotAllowed
from device.attendance.leave import leave
from device.attendance.planning import Planning
from device.attendance.request_checks import NoChange
from device.attendance.review import Desk
from device.attendance.sheets import person_sheet
from device.attendance.timesheet.directions import Step
from device.attendance.timesheet.sheet import hours
from device.attendance.timesheet.worksite import Site
from device.contract import ClockfaceError
from device.storage.corrections import CorrectionDraft
from device.storage.database import LockedPeriod
from device.storage.records import LastPunch, Person
from device.system.time_zones import RepeatedTime, SkippedTime
from device.web import parameters
from device.web.access import pins
from device.web.access.pins import PinError
from device.web.access.rate_limit import LockedOut
from device.web.call import Call, Problem, cleared
from device.web.desk.corrections import named_punch, target
from device.web.messages import Messages
from device.web.pages import get, post

COOKIE = "clockface_own"
DAYS = 7  # shown
STEPS: tuple[Step, ...] = ("in", "out", "break_start", "break_end")
REASONS = ("forgotten", "pressed", "elsewhere", "terminal")
GIVEN = {"target": "", "direction": "in", "hour": "08", "minute": "00", "next_day": "", "which": "", "reason": "forgotten"}  # as the form is at first


def own(call: Call) -> Response:
    """The last days, or the form for code and PIN."""
    person = holder(call)
    if person is None:
        return call.page("kiosk/own_who.html", problem="", code="")
    moment = int(call.terminal.now() // 60)
    today = Planning(call.store).site().day_of(moment)
    site, sheet = person_sheet(call.store, person.id, [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)], moment)
    waiting = sum(request.state == "open" for request in Desk(call.store).requests(person_id=person.id))
    with call.store.reading() as db:
        account, year = accounts.balance(db, person.id, today + timedelta(days=1), moment), leave(db, person.id, today.year, today)
    own: dict[str, Any] = {"account": account, "leave": year, "days_text": call.texts.days}
    return call.page("kiosk/own_days.html", **own, person=person, days=sheet.days[::-1], hours=hours, local=site.local, waiting=waiting)


def sign_in(call: Call) -> Response:
    code, now = call.field("code"), call.terminal.now()
    try:
        person = pins.identify(call.store, code, call.field("pin"), call.address, now)
    except LockedOut as locked:
        said = call.texts.text("kiosk.pin_locked", count=locked.minutes)
        return call.page("kiosk/own_who.html", 429, problem=said, code=code)
    except PinError:
        return call.page("kiosk/own_who.html", 403, problem=call.texts.text("kiosk.pin_wrong"), code=code)
    call.cookies[COOKIE] = call.terminal.tickets.give(person.id)
    return call.goto("/kiosk/own")


def sign_out(call: Call) -> Response:
    call.terminal.tickets.end(call.cookie(COOKIE))
    call.cookies[COOKIE] = None
    return cleared(call.goto("/kiosk"))


def correct(call: Call) -> Response:
    """The form for one day."""
    person, site = holder(call), Planning(call.store).site()
    if person is None:
        return RedirectResponse("/kiosk/own", 303)
    return form(call, person, parameters.day(call, "day", site.day_of(int(call.terminal.now() // 60))))


def form(call: Call, person: Person, day: date, problem: str = "", repeated: RepeatedTime | None = None) -> Response:
    site, sheet = person_sheet(call.store, person.id, [day], int(call.terminal.now() // 60))
    stamps = [(target(stamp.entry), stamp) for stamp in sheet.days[0].stamps]
    given = {**GIVEN, **{name: call.form[name] for name in GIVEN if isinstance(call.form.get(name), str)}}
    values = {"day": day, "stamps": stamps, "local": site.local, "mark": site.clock.mark, "steps": STEPS, "reasons": REASONS, "given": given}
    return call.page("kiosk/own_correct.html", 400 if problem else 200, **values, problem=problem, repeated=repeated)


def ask(call: Call) -> Response:
    """Take a request of the person; it counts once HR approves it."""
    person, site = holder(call), Planning(call.store).site()
    if person is None:
        return RedirectResponse("/kiosk/own", 303)
    day = parameters.form_day(call, "day")
    try:
        Desk(call.store, call.terminal.now()).request(draft_of(call, person, day, site), f"person:{person.id}")
    except SkippedTime as error:
        return form(call, person, day, call.texts.text("own.skipped", before=error.before, after=error.after))
    except RepeatedTime as error:
        return form(call, person, day, call.texts.text("own.repeated"), error)
    except ClockfaceError as error:
        why = "same" if isinstance(error, NoChange) else "locked" if isinstance(error, NotAllowed | LockedPeriod) else "no_choice"
        return form(call, person, day, call.texts.text(f"own.{why}"))
    return call.goto("/kiosk/own", call.texts.text("own.asked"))


def draft_of(call: Call, person: Person, day: date, site: Site) -> CorrectionDraft:
    punch_id, added_by, door = named_punch(call.field("target"))
    reason = call.field("reason")
    if reason not in REASONS:
        raise Problem(f"reason: expected one of {', '.join(REASONS)}")
    words = Messages.load(call.terminal.settings.web.language).text(f"own.{reason}")  # HR reads it
    if call.field("action") == "remove":
        return CorrectionDraft(person.id, punch_id, added_by, None, words, door)
    direction = next((step for step in STEPS if step == call.field("direction")), None)
    hour, minutes = parameters.form_number(call, "hour"), parameters.form_number(call, "minute")
    if direction is None or hour > 23 or minutes > 59:
        raise Problem("choose a direction and a time")
    second = {"first": False, "second": True}.get(call.field("which", ""))
    moment = site.clock.moment(day + timedelta(days=call.field("next_day", "") == "1"), time(hour, minutes), second)
    return CorrectionDraft(person.id, punch_id, added_by, LastPunch(moment, direction), words, door)


def holder(call: Call) -> Person | None:
    """The person of the session, if still active."""
    person_id = call.terminal.tickets.find(call.cookie(COOKIE))
    if person_id is None:
        return None
    person = call.store.person(person_id)
    return person if person.active else None


ROUTES = (
    get("/kiosk/own", own, None, "kiosk"),
    post("/kiosk/own", sign_in, None, "kiosk", guesses="pin"),
    post("/kiosk/own/end", sign_out, None, "kiosk"),
    get("/kiosk/own/correct", correct, None, "kiosk"),
    post("/kiosk/own/correct", ask, None, "kiosk"),
)
