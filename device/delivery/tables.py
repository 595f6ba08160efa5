"""Rows as JSON, CSV and XLSX, and whole-file writes: for the commands and the web pages that export.

A row is a dict; its keys are the columns. No text is written so that a spreadsheet runs it as a formula or a link.
"""

from __future__ import annotations

import csv
import io
import json
from codecs import BOM_UTF8 as BYTE_ORDER_MARK
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from device.config import Settings
from device.delivery.workbooks import ExportError as ExportError
from device.delivery.workbooks import WorkbookTable, as_workbook
from device.system import foreign_files

Row = Mapping[str, Any]

# columns of a punch in everything that leaves the device: log, exports, webhook, files
COLUMNS = ("punch_id", "person_id", "name", "code", "occurred_at", "direction", "method", "score", "lead", "threshold", "clock_synchronised", "device")

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four: full-width, of East Asia


@dataclass(frozen=True)
class CsvForm:
    """How the spreadsheets of a place want CSV."""

    separator: str = ","
    mark: bool = False  # the byte order mark by which Excel knows UTF-8

    @property
    def decimal(self) -> str:
        """Where a comma separates decimals, it cannot separate columns."""
        return "," if self.separator == ";" else "."


COMMA_DECIMALS = ("de", "es", "fr", "tr")  # languages whose spreadsheets separate decimals by a comma, and columns by a semicolon
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}


def csv_form(settings: Settings, file: bool = True) -> CsvForm:
    """As `[export]` says; `auto` goes by the language of the pages. What is no file goes to another program, and has no mark."""
    chosen = settings.export.csv_separator
    separator = (";" if settings.web.language in COMMA_DECIMALS else ",") if chosen == "auto" else SEPARATORS[chosen]
    return CsvForm(separator, file and settings.export.csv_mark)


def harmless(cell: Any) -> Any:
    """Put an apostrophe in front of a text that a spreadsheet would run as a formula (OWASP, CSV injection)."""
    return "'" + cell if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def as_json(rows: Sequence[Row]) -> bytes:
    return (json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode()


def as_csv(columns: Sequence[str], rows: Sequence[Row], form: CsvForm = CsvForm()) -> bytes:  # frozen
    """UTF-8 with a header; times without a zone as 2026-11-24 08:00:00."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=form.separator)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_csv_cell(row[key], form) for key in columns])
    return (BYTE_ORDER_MARK if form.mark else b"") + text.getvalue().encode()


def _csv_cell(cell: Any, form: CsvForm) -> Any:
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "seconds")
    return str(cell).replace(".", form.decimal) if isinstance(cell, float) else harmless(cell)


def as_xlsx(title: str, columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    """One worksheet with a filter, and a header that stays in view.

    Raises:
        ExportError: more rows than a worksheet holds.
    """
    return as_workbook([WorkbookTable(title, columns, rows)])


def write_whole(out: Path, data: bytes) -> None:
    """Write the whole file or nothing, with mode 600 where the file system keeps modes: attendance is personal data.

    Raises:
        ExportError: it cannot be written.
    """
    try:
        foreign_files.write_whole(out, data, 0o600)
    except OSError as error:
        raise ExportError(f"{out} cannot be written ({error}); give another file to --out", code="table.not_written") from error
