"""The accounts of one person, as the page of their timesheet shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from device.attendance import accounts
from device.attendance.accounts import KINDS
from device.attendance.leave import leave
from device.attendance.timesheet.worksite import Site
from device.storage.records import Person
from device.web.call import Call


def account_values(call: Call, person: Person, days: Sequence[date], site: Site) -> dict[str, Any]:
    """What the card of a person's accounts shows; leave and bookings to HR alone."""
    moment = int(call.terminal.now() // 60)
    with call.store.reading() as db:
        values: dict[str, Any] = {"account": accounts.statement(db, person.id, days, moment), "leave": None, "booked": [], "days_text": call.texts.days}
        if call.who.may("hr"):
            values["leave"] = leave(db, person.id, days[-1].year, site.day_of(moment))
            year = date(days[-1].year, 1, 1), date(days[-1].year, 12, 31)
            values["booked"] = [one for account in KINDS for one in accounts.bookings(db, person.id, account, *year)]
    return {**values, "kinds": KINDS, "today": site.day_of(moment)}
