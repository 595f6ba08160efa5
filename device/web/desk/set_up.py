"""A new terminal, step by step: site, country, shifts, people, camera, back-up. What is set is shown as done; a step may be skipped and come back to."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any
from zoneinfo import available_timezones

from starlette.responses import Response

from device.attendance import public_holidays
from device.attendance.planning import Planning
from device.attendance.timesheet.law import LAWS
from device.config import LANGUAGES
from device.maintenance import set_up
from device.maintenance.set_up import StepState
from device.storage import settings as stored_settings
from device.system.time_zones import system_zone
from device.web.call import Call
from device.web.connections import own_machine
from device.web.messages import Messages
from device.web.pages import get, post

LANGUAGE = "web.language"
ELSEWHERE = {"shifts": "/schedule", "people": "/people", "camera": "/check", "backup": "/backup"}  # steps whose forms stand on pages of their own
AT_A_DOOR = ("people", "camera")  # steps that a company's desk does not have
PEOPLE = (("/people/bulk", "bulk"), ("/import", "import"), ("/people", "one"))


def page(call: Call) -> Response:
    states = {step: state for step, state in set_up.states(call.store, call.terminal.config_file).items() if not (call.terminal.desk and step in AT_A_DOOR)}
    asked = call.query.get("step", "")
    open_steps = [step for step, state in states.items() if state == "open"]
    now = asked if asked in states else open_steps[0] if open_steps else ""
    site = Planning(call.store).site()
    following = stored_settings.in_force(call.store, call.terminal.config_file)
    zone = system_zone() if states["site"] != "done" else site.zone
    return call.page(
        "setup.html", states=states, now=now, badges=BADGES, site=site, zone=zone, zones=sorted(available_timezones()),
        languages={name: Messages.load(name).name for name in LANGUAGES}, kiosk_language=following.web.language, fixed=_fixed(call), laws=LAWS,
        elsewhere=ELSEWHERE, people_pages=PEOPLE, picture=own_machine(call.address) or call.terminal.settings.web.kiosk == "anywhere",
        waiting=following != call.terminal.settings, done=sum(state == "done" for state in states.values()), **(_country(call) if now == "country" else {}),
    )  # fmt: skip


BADGES: dict[StepState, str] = {"done": "good", "skipped": "", "open": "warn"}


def _fixed(call: Call) -> bool:
    """Whether the language is set in the file or by a fleet, and not here."""
    above = stored_settings.overridden(call.store, call.terminal.config_file)
    return LANGUAGE in stored_settings.fixed_by(call.terminal.config_file) or LANGUAGE in above


def _country(call: Call) -> dict[str, Any]:
    """What the step of the country shows: the countries, and once one is chosen its parts and its days."""
    chosen, part = call.query.get("country", ""), call.query.get("part", "")
    found: dict[str, Any] = {"countries": public_holidays.countries(), "country": chosen, "part": part, "parts": {}, "days": {}, "law": ""}
    if chosen:
        parts = public_holidays.parts(chosen)
        part = part if part in parts else ""
        days = public_holidays.days(chosen, part, _today(call), call.language)
        found |= {"parts": parts, "part": part, "days": days, "law": public_holidays.law_of(chosen)}
    return found


def _today(call: Call) -> date:
    return Planning(call.store).site().day_of(int(call.terminal.now() // 60))


def set_site(call: Call) -> Response:
    """Zone and language, both or neither."""
    zone, language = call.field("zone").strip(), call.field("language", "")
    with call.store.together():
        planned = Planning(call.store)
        planned.set_site(replace(planned.site(), zone=zone), call.who.actor)
        if language and not _fixed(call):
            stored_settings.change(call.store, call.terminal.config_file, {LANGUAGE: language})
    return _done(call, "site")


def set_country(call: Call) -> Response:
    """The rules of a country and its holidays, all or nothing; without a country the rules alone."""
    country, law = call.field("country", ""), call.field("law")
    with call.store.together():
        planned = Planning(call.store)
        site = planned.site()
        planned.set_site(replace(site, accounting=replace(site.accounting, law=law)), call.who.actor)
        days = public_holidays.days(country, call.field("part", ""), _today(call), call.language) if country else {}
        number = public_holidays.enter(call.store, days, call.who.actor)
        if law == "none" and not number:
            set_up.skip(call.store, "country", True)  # somebody decided that it needs nothing
    return _done(call, "country", count=number)


def _done(call: Call, step: str, **values: object) -> Response:
    return call.goto("/setup", call.texts.text(f"setup.said_{step}", **values))


def skip(call: Call) -> Response:
    step, yes = call.field("step"), call.field("skip", "1") == "1"
    set_up.skip(call.store, step, yes)
    return call.goto("/setup" if yes else f"/setup?step={step}")


ROUTES = (
    get("/setup", page, "admin"),
    post("/setup/site", set_site, "admin", form=page),
    post("/setup/country", set_country, "admin", form=page),
    post("/setup/skip", skip, "admin"),
)
