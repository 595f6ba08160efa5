"""Flags of working-time law: who, when, which rule."""

from __future__ import annotations

from starlette.responses import Response

from device.attendance.law_report import report
from device.attendance.planning import Planning
from device.attendance.timesheet.law import LAWS
from device.attendance.timesheet.sheet import hours
from device.web import parameters
from device.web.call import Call
from device.web.desk.day_words import DayWords
from device.web.desk.timesheets import chosen
from device.web.pages import get


def page(call: Call) -> Response:
    site = Planning(call.store).site()
    period = parameters.period(call, site)
    text = call.query.get("name", "").strip()[:80]
    people, number, pages, total = chosen(call, text, period.days, site)
    with call.store.reading() as db:
        found = report(db, [person.id for person in people], period.days, int(call.terminal.now() // 60))
    return call.page(
        "law.html", period=period, months=site.accounting.calendar_months, rows=found, people={person.id: person for person in people}, hours=hours,
        law=LAWS.get(site.accounting.law), law_key=site.accounting.law, words=DayWords(call.texts), text=text, number=number, pages=pages, total=total,
    )  # fmt: skip


ROUTES = (get("/timesheets/law", page, "hr"),)
