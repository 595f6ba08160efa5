"""People: enrolment, consents, PIN and pictures; withdrawal of consent and erasure."""

from __future__ import annotations

import base64
from typing import Any

from starlette.responses import JSONResponse, Response

from device.attendance import merging
from device.attendance.planning import Planning
from device.attendance.plans import Plan
from device.contract import ClockfaceError
from device.storage import consents, corrections, findings
from device.storage.audit import Action
from device.storage.groups import Belonging, Selection, places, set_place
from device.storage.people_search import chosen_text, search
from device.storage.person_match import LONGEST, person_rank
from device.storage.records import LastPunch, Person
from device.terminal.returning import check_return
from device.web import parameters
from device.web.access import pins
from device.web.call import Call, Problem
from device.web.consent_text import wording
from device.web.desk import key_files
from device.web.pages import get, post

PER_PAGE = 50
RECENT_SECONDS = 7 * 86_400.0  # before the newest punch: where that one does not count, the one before it does
SHOWN = ("active", "all", "no_face", "again", "inactive")


def people_page(call: Call) -> Response:
    text, show, group = call.query.get("q", "").strip()[:LONGEST], call.query.get("show", "active"), parameters.group(call)
    number = int(page) if (page := call.query.get("page", "1")).isdecimal() and 0 < len(page) < 6 else 1
    listed = rows(call, text, show if show in SHOWN else "active", group)
    pages = max(1, -(-len(listed) // PER_PAGE))
    number = min(max(number, 1), pages)
    shown = listed[(number - 1) * PER_PAGE : number * PER_PAGE]
    with call.store.reading() as db:
        twins = findings.open_findings(db) if call.who.may("hr") else []
    for row in shown:
        row["last"] = last_punch(call, row["person"].id)
    return call.page("people.html", rows=shown, total=len(listed), number=number, pages=pages, q=text, show=show, twins=twins)


def find(call: Call) -> Response:
    """People for the field in which one is chosen, as JSON: those who fit best what was typed so far."""
    text = call.query.get("q", "").strip()
    with call.store.reading() as db:
        found = search(db, text) if text else []
    inactive = call.texts.text("people.inactive")
    people = [{"text": chosen_text(one), "name": one.name, "code": one.code or "", "note": "" if one.active else inactive} for one in found]
    return JSONResponse({"people": people})


def last_punch(call: Call, person_id: int) -> LastPunch | None:
    """The last punch of a person; at a desk by its time, since copies come in another order."""
    if not call.terminal.desk:
        return call.store.last_punch(person_id)
    with call.store.reading() as db:
        newest = db.execute("SELECT max(occurred_at) / 1000.0 FROM punches WHERE person_id = ?", [person_id]).fetchone()[0]
        counting = corrections.entries(db, (newest or 0.0) - RECENT_SECONDS, float("inf"), person_id).get(person_id, [])
    return LastPunch(counting[-1].occurred_at, counting[-1].direction) if counting else None


def rows(call: Call, text: str, show: str, group: Selection) -> list[dict[str, Any]]:
    """People who match the search and belong to the group, by name; erased people only under "all"."""
    templates, have_pin, again = call.store.template_counts_by_person(), pins.who_have_one(call.store), to_enrol_again(call)
    with call.store.reading() as db:
        agreed, members, belongs = consents.in_force(db), group.members(db), places(db)
    found = []
    for person in call.store.people():
        count = sum(templates.get(person.id, {}).values())
        active, here = person.active, person.id in again
        fits = {"active": active, "all": True, "no_face": active and not count, "again": active and here, "inactive": not active and not person.erased}[show]
        fits = fits and (members is None or person.id in members)
        if fits and person_rank(text, person.name, person.code) is not None:
            values = {"templates": count, "again": here, "place": belongs[person.id]}
            found.append({"person": person, "pin": person.id in have_pin, "consent": person.id in agreed, **values})
    return sorted(found, key=lambda row: row["person"].name.casefold())


def to_enrol_again(call: Call) -> set[int]:
    """Ids of the people whom the model that the settings name cannot recognise, and for whom no templates can be made."""
    state = call.terminal.live.reembedded()
    return set() if state is None else {person.id for person in state.to_enrol}


def two_people(call: Call) -> Response:
    """Of a face under two names: they are two people."""
    found = findings.decide_two(call.store, call.field("key"), call.who.actor)
    return call.goto("/people", call.texts.text("people.are_two", name=found.people[0].name, other=found.people[1].name))


def add_person(call: Call) -> Response:
    """Add a person without a face, for code and PIN."""
    person = call.store.add_person(call.field("name"), call.field("code").strip() or None)
    return call.goto(f"/people/{person.id}", call.texts.text("people.added", name=person.name))


def person_page(call: Call, status: int = 200, problem: ClockfaceError | None = None, fresh_pin: str = "", pictures: list[str] | None = None) -> Response:
    person = somebody(call)
    with call.store.reading() as db:
        given = consents.of(db, person.id)
    models = call.store.template_counts_by_person().get(person.id, {})
    have_pin = person.id in pins.who_have_one(call.store)
    last = last_punch(call, person.id)
    again = call.terminal.live.reembedded() if person.id in to_enrol_again(call) else None
    shown = wording(call.terminal.settings.web.language, call.terminal.settings.web.consent)
    with call.store.reading() as db:
        asks = consents.asked_again(db, person.id, shown.text)
    merged = None if call.store.departments else merging.last_merge(call.store, person.id, call.terminal.now())
    values = {"person": person, "consents": given, "models": models, "has_pin": have_pin, "last": last, "again": again and again.model}
    with call.store.reading() as db:
        values["place"] = places(db)[person.id]
    today = call.clock.day(call.terminal.now())
    values |= {"plans": plans_of(call, person.id), "today": today, "month_start": today.replace(day=1)}
    values |= {"asks": shown if asks else None, "merged": merged and call.store.person(int(merged["other_id"]))}
    return call.page("person.html", status, **values, problem=problem and call.texts.refusal(problem), fresh_pin=fresh_pin, pictures=pictures)


def plans_of(call: Call, person_id: int) -> list[tuple[Plan | None, str]]:
    """The plan that a person works now, and those to come, each with its first day."""
    planned = Planning(call.store)
    today, plans = f"{planned.site().day_of(int(call.terminal.now() // 60))}", planned.plans()
    with call.store.reading() as db:
        rows = db.execute("SELECT plan_id, since FROM assignments WHERE person_id = ? ORDER BY since, id", [person_id]).fetchall()
    begun = [row for row in rows if row[1] <= today]
    shown = [*begun[-1:], *(row for row in rows if row[1] > today)]
    return [(plans.get(plan_id), call.texts.numeric_day(since)) for plan_id, since in shown]


def pictures(call: Call) -> Response:
    """The crops kept from enrolment; each view is audited."""
    person = somebody(call)
    crops = call.store.kept_crops(person.id)
    call.store.audit(call.who.actor, Action.BIOMETRICS_READ, {"person_id": person.id, "pictures": len(crops)})
    return person_page(call, pictures=[f"data:image/png;base64,{base64.b64encode(kept.crop).decode()}" for kept in crops])


def change_person(call: Call) -> Response:
    person = somebody(call)
    call.store.rename(person.id, call.field("name"))
    call.store.set_code(person.id, call.field("code").strip() or None)
    set_place(call.store, person.id, _place(call, person))
    return call.goto(f"/people/{person.id}", call.texts.text("person.saved"))


def _place(call: Call, person: Person) -> Belonging:
    """Where the person belongs from now on. Only a desk says at which sites; there may be more of them, as doors that lose a person would not hear of it."""
    with call.store.reading() as db:
        before = places(db)[person.id]
    asked = tuple(site for site in call.form.getlist("site") if isinstance(site, str) and site in call.groups.sites)
    sites = before.sites if before.sites is None or not call.terminal.desk else tuple({*before.sites, *asked})
    return Belonging(None if call.field("everywhere", "") else sites, call.field("department", before.department))


def switch(call: Call) -> Response:
    person, booth = somebody(call), call.terminal.live.booth
    active = call.field("active") == "1"
    if active and booth.recogniser is not None:
        try:
            check_return(call.store, booth.recogniser, person, booth.enrolled())
        except ClockfaceError as error:
            return person_page(call, 400, error)
    (call.store.activate if active else call.store.deactivate)(person.id)
    return call.goto(f"/people/{person.id}", call.texts.text("person.activated" if active else "person.deactivated"))


def new_pin(call: Call) -> Response:
    """Set a generated PIN, which is shown once."""
    person, pin = somebody(call), pins.invented()
    try:
        pins.set_pin(call.store, person.id, pin)
    except ClockfaceError as error:
        return person_page(call, 400, error)
    return person_page(call, fresh_pin=pin)


def remove_pin(call: Call) -> Response:
    pins.remove_pin(call.store, somebody(call).id)
    return call.goto(f"/people/{call.path['id']}", call.texts.text("person.pin_removed"))


def withdraw(call: Call) -> Response:
    """Delete templates and pictures; name, code, PIN and punches stay."""
    person = confirmed(call)
    removed = call.store.withdraw_consent(person.id)
    return call.goto(f"/people/{person.id}", call.texts.text("person.is_withdrawn", count=removed))


def erase(call: Call) -> Response:
    """Delete name and code as well; punches stay under a pseudonym."""
    person = confirmed(call)
    call.store.erase(person.id)
    said = call.texts.text("person.is_erased", id=person.id)
    return call.goto("/people", f"{said} {key_files.after_erasure(call)}".strip())


def confirmed(call: Call) -> Person:
    """The person, whose name had to be typed to confirm an action that cannot be undone."""
    person = somebody(call)
    if call.field("confirm").strip() != person.name:
        raise Problem(call.texts.text("person.not_typed"))
    return person


def somebody(call: Call) -> Person:
    try:
        return call.store.person(int(call.path["id"]))
    except ClockfaceError as error:
        raise Problem(call.texts.text("person.unknown"), 404) from error


ROUTES = (
    get("/people", people_page, "viewer", teams=True),
    get("/people/find", find, "viewer", teams=True),
    post("/people", add_person, "hr", form=people_page),
    post("/people/two", two_people, "hr"),
    get("/people/{id:int}", person_page, "viewer", teams=True),
    post("/people/{id:int}", change_person, "hr", form=person_page),
    post("/people/{id:int}/pictures", pictures, "hr"),
    post("/people/{id:int}/active", switch, "hr"),
    post("/people/{id:int}/pin", new_pin, "hr"),
    post("/people/{id:int}/pin/remove", remove_pin, "hr"),
    post("/people/{id:int}/withdraw", withdraw, "hr", form=person_page),
    post("/people/{id:int}/erase", erase, "hr", form=person_page),
)
