"""Overtime of a period that waits for approval, and its approval."""

from __future__ import annotations

from starlette.responses import Response

from device.attendance import overtime, planning
from device.attendance.four_eyes import person_of
from device.attendance.planning import Planning
from device.attendance.review import Desk
from device.attendance.timesheet.sheet import hours
from device.web import parameters
from device.web.call import Call, Problem
from device.web.desk.timesheets import chosen, sheets
from device.web.pages import get, post

MOST = 400  # days on one page: a form has at most 500 fields (`device/web/pages.py`)


def page(call: Call) -> Response:
    site = Planning(call.store).site()
    period = parameters.period(call, site)
    text = call.query.get("name", "").strip()[:80]
    people, number, pages, total = chosen(call, text, period.days, site)
    named = {person.id: person for person in people}
    days = [(named[person], day) for person, day in overtime.waiting(sheets(call, people, period.days))] if site.accounting.approves else []
    locks = [lock for lock in Desk(call.store).locks() if lock.lifted_at is None]
    locked = {day for lock in locks for day in period.days if lock.first <= day <= lock.last}
    days.sort(key=lambda found: found[1].day in locked)  # what can be approved comes first
    more, days = len(days[MOST:]), days[:MOST]
    with call.store.reading() as db:
        own = person_of(db, call.who.actor)[0]
    return call.page(
        "overtime.html", period=period, months=site.accounting.calendar_months, approves=site.accounting.approves, days=days, more=more, locked=locked, own=own,
        hours=hours, text=text, number=number, pages=pages, total=total,
    )  # fmt: skip


def approve(call: Call) -> Response:
    """Approve the days that were ticked, each as `person day`: all of them, or none."""
    given = [str(text).partition(" ") for text in call.form.getlist("day")]
    if not given or not all(person.isdecimal() for person, _, _ in given):
        raise Problem(call.texts.text("overtime.tick"))
    days = [(int(person), planning.day(day)) for person, _, day in given]
    minutes = overtime.approve_days(call.store, days, call.who.actor, call.terminal.now())
    said = call.texts.text("overtime.approved", count=len(given), hours=hours(sum(minutes)))
    return call.goto(f"/timesheets/overtime?period={call.field('period', '')[:30]}", said)


ROUTES = (
    get("/timesheets/overtime", page, "hr", teams=True),
    post("/timesheets/overtime", approve, "hr", teams=True, form=page),
)
