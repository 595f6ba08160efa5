"""Timesheets: one period of all people, one period of one person (on the screen and for printing), one day of the company."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

from starlette.responses import Response

from device.attendance.planning import Planning
from device.attendance.sheets import LISTED, company_sheets, listing, sheet_within, site_on
from device.attendance.timesheet.sheet import Sheet, hours, row
from device.attendance.timesheet.worksite import Site
from device.storage.records import Person
from device.web import parameters
from device.web.call import Call
from device.web.desk import charts
from device.web.desk.account_card import account_values
from device.web.desk.day_words import DayWords
from device.web.desk.month_table import ADDED, PAGE, MonthTable, of_all, sums
from device.web.pages import get


def month(call: Call) -> Response:
    site = Planning(call.store).site()
    period = parameters.period(call, site)
    text = call.query.get("name", "").strip()[:80]
    people, number, pages, total = chosen(call, text, period.days, site, ADDED)
    if total <= ADDED:
        computed = company_sheets(call.store, period.days, int(call.terminal.now() // 60), {person.id for person in people})[1]
        table = of_all(call, people, computed)
    else:
        people, number, pages, total = chosen(call, text, period.days, site)
        some = sheets(call, people, period.days)
        table = MonthTable(people, some, number, pages, total, "", sums(people, some))
    return call.page(
        "timesheets.html", period=period, table=table, hours=hours, text=text,
        months=site.accounting.calendar_months, lock=lock_of(call, period.days), rules=site.accounting, words=DayWords(call.texts),
    )  # fmt: skip


def day(call: Call) -> Response:
    site = Planning(call.store).site()
    chosen_day = parameters.day(call, "day", today(call, site))
    text = call.query.get("name", "").strip()[:80]
    people, number, pages, total = chosen(call, text, [chosen_day], site)
    shown = sheets(call, people, [chosen_day])
    rows = [(person, shown[person.id].days[0], row(person.id, person.name, person.code, shown[person.id].days[0])) for person in people]
    return call.page(
        "timesheet_day.html", day=chosen_day, rows=rows, hours=hours, text=text, number=number, pages=pages, total=total,
        strip=partial(charts.strip, call.texts), site=site, words=DayWords(call.texts),
        before=chosen_day - timedelta(days=1), after=chosen_day + timedelta(days=1),
    )  # fmt: skip


def person_month(call: Call) -> Response:
    values = person_values(call)
    return call.page("timesheet_person.html", **values, **account_values(call, values["person"], values["period"].days, values["site"]))


def printed(call: Call) -> Response:
    return call.page("timesheet_print.html", **person_values(call))


def person_values(call: Call) -> dict[str, Any]:
    person = call.store.person(int(call.path["id"]))
    period = parameters.period(call, Planning(call.store).site())
    days = period.days
    with call.store.reading() as db:
        site = site_on(db, days[0], days[-1])
        sheet = sheet_within(db, person.id, days, site, int(call.terminal.now() // 60))
    return {
        "employment": Planning(call.store).employment(person.id),
        "person": person, "sheet": sheet, "totals": sheet.totals, "rows": [(one, row(person.id, person.name, person.code, one)) for one in sheet.days],
        "hours": hours, "strip": partial(charts.strip, call.texts), "site": site, "period": period, "months": site.accounting.calendar_months,
        "rules": site.accounting, "words": DayWords(call.texts),
        "lock": lock_of(call, days), "now": call.terminal.now(), "local": site.local,
    }  # fmt: skip


def today(call: Call, site: Site) -> date:
    return site.day_of(int(call.terminal.now() // 60))


def chosen(call: Call, text: str, days: Sequence[date], site: Site, size: int = PAGE) -> tuple[list[Person], int, int, int]:
    """One page of the people of these days whose name or code matches: people, page, number of pages, number of people."""
    group = parameters.group(call)
    where = f"person_rank(:text, name, code) IS NOT NULL AND {group.WHERE} AND {LISTED}"
    values = {"text": text, **group.values, **listing(days, site)}
    with call.store.reading() as db:
        total = db.execute(f"SELECT count(*) FROM people p WHERE {where}", values).fetchone()[0]
        pages = max(1, -(-total // size))
        number = min(parameters.page(call), pages)
        sql = f"SELECT * FROM people p WHERE {where} ORDER BY name COLLATE NOCASE, id LIMIT {size} OFFSET {(number - 1) * size}"
        return [Person.from_row(found) for found in db.query(sql, values)], number, pages, total


def sheets(call: Call, people: Sequence[Person], days: Sequence[date]) -> dict[int, Sheet]:
    as_of = int(call.terminal.now() // 60)
    with call.store.reading() as db:
        site = site_on(db, days[0], days[-1])
        return {person.id: sheet_within(db, person.id, days, site, as_of) for person in people}


def lock_of(call: Call, days: Sequence[date]) -> str:
    """Who locked all of these days, as a sentence; empty if they are not locked."""
    sql = "SELECT locked_by FROM period_locks WHERE lifted_at IS NULL AND first_day <= ? AND last_day >= ?"
    with call.store.reading() as db:
        found = db.execute(sql, [days[0].isoformat(), days[-1].isoformat()]).fetchone()
    return str(found[0]) if found else ""


ROUTES = (
    get("/timesheets", month, "viewer", teams=True),
    get("/timesheets/day", day, "viewer", teams=True),
    get("/timesheets/{id:int}", person_month, "viewer", teams=True),
    get("/timesheets/{id:int}/print", printed, "viewer", teams=True),
)
