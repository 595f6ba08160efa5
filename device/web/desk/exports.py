"""Exports: the log and the timesheets as CSV, XLSX and JSON; each one is audited."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, TypeVar

from starlette.responses import Response

from device.attendance.log import LogFilter, at
from device.attendance.planning import Planning
from device.attendance.sheets import company_sheets, person_sheet
from device.attendance.timesheet.sheet import COLUMNS, Sheet, row
from device.attendance.timesheet.worksite import Site
from device.delivery import tables
from device.delivery.tables import COLUMNS as PUNCH_COLUMNS
from device.delivery.timesheet_workbook import timesheet_workbook
from device.storage.audit import Action
from device.storage.store import Store
from device.system.clock import iso_utc
from device.web import parameters
from device.web.desk.log import asked_for
from device.web.pages import Call, Problem, get

T = TypeVar("T")
Exported = Literal["log", "timesheet"]
EXPORTED: dict[Exported, Action] = {"log": Action.LOG_EXPORTED, "timesheet": Action.TIMESHEET_EXPORTED}
LONG_ROWS = 5_000
LOG_COLUMNS = (*PUNCH_COLUMNS, "local_time")
FORMS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}


def page(call: Call) -> Response:
    site = Planning(call.store).site()
    today = site.day_of(int(call.terminal.now() // 60))
    period = parameters.period(call, site)
    return call.page("exports.html", today=today, first=today.replace(day=1), period=period, forms=FORMS, columns=COLUMNS, log_columns=LOG_COLUMNS)


def log(call: Call) -> Response:
    site = Planning(call.store).site()
    chosen, _ = asked_for(call, site)
    rows = log_rows(call.store, chosen, site)
    return download(call, "log", f"log-{chosen.first}-{chosen.last}", LOG_COLUMNS, rows, {"first": str(chosen.first), "last": str(chosen.last)})


def timesheet(call: Call) -> Response:
    now = int(call.terminal.now() // 60)
    period = parameters.period(call, Planning(call.store).site())
    days = period.days
    person = parameters.person(call)
    with call.store.reading() as db:
        members = parameters.group(call).members(db)
    if person:
        _, sheet = person_sheet(call.store, person.id, days, now)
        rows = sheet_rows(call.store, {person.id: sheet})
    elif len(call.store.people()) * len(days) <= LONG_ROWS:
        rows = sheet_rows(call.store, company_sheets(call.store, days, now, members)[1])
    else:
        rows = apart(company_rows, call.terminal.database, days, now, members, call.store.departments)
    name = f"timesheet-{period.text.replace('..', '-')}" + (f"-{person.id}" if person else "")
    return download(call, "timesheet", name, COLUMNS, rows, {"first": str(days[0]), "last": str(days[-1])})


def sheet_rows(store: Store, sheets: Mapping[int, Sheet]) -> list[dict[str, Any]]:
    """One row per person and day."""
    people = {one.id: one for one in store.people()}
    return [row(number, people[number].name, people[number].code, day) for number, sheet in sheets.items() for day in sheet.days]


def company_rows(
    database: Path, days: Sequence[date], now: int, members: Collection[int] | None, departments: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The rows of these people (None: of all) of these departments, computed in a separate process."""
    with Store.open(database, must_exist=True) as store, store.seeing(departments):
        return sheet_rows(store, company_sheets(store, days, now, members)[1])


def log_rows(store: Store, chosen: LogFilter, site: Site) -> list[dict[str, Any]]:
    """The columns of `python -m device log`, with the site's local time."""
    since, until = site.begins(chosen.first) * 60.0, site.begins(chosen.until) * 60.0
    people = {person.id: person for person in store.people()}
    with store.reading() as db:
        here, members = at(db, chosen.group)
    rows = []
    for punch in store.punches(since, until, chosen.person_id):
        if (chosen.device and punch.device != chosen.device) or (chosen.method and punch.method != chosen.method):
            continue
        if (here is not None and punch.device not in here) or (members is not None and punch.person_id not in members):
            continue
        fields: dict[str, Any] = {key: getattr(punch, key, None) for key in PUNCH_COLUMNS}
        person = people[punch.person_id]
        fields |= {"punch_id": punch.id, "name": person.name, "code": person.code, "occurred_at": iso_utc(punch.occurred_at)}
        local = site.clock.at(punch.occurred_at).replace(tzinfo=None)  # as spreadsheets expect it
        rows.append(fields | {"clock_synchronised": punch.clock.synchronised, "local_time": local})
    return rows


def download(call: Call, what: Exported, name: str, columns: Sequence[str], rows: Sequence[tables.Row], details: dict[str, str]) -> Response:
    form = call.query.get("format", "csv")
    if form not in FORMS:
        raise Problem(f"format {form[:20]!r}: expected one of {', '.join(FORMS)}")
    if form == "json":
        data = tables.as_json([{key: value for key, value in one.items() if key != "local_time"} for one in rows])
    elif form == "csv":
        data = tables.as_csv(columns, rows, tables.csv_form(call.terminal.settings))
    else:
        write: Callable[..., bytes] = timesheet_workbook if what == "timesheet" else partial(tables.as_xlsx, what)
        data = write(columns, rows) if len(rows) <= LONG_ROWS else apart(write, columns, rows)
    call.store.audit(call.who.actor, EXPORTED[what], {**details, "rows": len(rows), "format": form})
    return Response(data, media_type=FORMS[form], headers={"content-disposition": f'attachment; filename="{name}.{form}"'})


def apart(work: Callable[..., T], *args: Any) -> T:
    """Run long work in a separate process at low priority, since the camera loop needs the processor."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=os.nice, initargs=(10,)) as pool:
        return pool.submit(work, *args).result()


ROUTES = (
    get("/exports", page, "hr", teams=True),
    get("/exports/log", log, "hr", teams=True, form=page),
    get("/exports/timesheet", timesheet, "hr", teams=True, form=page),
)
