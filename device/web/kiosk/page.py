"""The kiosk page: live picture, state, buttons for the direction, and the PIN. It needs no login, so it shows little."""

from __future__ import annotations

import string
from functools import partial
from typing import cast

from starlette.responses import JSONResponse, Response, StreamingResponse

from device.attendance.planning import Planning
from device.attendance.policy import Asked, AttendancePolicy, NotRecorded
from device.storage.records import Direction, Person, PunchDraft
from device.system.clock import read_clock_state
from device.web.access import pins
from device.web.access.pins import PinError
from device.web.access.rate_limit import LockedOut
from device.web.call import Call, Problem
from device.web.connections import household, own_machine
from device.web.kiosk import set_up_code, streams
from device.web.kiosk.view import Card, clock_time, recorded
from device.web.messages import Messages
from device.web.pages import get, post

BUTTONS = ("in", "out", "break")
MOST_SIGNS = 60  # keys of the pad beside A to Z and digits


def kiosk_page(call: Call) -> Response:
    if set_up_code.watched(call) and not call.query.get("without"):
        return call.goto(set_up_code.PATH)
    asked = call.terminal.settings.attendance.direction == "asked"
    return call.page("kiosk.html", asked=asked, clock=call.terminal.live.time(), code_signs=code_signs(call))


def code_signs(call: Call) -> str:
    """The characters of employee codes, beside A to Z and digits, for which the pad needs a key."""
    with call.store.reading() as db:
        codes = [code for (code,) in db.execute("SELECT code FROM people WHERE code IS NOT NULL AND active = 1")]
    return "".join(sorted(set("".join(codes)) - set(string.ascii_letters + string.digits))[:MOST_SIGNS])


def choose_language(call: Call) -> Response:
    language, offered = call.field("language"), call.terminal.settings.web.offered
    if language not in offered:
        raise Problem(f"language: expected one of {', '.join(offered)}")
    call.cookies["clockface_language"] = language
    return call.goto(_onwards(call.field("next", "/kiosk")))


def languages_page(call: Call) -> Response:
    """One large button per language."""
    offered = [Messages.load(name) for name in call.terminal.settings.web.offered]
    return call.page("kiosk/languages.html", offered=offered, onwards=_onwards(call.query.get("next", "/kiosk")))


def _onwards(path: str) -> str:
    return path if path in ("/kiosk", "/kiosk/set-up", "/kiosk/unlock", "/kiosk/enrol/consent") else "/kiosk"


def events(call: Call) -> Response:
    who = _room(call)
    return StreamingResponse(streams.events(call.terminal.live, who), media_type="text/event-stream")


def picture(call: Call) -> Response:
    frames = streams.pictures(call.terminal.live, call.terminal.settings.web.picture_rate, _room(call))
    return StreamingResponse(frames, media_type=f"multipart/x-mixed-replace; boundary={streams.BOUNDARY}")


def _room(call: Call) -> str:
    """Who watches: an address, or "" for this machine's own screen.

    Raises:
        Problem: there is no room for one more.
    """
    who = "" if own_machine(call.address) else household(call.address)
    if not call.terminal.live.room(who):
        raise Problem("too many pages are watching this terminal already", 503)
    return who


def answer(call: Call) -> Response:
    """Take one of the large buttons (in, out or break) as the answer to the open question."""
    button, token = call.field("direction"), call.field("token")
    question = next((q for q in call.terminal.live.questions.open() if q.token == token), None)
    if question is None or not call.terminal.live.questions.answer(token, pressed(call, button, question.person.id), call.terminal.now()):
        raise Problem("this question is over", 409)
    return JSONResponse({"state": "taken"})


def pressed(call: Call, button: str, person_id: int) -> Direction:
    """The direction of a button: `break` begins a break, or ends the last one."""
    if button not in BUTTONS:
        raise Problem(f"direction: expected one of {', '.join(BUTTONS)}")
    if button != "break":
        return cast(Direction, button)
    last = call.store.last_punch(person_id)
    return "break_end" if last is not None and last.direction == "break_start" else "break_start"


def pin(call: Call) -> Response:
    """Record a punch by code and PIN."""
    now = call.terminal.now()
    try:
        person = pins.identify(call.store, call.field("code"), call.field("pin"), call.address, now)
    except LockedOut as locked:
        return JSONResponse({"state": "locked", "minutes": locked.minutes}, 429)
    except PinError:
        return JSONResponse({"state": "wrong"}, 403)
    return JSONResponse(_recorded_by_pin(call, person, now))


def _recorded_by_pin(call: Call, person: Person, now: float) -> dict[str, str]:
    last = call.store.last_punch(person.id)
    decided = AttendancePolicy(call.terminal.settings.attendance).decide(last, now, windows=partial(Planning(call.store).windows, person.id))
    if isinstance(decided, NotRecorded):
        call.terminal.live.add_card(Card(f"held-{person.id}-{round(now)}", "already", person.name, clock_time(decided.at, call.clock), "", now))
        return {"state": "already"}
    if isinstance(decided, Asked):
        decided = pressed(call, call.field("direction"), person.id)
    draft = PunchDraft(person.id, now, decided, call.terminal.device, "pin", read_clock_state())
    punch = call.store.record_punch(draft)
    call.terminal.live.accepted()
    call.terminal.live.questions.drop(person.id)
    call.terminal.live.add_card(recorded(person, punch, now, call.clock))
    return {"state": "recorded"}


ROUTES = (
    get("/kiosk", kiosk_page, None, "kiosk"),
    get("/kiosk/language", languages_page, None, "kiosk"),
    post("/kiosk/language", choose_language, None, "kiosk"),
    get("/kiosk/events", events, None, "kiosk"),
    get("/kiosk/picture", picture, None, "kiosk"),
    post("/kiosk/answer", answer, None, "kiosk"),
    post("/kiosk/pin", pin, None, "kiosk", guesses="pin"),
)
