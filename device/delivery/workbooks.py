"""Workbooks (.xlsx) for people: real dates, times and numbers, a header that stays in view, a filter, and sums that follow the filter."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from device.contract import ClockfaceError

if TYPE_CHECKING:
    import xlsxwriter

SHEET_ROWS = 1_048_575  # rows that fit below the header of a worksheet
WIDEST, NARROWEST = 32, 9  # characters
VISIBLE_SUM = 109  # of SUBTOTAL: sum of the rows that the filter shows


class ExportError(ClockfaceError):
    """An export that cannot be written; the message says what to do."""

    code = "table"


@dataclass(frozen=True)
class WorkbookTable:
    """One worksheet."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    added: Collection[str] = ()  # columns with a sum below them


def as_workbook(tables: Iterable[WorkbookTable]) -> bytes:
    """One worksheet per table. No text is written so that it runs as a formula or a link.

    Raises:
        ExportError: more rows than a worksheet holds.
    """
    import xlsxwriter  # imported here, so that the other formats start faster

    data = io.BytesIO()
    with xlsxwriter.Workbook(data, {"constant_memory": True}) as book:
        formats = {
            datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}), date: book.add_format({"num_format": "yyyy-mm-dd"}),
            float: book.add_format({"num_format": "0.00##"}),
        }  # fmt: skip
        bold = book.add_format({"bold": True, "bottom": 1})
        summed = book.add_format({"bold": True, "top": 1, "num_format": "0.00"})
        for table in tables:
            _write(book.add_worksheet(table.title), table, formats, bold, summed)
    return data.getvalue()


def _write(sheet: xlsxwriter.worksheet.Worksheet, table: WorkbookTable, formats: Mapping[type, Any], bold: Any, summed: Any) -> None:
    count, columns = len(table.rows), table.columns
    if count > SHEET_ROWS:
        raise ExportError(f"{count} rows do not fit on a worksheet of {SHEET_ROWS} rows; choose a shorter period, or csv", code="table.rows")
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, max(1, count), len(columns) - 1)
    for at, name in enumerate(columns):
        sheet.set_column(at, at, min(WIDEST, max(NARROWEST, 3 + len(name), *(2 + len(_text(row[name])) for row in table.rows[:200]))))
    sheet.write_row(0, 0, columns, bold)
    for number, row in enumerate(table.rows, start=1):
        for at, name in enumerate(columns):
            _cell(sheet, number, at, row[name], formats)
    if table.added and count:
        _sums(sheet, table, summed)


def _cell(sheet: xlsxwriter.worksheet.Worksheet, line: int, column: int, cell: Any, formats: Mapping[type, Any]) -> None:
    if isinstance(cell, str):
        if cell:
            sheet.write_string(line, column, cell)  # never a formula or a link
    elif isinstance(cell, date):  # a datetime is one
        sheet.write_datetime(line, column, cell, formats[type(cell)])
    else:
        sheet.write(line, column, cell, formats[float] if isinstance(cell, float) else None)


def _sums(sheet: xlsxwriter.worksheet.Worksheet, table: WorkbookTable, summed: Any) -> None:
    """Two lines below the rows, so that the filter and a sort leave them alone."""
    from xlsxwriter.utility import xl_range

    last, first = len(table.rows), True
    for at, name in enumerate(table.columns):
        if name in table.added:
            value = sum(row[name] or 0 for row in table.rows)
            sheet.write_formula(last + 2, at, f"=SUBTOTAL({VISIBLE_SUM},{xl_range(1, at, last, at)})", summed, value)
        else:
            sheet.write_string(last + 2, at, "Sum" if first else "", summed)
        first = False


def _text(cell: Any) -> str:
    return "" if cell is None else f"{cell:.2f}" if isinstance(cell, float) else str(cell)
