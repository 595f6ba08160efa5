"""Rows as JSON, CSV and XLSX, and whole-file writes: for the commands and the web pages that export.

A row is a dict; its keys are the columns. No text is written so that a spreadsheet runs it as a formula or a link.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from device.contract import ClockfaceError
from device.system import foreign_files

Row = Mapping[str, Any]

# columns of a punch in everything that leaves the device: log, exports, webhook, files
COLUMNS = ("punch_id", "person_id", "name", "code", "occurred_at", "direction", "method", "score", "lead", "threshold", "clock_synchronised", "device")

SHEET_ROWS = 1_048_575  # rows that fit below the header of a worksheet


class ExportError(ClockfaceError):
    """An export that cannot be written; the message says what to do."""

    code = "table"


def harmless(cell: Any) -> Any:
    """Put an apostrophe in front of a text that a spreadsheet would run as a formula (OWASP, CSV injection)."""
    return "'" + cell if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def as_json(rows: Sequence[Row]) -> bytes:
    return (json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode()


def as_csv(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    """UTF-8, a header, commas; times without a zone as 2026-11-24 08:00:00."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        cells = [row[key] for key in columns]
        writer.writerow([cell.isoformat(" ", "seconds") if isinstance(cell, datetime) else harmless(cell) for cell in cells])
    return text.getvalue().encode()


def as_xlsx(title: str, columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    """One worksheet with a header that stays in view.

    Raises:
        ExportError: more rows than a worksheet holds.
    """
    import xlsxwriter  # imported here, so that the other formats start faster

    if len(rows) > SHEET_ROWS:
        raise ExportError(f"{len(rows)} rows do not fit on a worksheet of {SHEET_ROWS} rows; choose a shorter period, or csv", code="table.rows")
    data = io.BytesIO()
    with xlsxwriter.Workbook(data, {"constant_memory": True}) as book:
        sheet = book.add_worksheet(title)
        day_and_time = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, len(columns) - 1, 14)
        sheet.write_row(0, 0, columns, book.add_format({"bold": True}))
        for number, row in enumerate(rows, start=1):
            for column, key in enumerate(columns):
                cell = row[key]
                if isinstance(cell, str):
                    sheet.write_string(number, column, cell)  # never a formula or a link
                elif isinstance(cell, datetime):
                    sheet.write_datetime(number, column, cell, day_and_time)
                else:
                    sheet.write(number, column, cell)
    return data.getvalue()


def write_whole(out: Path, data: bytes) -> None:
    """Write the whole file or nothing, with mode 600 where the file system keeps modes: attendance is personal data.

    Raises:
        ExportError: it cannot be written.
    """
    try:
        foreign_files.write_whole(out, data, 0o600)
    except OSError as error:
        raise ExportError(f"{out} cannot be written ({error}); give another file to --out", code="table.not_written") from error
