"""The log as a file, piece by piece: a long one is made in a process apart, which imports no web pages."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from device.attendance.log import LogFilter
from device.attendance.log_rows import rows_of
from device.attendance.log_sums import SUM_COLUMNS, Counted, sums
from device.attendance.timesheet.worksite import Site
from device.delivery import tables
from device.delivery.tables import COLUMNS, FurtherSheet
from device.storage.store import Store

LOG_COLUMNS = (*COLUMNS, "local_time")


def log(store: Store, form: tables.Form, csv_form: tables.CsvForm, chosen: LogFilter, site: Site) -> Iterator[bytes]:
    """The columns of `python -m device log`, with the site's local time; in XLSX with the sums of each person, unless only some of their punches are shown."""
    rows = rows_of(store, chosen, site)
    if form == "json":
        return tables.pieces(form, "log", LOG_COLUMNS, ({key: one[key] for key in COLUMNS} for one in rows), csv_form)
    if form == "csv" or chosen.device or chosen.method or chosen.group.site:
        return tables.pieces(form, "log", LOG_COLUMNS, rows, csv_form)
    counted = Counted(rows)
    further = FurtherSheet("sums", SUM_COLUMNS, lambda: sums(store, counted.punches, chosen.first, chosen.last, time.time()))
    return tables.pieces(form, "log", LOG_COLUMNS, counted, csv_form, further)


def log_apart(
    database: Path, departments: Sequence[str], form: tables.Form, csv_form: tables.CsvForm, chosen: LogFilter, site: Site
) -> Iterator[bytes]:
    """In the process apart; shows what a login of these departments sees."""
    with Store.open(database, must_exist=True) as store, store.seeing(departments):
        yield from log(store, form, csv_form, chosen, site)
