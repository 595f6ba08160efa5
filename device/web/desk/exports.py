"""Exports: the log and the timesheets as CSV, XLSX and JSON; each one is audited."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from starlette.responses import Response

from device.attendance import log_rows
from device.attendance.planning import Planning
from device.attendance.sheets import company_sheets, person_sheet
from device.attendance.timesheet.sheet import COLUMNS, Sheet, row
from device.attendance.totals import TOTAL_COLUMNS, totals_rows
from device.delivery import tables
from device.delivery.timesheet_workbook import timesheet_workbook
from device.storage.audit import Action
from device.storage.store import Store
from device.web import parameters
from device.web.call import Call, Problem
from device.web.desk import export_files
from device.web.desk.export_files import LOG_COLUMNS
from device.web.desk.log import asked_for
from device.web.pages import get
from device.web.streamed import Streamed

T = TypeVar("T")
LONG_ROWS = 5_000  # a file of more rows is made apart: the camera loop needs the processor
FORMS: dict[tables.Form, str] = {
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
    site, form = Planning(call.store).site(), asked_form(call)
    chosen, _ = asked_for(call, site)
    rows, csv_form = log_rows.count(call.store, chosen, site), tables.csv_form(call.terminal.settings)
    noted = {"first": str(chosen.first), "last": str(chosen.last), "rows": rows, "format": form}
    kind, headers = FORMS[form], attached(f"log-{chosen.first}-{chosen.last}", form)
    if rows <= LONG_ROWS:
        data = b"".join(export_files.log(call.store, form, csv_form, chosen, site))
        call.store.audit(call.who.actor, Action.LOG_EXPORTED, noted)
        return Response(data, media_type=kind, headers=headers)
    with call.terminal.exports.held() as place:
        call.store.audit(call.who.actor, Action.LOG_EXPORTED, noted)  # before the first byte goes out
        departments = call.store.departments
        return Streamed(place, kind, headers, export_files.log_apart, call.terminal.database, departments, form, csv_form, chosen, site)


def timesheet(call: Call) -> Response:
    now = int(call.terminal.now() // 60)
    period = parameters.period(call, Planning(call.store).site())
    days = period.days
    person = parameters.person(call)
    with call.store.reading() as db:
        members = parameters.group(call).members(db)
    totals = call.query.get("rows", "") == "totals"
    if person:
        _, sheet = person_sheet(call.store, person.id, days, now)
        rows = export_rows(call.store, {person.id: sheet}, days, now, totals)
    elif len(call.store.people()) * len(days) <= LONG_ROWS:
        rows = export_rows(call.store, company_sheets(call.store, days, now, members)[1], days, now, totals)
    else:
        rows = apart(company_rows, call.terminal.database, days, now, members, call.store.departments, totals)
    name = f"timesheet-{period.text.replace('..', '-')}" + (f"-{person.id}" if person else "")
    return download(call, name, TOTAL_COLUMNS if totals else COLUMNS, rows, {"first": str(days[0]), "last": str(days[-1])})


def sheet_rows(store: Store, sheets: Mapping[int, Sheet]) -> list[dict[str, Any]]:
    """One row per person and day."""
    people = {one.id: one for one in store.people()}
    return [row(number, people[number].name, people[number].code, day) for number, sheet in sheets.items() for day in sheet.days]


def export_rows(store: Store, sheets: Mapping[int, Sheet], days: Sequence[date], now: int, totals: bool) -> list[dict[str, Any]]:
    """One row per person and day, or one per person and one of all."""
    return totals_rows(store, sheets, days, now) if totals else sheet_rows(store, sheets)


def company_rows(
    database: Path, days: Sequence[date], now: int, members: Collection[int] | None, departments: Sequence[str] = (), totals: bool = False
) -> list[dict[str, Any]]:
    """The rows of these people (None: of all) of these departments, computed in a separate process."""
    with Store.open(database, must_exist=True) as store, store.seeing(departments):
        return export_rows(store, company_sheets(store, days, now, members)[1], days, now, totals)


def asked_form(call: Call) -> tables.Form:
    form = call.query.get("format", "csv")
    if form not in FORMS:
        raise Problem(f"format {form[:20]!r}: expected one of {', '.join(FORMS)}")
    return form


def attached(name: str, form: tables.Form) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}.{form}"'}


def download(call: Call, name: str, columns: Sequence[str], rows: Sequence[tables.Row], details: dict[str, str]) -> Response:
    form = asked_form(call)
    if form == "json":
        data = tables.as_json(rows)
    elif form == "csv":
        data = tables.as_csv(columns, rows, tables.csv_form(call.terminal.settings))
    else:
        write: Callable[..., bytes] = timesheet_workbook if columns is COLUMNS else partial(tables.as_xlsx, "totals")
        data = write(columns, rows) if len(rows) <= LONG_ROWS else apart(write, columns, rows)
    call.store.audit(call.who.actor, Action.TIMESHEET_EXPORTED, {**details, "rows": len(rows), "format": form})
    return Response(data, media_type=FORMS[form], headers=attached(name, form))


def apart(work: Callable[..., T], *args: Any) -> T:
    """Run long work in a separate process at low priority, since the camera loop needs the processor."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=os.nice, initargs=(10,)) as pool:
        return pool.submit(work, *args).result()


ROUTES = (
    get("/exports", page, "hr", teams=True),
    get("/exports/log", log, "hr", teams=True, form=page),
    get("/exports/timesheet", timesheet, "hr", teams=True, form=page),
)
