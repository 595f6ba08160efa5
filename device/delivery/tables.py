"""Rows as JSON, CSV and XLSX, and whole-file writes: for the commands and the web pages that export.

A row is a dict; its keys are the columns. No text is written so that a spreadsheet runs it as a formula or a link.
"""

from __future__ import annotations

import csv
import io
import json
from codecs import BOM_UTF8 as BYTE_ORDER_MARK
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from device.config import Settings
from device.delivery import worksheets
from device.delivery.workbooks import ExportError as ExportError
from device.delivery.worksheets import FurtherSheet as FurtherSheet
from device.system import foreign_files

Row = Mapping[str, Any]
Form = Literal["csv", "xlsx", "json"]
AT_ONCE = 200  # rows

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


def pieces(
    form: Form, title: str, columns: Sequence[str], rows: Iterable[Row], csv_form: CsvForm, further: FurtherSheet | None = None
) -> Iterator[bytes]:
    """A file, piece by piece, so that millions of rows take no memory; JSON has what the rows have, the others these columns.

    Args:
        further: a worksheet behind those of the rows, in XLSX.
    """
    if form == "json":
        return _json(rows)
    return _csv(columns, rows, csv_form) if form == "csv" else worksheets.pieces(title, columns, rows, further=further)


def as_json(rows: Iterable[Row]) -> bytes:
    return b"".join(_json(rows))


def as_csv(columns: Sequence[str], rows: Iterable[Row], form: CsvForm = CsvForm()) -> bytes:  # frozen
    """UTF-8 with a header; times without a zone as 2026-11-24 08:00:00."""
    return b"".join(_csv(columns, rows, form))


def as_xlsx(title: str, columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    """A worksheet with a filter, and a header that stays in view; several, where the rows do not fit on one."""
    return b"".join(worksheets.pieces(title, columns, rows))


def _json(rows: Iterable[Row]) -> Iterator[bytes]:
    """As `json.dumps(rows, ensure_ascii=False, indent=1)` writes it."""
    written = json.JSONEncoder(ensure_ascii=False, indent=1).encode
    before = "["
    for batch in _batches(rows):
        texts = [written(row).replace("\n", "\n ") for row in batch]
        yield "".join([before, "\n ", ",\n ".join(texts)]).encode()
        before = ","
    yield b"[]\n" if before == "[" else b"\n]\n"


def _csv(columns: Sequence[str], rows: Iterable[Row], form: CsvForm) -> Iterator[bytes]:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=form.separator)
    writer.writerow(columns)
    yield (BYTE_ORDER_MARK if form.mark else b"") + _taken(text)
    for batch in _batches(rows):
        writer.writerows([_csv_cell(row[key], form) for key in columns] for row in batch)
        yield _taken(text)


def _csv_cell(cell: Any, form: CsvForm) -> Any:
    if isinstance(cell, str):
        return harmless(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "seconds")
    return str(cell).replace(".", form.decimal) if isinstance(cell, float) else cell


def _taken(text: io.StringIO) -> bytes:
    data = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return data


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(rows)
    return iter(lambda: list(islice(left, AT_ONCE)), [])


def write_whole(out: Path, data: bytes | Iterable[bytes]) -> None:
    """Write the whole file or nothing, with mode 600 where the file system keeps modes: attendance is personal data.

    Raises:
        ExportError: it cannot be written.
    """
    try:
        with foreign_files.whole_file(out, 0o600) as file:
            file.writelines([data] if isinstance(data, bytes) else data)
    except OSError as error:
        raise ExportError(f"{out} cannot be written ({error}); give another file to --out", code="table.not_written") from error
