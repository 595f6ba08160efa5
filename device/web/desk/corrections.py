"""Corrections: requested with a reason, shown before and after side by side, decided by another user; periods are locked and unlocked."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial

from starlette.responses import Response

from device.attendance import planning
from device.attendance.log import DIRECTIONS
from device.attendance.planning import Planning
from device.attendance.review import STATES, Desk, Request
from device.attendance.sheets import person_sheet, with_and_without
from device.attendance.timesheet.sheet import hours
from device.attendance.timesheet.worksite import Site, minute
from device.contract import ClockfaceError, phrase
from device.storage.corrections import CorrectionDraft, current
from device.storage.effective import Entry
from device.storage.records import DIRECTIONS as KNOWN
from device.storage.records import LastPunch, Person
from device.system.time_zones import RepeatedTime
from device.web import parameters
from device.web.call import Call, Problem
from device.web.desk import charts
from device.web.pages import get, post

FIELDS = ("punch_day", "action", "time", "direction", "which", "reason")


def desk(call: Call) -> Desk:
    return Desk(call.store, call.terminal.now())


def listed(call: Call) -> Response:
    state = call.query.get("state", "open")
    if state not in (*STATES, "all"):
        raise Problem(f"state {state[:20]!r}: expected one of {', '.join(STATES)}, all")
    requests = desk(call).requests(None if state == "all" else state)
    site = Planning(call.store).site()
    people = {person.id: person for person in call.store.people()} if requests else {}
    return call.page(
        "corrections.html", requests=requests, people=people, state=state, states=(*STATES, "all"), waiting=desk(call).open_count(), directions=in_words(call),
        local=site.local, logins=logins(call),
    )  # fmt: skip


def new(call: Call) -> Response:
    person = parameters.person(call)
    site = Planning(call.store).site()
    if person is None:
        return who(call)
    return form(call, person, parameters.day(call, "day", site.day_of(int(call.terminal.now() // 60))), site)


def who(call: Call) -> Response:
    """The form that asks for person and day."""
    return call.page("correction_who.html", day=Planning(call.store).site().day_of(int(call.terminal.now() // 60)))


def form(call: Call, person: Person, day: date, site: Site, problem: ClockfaceError | None = None) -> Response:
    _, sheet = person_sheet(call.store, person.id, [day], int(call.terminal.now() // 60))
    named = call.form.get("target", "") or call.query.get("target", "")
    elsewhere = None
    if isinstance(named, str) and named not in ("", "new", *(target(stamp.entry) for stamp in sheet.days[0].stamps)):
        elsewhere = counting(call, *named_punch(named))
    sent = {key: call.form[key] for key in FIELDS if key in call.form}
    given = {**dict.fromkeys(FIELDS, ""), "punch_day": day.isoformat(), **filled(elsewhere, site), **sent}
    status, words = (400, call.words(problem)) if problem else (200, "")
    repeated = problem if isinstance(problem, RepeatedTime) else None
    return call.page(
        "correction_new.html", status, person=person, repeated=repeated, day=day, one=sheet.days[0], directions=in_words(call), hours=hours,
        strip=partial(charts.strip, call.texts), site=site, local=site.local, mark=site.clock.mark, problem=words, given=given, named=named,
        elsewhere=elsewhere, doors=doors(call),
        targets=[target(stamp.entry) for stamp in sheet.days[0].stamps],
    )  # fmt: skip


def filled(punch: LastPunch | None, site: Site) -> dict[str, str]:
    """A punch as values of the form's fields."""
    if punch is None:
        return {}
    local = site.local(minute(punch.occurred_at))
    which = {"which": "second" if local.fold else "first"} if site.clock.mark(punch.occurred_at) else {}
    return {"punch_day": f"{local:%Y-%m-%d}", "time": f"{local:%H:%M}", "direction": punch.direction, **which}


def target(entry: Entry) -> str:
    """The form's identifier of a punch that counts: at another door of the fleet, its number there and that door."""
    named = f"added:{entry.added_by}" if entry.added_by is not None else f"punch:{entry.punch_id}"
    return f"{named}:{entry.door}" if entry.door else named


def named_punch(text: str) -> tuple[int | None, int | None, str]:
    """Read the form's identifier of a punch: its id, or the id of the correction that added it, neither for a new one; and the door whose log holds it.

    Raises:
        Problem: it is no such name.
    """
    kind, number, door = (*text.split(":", 2), "", "")[:3]
    if kind not in ("punch", "added", "new") or (kind != "new" and not number.isdecimal()):
        raise Problem(phrase("correction.which", "choose the punch to correct"))
    ids = int(number[:18] or 0)
    return ids if kind == "punch" else None, ids if kind == "added" else None, door


def counting(call: Call, punch_id: int | None, added_by: int | None, door: str) -> LastPunch | None:
    with call.store.reading() as db:
        return current(db, punch_id, added_by, door)


