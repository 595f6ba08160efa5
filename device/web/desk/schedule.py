"""The schedule: shifts, plans, assignments, holidays, absences and the rules of the site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Any

from starlette.responses import Response

from device.attendance import calendars, planning
from device.attendance.planning import Planning
from device.attendance.timesheet.absences import ABSENCES, Absence, Employment, Half
from device.attendance.timesheet.sheet import hours
from device.attendance.timesheet.shifts import Shift
from device.attendance.timesheet.worksite import PAIRINGS, ROUNDED, ROUNDING_MODES, ROUNDINGS, Pairing
from device.storage.groups import Selection
from device.storage.records import Person
from device.web import parameters
from device.web.call import Call, Problem
from device.web.desk.accounting import rule_fields, set_accounting
from device.web.desk.day_words import DayWords
from device.web.desk.durations import break_rows, minutes_of, typed_breaks
from device.web.messages import Messages
from device.web.pages import get, post

ABSENCES_SHOWN = 60  # on one page
BREAK_RULES = ("automatic", "punched", "paid")
SHIFT_NUMBERS = ("break_minutes", "grace_minutes", "before_minutes", "after_minutes", "half_day_minutes", "absent_minutes")
HALVES: tuple[Half, ...] = ("first", "second")
EVERYBODY = "*"  # in place of a department
PEOPLE_SHOWN = 100  # of a plan, on one page
LATEST = "id = (SELECT id FROM assignments WHERE person_id = a.person_id ORDER BY since DESC, id DESC LIMIT 1)"
WORK = f"""SELECT p.*, a.since FROM people p JOIN (SELECT * FROM assignments a WHERE {LATEST}) a ON a.person_id = p.id
    WHERE a.plan_id = :plan AND p.erased_at IS NULL ORDER BY p.active DESC, p.name COLLATE NOCASE, p.id"""


def schedule(call: Call) -> Response:
    planned, said = Planning(call.store), call.texts
    site = planned.site()
    today = site.day_of(int(call.terminal.now() // 60))
    absences = planned.absences(today - timedelta(days=31), date.max)
    pages = max(1, -(-len(absences) // ABSENCES_SHOWN))
    number = min(parameters.page(call), pages)
    names = {person.id: person for person in call.store.people()}
    return call.page(
        "schedule.html", site=site, shifts=planned.shifts(), plans=planned.plans(), calendars=planned.calendars(), people=names,
        pairings=said.named("schedule", PAIRINGS, "pairing_"), rounding_modes=said.named("schedule", ROUNDING_MODES, "rounding_"),
        rounded=said.named("schedule", ROUNDED, "rounded_"), break_rules=said.named("schedule", BREAK_RULES, "break_"),
        days=said.text("format.weekdays").split(), told=partial(told, said), words=DayWords(said), hours=hours,
        absences=absences[(number - 1) * ABSENCES_SHOWN : number * ABSENCES_SHOWN], number=number, pages=pages, total=len(absences),
        kinds=ABSENCES, roundings=ROUNDINGS, today=today, monday=today - timedelta(days=today.weekday()), counts=assigned(call),
        breaks=break_rows(site.minimum_breaks), rules=rule_fields(said, site.accounting),
    )  # fmt: skip


def told(said: Messages, shift: Shift) -> list[str]:
    """The rules of a shift that most shifts do not have, in words."""
    text = said.text
    found = [text("schedule.told_grace", minutes=shift.early_grace_minutes)] if shift.early_grace_minutes is not None else []
    found += [text("schedule.told_before", minutes=shift.before_minutes)] if shift.before_minutes else []
    found += [text("schedule.told_after", minutes=shift.after_minutes)] if shift.after_minutes else []
    found += [text("schedule.told_check_out", time=f"{shift.check_out:%H:%M}")] if shift.check_out else []
    found += [text("schedule.told_half", hours=hours(shift.half_day_minutes))] if shift.half_day_minutes else []
    return found + ([text("schedule.told_absent", hours=hours(shift.absent_minutes))] if shift.absent_minutes else [])


def assigned(call: Call) -> dict[int, int]:
    """Plan id -> number of people whose latest assignment it is."""
    sql = f"SELECT plan_id, count(*) FROM assignments a WHERE plan_id IS NOT NULL AND {LATEST} GROUP BY 1"
    with call.store.reading() as db:
        return dict(db.execute(sql).fetchall())


def plan_page(call: Call) -> Response:
    """Who works a plan, or will."""
    return _plan(call, call.path["id"])


def assigning(call: Call) -> Response:
    """The page that a refused assignment came from."""
    return _plan(call, parameters.form_number(call, "plan")) if call.field("from_plan", "") else schedule(call)


def _plan(call: Call, plan_id: int) -> Response:
    planned = Planning(call.store)
    plan = planned.plans().get(plan_id)
    if plan is None:
        raise Problem(call.texts.text("schedule.no_plan"), 404)
    with call.store.reading() as db:
        found = [(Person.from_row(row), row["since"]) for row in db.query(WORK, {"plan": plan_id})]
    pages = max(1, -(-len(found) // PEOPLE_SHOWN))
    number = min(parameters.page(call), pages)
    lines = found[(number - 1) * PEOPLE_SHOWN : number * PEOPLE_SHOWN]
    today = planned.site().day_of(int(call.terminal.now() // 60))
    return call.page("plan.html", plan=plan, shifts=planned.shifts(), lines=lines, number=number, pages=pages, total=len(found), today=today)


def set_site(call: Call) -> Response:
    before = Planning(call.store).site()
    names = ("longest_stay_hours", "repeat_minutes", "rounding_minutes", "rest_hours", "minimum_break_part")
    changes: dict[str, Any] = {name: parameters.form_number(call, name, getattr(before, name)) for name in names}
    changes |= {name: call.field(name, getattr(before, name)) for name in ("rounding", "rounding_of")}
    check_out = call.field("check_out", f"{before.check_out:%H:%M}" if before.check_out else "").strip()
    breaks = typed_breaks(call)
    changed = replace(
        before, zone=call.field("zone").strip(), day_start=planning.clock(call.field("day_start")), four_eyes=call.field("four_eyes", "") == "1",
        minimum_breaks=planning.breaks(call.field("minimum_breaks", "")) if breaks is None else breaks, pairing=pairing(call) or before.pairing,
        check_out=planning.clock(check_out) if check_out else None, **changes,
    )  # fmt: skip
    Planning(call.store).set_site(changed, call.who.actor)
    return call.goto("/schedule", call.texts.text("schedule.site_changed"))


def add_shift(call: Call) -> Response:
    names = ("start", "end", "break_from", "break_to", "check_out")
    times = {name: planning.clock(text) if (text := call.field(name, "").strip()) else None for name in names}
    flexible = call.field("hours", "").strip()
    minutes = minutes_of(flexible) if flexible else None
    numbers = {name: parameters.form_number(call, name, 0) for name in SHIFT_NUMBERS}
    early = parameters.form_number(call, "early_grace_minutes") if call.field("early_grace_minutes", "").strip() else None
    rule = call.field("break_rule", "automatic")
    if rule not in BREAK_RULES:
        raise Problem(call.texts.text("schedule.wrong_break", known=", ".join(call.texts.named("schedule", BREAK_RULES, "break_").values()), got=rule[:20]))
    rules = {"break_automatic": rule != "punched", "break_paid": rule == "paid", "early_grace_minutes": early}
    shift = Shift(call.field("name"), minutes=minutes, **times, **numbers, **rules)  # type: ignore[arg-type]
    Planning(call.store).add_shift(shift, call.who.actor)
    return call.goto("/schedule", call.texts.text("schedule.shift_added", name=shift.name))


def add_plan(call: Call) -> Response:
    """Add a plan of one to four weeks, with a shift or none for each day."""
    weeks = parameters.form_number(call, "weeks")
    if not 1 <= weeks <= 4:
        raise Problem(call.texts.text("schedule.wrong_weeks"))
    chosen = [[call.field(f"{name}_{number}", "") for name in ("day", "second")] for number in range(weeks * 7)]
    days = [tuple(int(text) for text in texts if text.isdecimal()) for texts in chosen]
    cycle = [day if len(day) > 1 else day[0] if day else None for day in days]
    Planning(call.store).add_plan(call.field("name"), cycle, parameters.form_day(call, "anchor"), call.who.actor, pairing(call))
    return call.goto("/schedule", call.texts.text("schedule.plan_added", name=call.field("name")))


def pairing(call: Call) -> Pairing | None:
    """Which punches of a day count; None: nothing was chosen."""
    text = call.field("pairing", "")
    if text and text not in PAIRINGS:
        raise Problem(call.texts.text("schedule.wrong_pairing", known=", ".join(call.texts.named("schedule", PAIRINGS, "pairing_").values()), got=text[:20]))
    return text or None


def named_people(call: Call) -> list[Person]:
    """Whom a form is about: one person, everybody of a department, or everybody.

    Raises:
        Problem: nobody.
    """
    group = call.field("everybody_of", "")
    if not group:
        if not call.field("person", "").strip():
            raise Problem(call.texts.text("schedule.choose_whom"))
        return [call.store.person(call.field("person"))]
    with call.store.reading() as db:
        members = Selection(department="" if group == EVERYBODY else group).members(db)
    people = [person for person in call.store.people(active_only=True) if members is None or person.id in members]
    if not people:
        raise Problem(call.texts.text("schedule.nobody_active", group=group[:100]))
    return people


def spoken(call: Call, key: str, people: Sequence[Person], **values: object) -> str:
    """What was done for one person by name, or for so many."""
    if len(people) == 1:
        return call.texts.text(f"schedule.{key}_one", name=people[0].name, **values)
    return call.texts.text(f"schedule.{key}", count=len(people), **values)


def assign(call: Call) -> Response:
    people, plan, since = named_people(call), call.field("plan"), parameters.form_day(call, "since")
    with call.store.together():
        for person in people:
            Planning(call.store).assign(person.id, int(plan) if plan.isdecimal() else None, since, call.who.actor)
    said = spoken(call, "assigned" if plan.isdecimal() else "unassigned", people, day=call.texts.numeric_day(since))
    onwards = f"/schedule/plans/{plan}" if call.field("from_plan", "") and plan.isdecimal() else "/schedule"
    return call.goto(onwards, said)


def add_absence(call: Call) -> Response:
    people = named_people(call)
    text = call.field("half", "")
    half = next((half for half in HALVES if half == text), None)
    if text and not half:
        raise Problem(call.texts.text("schedule.wrong_half", known=", ".join(call.texts.named("day", HALVES, "half_").values()), got=text[:20]))
    since, until = (planning.clock(text) if (text := call.field(name, "").strip()) else None for name in ("since", "until"))
    absence = Absence(parameters.form_day(call, "first"), parameters.form_day(call, "last"), call.field("kind"), half, since, until)
    with call.store.together():
        for person in people:
            Planning(call.store).add_absence(person.id, absence, call.who.actor)
    return call.goto("/schedule", spoken(call, "absence_entered", people))


def cancel_absence(call: Call) -> Response:
    stays = Planning(call.store).cancel_absence(call.path["id"], call.who.actor)
    said = call.texts.text("schedule.absence_ends_locked", day=call.texts.numeric_day(stays)) if stays else call.texts.text("schedule.absence_cancelled")
    return call.goto("/schedule", said)


def shorten_absence(call: Call) -> Response:
    last = parameters.form_day(call, "last")
    Planning(call.store).shorten_absence(call.path["id"], last, call.who.actor)
    return call.goto("/schedule", call.texts.text("schedule.absence_ends", day=call.texts.numeric_day(last)))


def set_employment(call: Call) -> Response:
    person = call.store.person(call.field("person"))
    first, last = (planning.day(text) if (text := call.field(name, "").strip()) else None for name in ("first", "last"))
    Planning(call.store).set_employment(person.id, Employment(first, last), call.who.actor)
    return call.goto("/schedule", call.texts.text("schedule.employment_entered", name=person.name))


def set_holiday(call: Call) -> Response:
    calendars.set_day(call.store, parameters.form_day(call, "day"), call.field("name"), call.field("calendar", ""), call.who.actor)
    return call.goto("/schedule", call.texts.text("schedule.holiday_entered"))


def remove_holiday(call: Call) -> Response:
    calendars.remove_day(call.store, parameters.form_day(call, "day"), call.field("calendar", ""), call.who.actor)
    return call.goto("/schedule", call.texts.text("schedule.holiday_removed"))


def choose_calendar(call: Call) -> Response:
    """Let a calendar count for a person, a department, everybody, or the people of a plan."""
    name, plan = call.field("calendar", ""), call.field("plan", "")
    if plan.isdecimal():
        calendars.choose(call.store, name, call.who.actor, plan_id=int(plan))
    else:
        with call.store.together():
            for person in named_people(call):
                calendars.choose(call.store, name, call.who.actor, person_id=person.id)
    said = call.texts.text("schedule.calendar_chosen", name=name) if name else call.texts.text("schedule.no_calendar_chosen")
    return call.goto("/schedule", said)


ROUTES = (
    get("/schedule", schedule, "hr"),
    get("/schedule/plans/{id:int}", plan_page, "hr"),
    post("/schedule/site", set_site, "admin", form=schedule),
    post("/schedule/accounting", set_accounting, "admin", form=schedule),
    post("/schedule/shifts", add_shift, "hr", form=schedule),
    post("/schedule/plans", add_plan, "hr", form=schedule),
    post("/schedule/assignments", assign, "hr", form=assigning),
    post("/schedule/absences", add_absence, "hr", form=schedule),
    post("/schedule/absences/{id:int}/cancel", cancel_absence, "hr", form=schedule),
    post("/schedule/absences/{id:int}/shorten", shorten_absence, "hr", form=schedule),
    post("/schedule/employments", set_employment, "hr", form=schedule),
    post("/schedule/holidays", set_holiday, "hr", form=schedule),
    post("/schedule/calendars", choose_calendar, "hr", form=schedule),
    post("/schedule/holidays/remove", remove_holiday, "hr", form=schedule),
)
