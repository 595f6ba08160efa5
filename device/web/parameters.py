"""Parameters of an address: days, months, pages, people; a wrong value is named to the user."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from device.attendance import planning
from device.attendance.timesheet.accounting import beside, month_days, named
from device.attendance.timesheet.worksite import Site
from device.contract import phrase
from device.storage.groups import Selection
from device.storage.store import Person
from device.web.call import Call, Problem


def day(call: Call, name: str, default: date) -> date:
    text = call.query.get(name, "")
    return planning.day(text) if text else default


@dataclass(frozen=True)
class Period:
    """The days of a page; `text` names them in an address, as `period=`, and so do `before` and `after` those beside them."""

    days: list[date]
    text: str
    before: str
    after: str


def period(call: Call, site: Site) -> Period:
    """The period that is asked for: `period=`, or `month=`, or `from=` and `to=`; without any, that of the form, or the pay period of today."""
    sums = site.accounting
    first, last = (call.query.get(name, "") for name in ("from", "to"))
    if first or last:
        days = sums.days(f"{first or last}..{last or first}")
    elif text := call.query.get("period", "") or call.field("period", ""):
        days = sums.days(text)
    elif text := call.query.get("month", ""):
        days = month_days(text)
    else:
        days = sums.period_of(site.day_of(int(call.terminal.now() // 60)))
    return Period(days, named(days, sums), *beside(days, sums))


def page(call: Call) -> int:
    text = call.query.get("page", "1")
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 10_000_000:
        raise Problem(phrase("form.page", "page {text!r}: expected a number from 1", text=text[:20]))
    return int(text)


def person(call: Call, name: str = "person") -> Person | None:
    """The person named in the field by id, code or exact name; None if the field is empty."""
    text = call.query.get(name, "").strip()
    return call.store.person(text) if text else None


def group(call: Call) -> Selection:
    """The site and the department that are asked for."""
    return Selection(call.query.get("site", "")[:80], call.query.get("department", "")[:200])


def form_day(call: Call, name: str) -> date:
    return planning.day(call.field(name))


def form_number(call: Call, name: str, default: int | None = None) -> int:
    text = call.field(name, None if default is None else str(default)).strip() or ("" if default is None else str(default))
    if not text.isdecimal() or len(text) > 9:
        raise Problem(phrase("form.number", "{name}: expected a whole number, got {text!r}", name=name.replace("_", " "), text=text[:20]))
    return int(text)