def ask(call: Call) -> Response:
    person, site = call.store.person(parameters.form_number(call, "person")), Planning(call.store).site()
    day = parameters.form_day(call, "day")
    try:
        request = desk(call).request(draft_of(call, person, site), call.who.actor)
    except ClockfaceError as error:
        return form(call, person, day, site, error)
    return call.goto(f"/corrections/{request.id}", call.texts.text("corrections.asked_words"))


def draft_of(call: Call, person: Person, site: Site) -> CorrectionDraft:
    """The correction that the form requests."""
    punch_id, added_by, door = named_punch(call.field("target"))
    replacement = None
    if call.field("target") == "new" or call.field("action") != "remove":
        direction = next((known for known in KNOWN if known == call.field("direction")), None)
        if direction is None:
            raise Problem(phrase("correction.direction", "choose a direction"))
        second = {"first": False, "second": True}.get(call.field("which", ""))
        moment = site.clock.moment(parameters.form_day(call, "punch_day"), planning.clock(call.field("time")), second)
        replacement = LastPunch(moment, direction)
    return CorrectionDraft(person.id, punch_id, added_by, replacement, call.field("reason"), door)


def shown(call: Call) -> Response:
    request, site = desk(call).one(call.path["id"]), Planning(call.store).site()
    moments = [punch.occurred_at for punch in (request.before, request.draft.replacement) if punch]
    changes = with_and_without(call.store, request.draft, moments, int(call.terminal.now() // 60)) if request.state == "open" else []
    why_not = desk(call).why_not(request.id, call.who.actor)
    return call.page(
        "correction.html", request=request, person=call.store.person(request.draft.person_id), changes=changes, directions=in_words(call), local=site.local,
        hours=hours, strip=partial(charts.strip, call.texts), site=site, logins=logins(call), why_not=why_not, day=day_of(request, site), doors=doors(call),
    )  # fmt: skip


def day_of(request: Request, site: Site) -> date:
    about = request.draft.replacement or request.before
    return site.day_of(int((about.occurred_at if about else request.requested_at) // 60))


def decide(call: Call) -> Response:
    approve = call.field("decision") == "approve"
    request = desk(call).decide(call.path["id"], approve, call.who.actor, call.field("note", ""))
    return call.goto("/corrections", call.texts.text("corrections.decided", id=request.id, state=call.texts.text(f"words.request_{request.state}")))


def in_words(call: Call) -> dict[str, str]:
    """Directions as the page says them."""
    return call.texts.named("words", DIRECTIONS)


def doors(call: Call) -> dict[str, str]:
    """uuid -> name of the other terminals whose punches are known here."""
    with call.store.reading() as db:
        return dict(db.execute("SELECT door, max(device) FROM door_punches GROUP BY 1").fetchall())


def logins(call: Call) -> dict[str, str]:
    """Actors as requests store them -> names for the page."""
    asked_themselves = "SELECT 'person:' || id, name FROM people WHERE 'person:' || id IN (SELECT requested_by FROM correction_requests)"
    with call.store.reading() as db:
        return dict(db.execute(f"SELECT 'user:' || id, login FROM users UNION ALL {asked_themselves}").fetchall())


# periods


def periods(call: Call) -> Response:
    site = Planning(call.store).site()
    today = site.day_of(int(call.terminal.now() // 60))
    last = site.accounting.period_of(site.accounting.first_of_period(today) - timedelta(days=1))
    late = desk(call).came_later()
    return call.page(
        "periods.html", locks=desk(call).locks(), late=late, late_punches={number: desk(call).late_punches(number) for number in late}, last=last,
        months=site.accounting.calendar_months, local=site.local, logins=logins(call), directions=in_words(call),
    )  # fmt: skip


def lock(call: Call) -> Response:
    """Lock a month, or the days from the one to the other."""
    days = Planning(call.store).site().accounting.days(call.field("month", "") or f"{call.field('first')}..{call.field('last')}")
    desk(call).lock(days[0], days[-1], call.who.actor)
    return call.goto("/periods", call.texts.text("periods.is_locked", month=call.texts.period(days)))


def lift(call: Call) -> Response:
    desk(call).lift(call.path["id"], call.who.actor)
    return call.goto("/periods", call.texts.text("periods.is_lifted"))


ROUTES = (
    get("/corrections", listed, "hr", teams=True),
    get("/corrections/new", new, "hr", teams=True, form=who),
    post("/corrections", ask, "hr", teams=True),
    get("/corrections/{id:int}", shown, "hr", teams=True),
    post("/corrections/{id:int}/decision", decide, "hr", teams=True),
    get("/periods", periods, "hr"),
    post("/periods", lock, "hr", form=periods),
    post("/periods/{id:int}/lift", lift, "admin"),
)
