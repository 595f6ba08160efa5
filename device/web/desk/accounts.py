"""Accounts of time and leave of everybody for a period, and bookings by HR."""

from __future__ import annotations

from starlette.responses import Response

from device.attendance import accounts
from device.attendance.accounts import Booking
from device.attendance.leave import leave
from device.attendance.planning import Planning
from device.attendance.timesheet.sheet import hours
from device.web import parameters
from device.web.call import Call, Problem
from device.web.desk.timesheets import chosen, person_month
from device.web.pages import get, post


def page(call: Call) -> Response:
    site, moment = Planning(call.store).site(), int(call.terminal.now() // 60)
    period = parameters.period(call, site)
    text = call.query.get("name", "").strip()[:80]
    people, number, pages, total = chosen(call, text, period.days, site)
    with call.store.reading() as db:
        rows = [
            (person, accounts.statement(db, person.id, period.days, moment), leave(db, person.id, period.days[-1].year, site.day_of(moment)))
            for person in people
        ]
    return call.page(
        "accounts.html", period=period, months=site.accounting.calendar_months, rows=rows, hours=hours, days_text=call.texts.days, text=text, number=number,
        pages=pages, total=total, since=site.accounting.account_since, year=period.days[-1].year,
    )  # fmt: skip


def book(call: Call) -> Response:
    person, (account, _, kind) = call.store.person(int(call.path["id"])), call.field("kind").partition(" ")
    amount = accounts.amount_from(account, call.field("amount"))
    booking = Booking(0, person.id, account, kind, parameters.form_day(call, "day"), amount, call.field("reason"), call.who.actor, call.terminal.now())
    accounts.book(call.store, booking)
    return call.goto(f"/timesheets/{person.id}?period={call.field('period', '')[:30]}#account", call.texts.text("accounts.booked"))


def grant(call: Call) -> Response:
    """Grant everybody who is active the same leave of a year."""
    year, amount = parameters.form_number(call, "year"), accounts.amount_from("leave", call.field("amount"))
    if not 2000 <= year <= 2100:
        raise Problem(call.texts.text("accounts.wrong_year", year=year))
    people, reason = call.store.people(active_only=True), call.texts.text("accounts.grant_reason", year=year)
    granted, own = accounts.grant(call.store, [person.id for person in people], year, amount, call.who.actor, call.terminal.now(), reason)
    said = call.texts.text("accounts.granted", count=granted, days=call.texts.days(amount), year=year)
    left = f" {call.texts.text('accounts.left_out', count=own)}" if own else ""
    return call.goto("/timesheets/accounts", said + left)


ROUTES = (
    get("/timesheets/accounts", page, "hr"),
    post("/timesheets/accounts/leave", grant, "hr", form=page),
    post("/timesheets/{id:int}/bookings", book, "hr", form=person_month),
)
