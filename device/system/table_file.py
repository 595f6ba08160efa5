"""Lists that people bring from spreadsheets: text tables in whatever character set and with whatever separator, as rows by column.

What was guessed is told (`TableFile.told`), so that it can be shown before anything is stored.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from device.contract import ClockfaceError

SEPARATORS = ",;\t|"
TITLE_ROWS = 5  # a title and empty lines may stand above the header
ZIP, OLD_EXCEL = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


class ListError(ClockfaceError):
    """A list cannot be read; the message says what to do."""

    code = "list"


@dataclass(frozen=True)
class TableFile:
    """A list, as it was read."""

    rows: tuple[dict[str, str], ...]  # by the names that the caller gave to the columns; rows without any content are left out
    lines: tuple[int, ...]  # of each row, from 1
    told: str  # how it was read: "Windows-1252, separated by ;"


def read(data: bytes, columns: Mapping[str, Collection[str]], needed: Collection[str]) -> TableFile:
    """Read a list whose header names its columns.

    Args:
        data: of the file.
        columns: the caller's name -> what the header may say, in any language and case; further columns keep the header's words, without case.
        needed: of these, the ones without which it is not such a list.

    Raises:
        ListError: a spreadsheet file, no text, no such header, or quotes that are never closed.
    """
    text, charset = decoded(data)
    lines, separator = _lines(text)
    names = {word.casefold(): name for name, words in columns.items() for word in (name, *words)}
    header = next((at for at, line in enumerate(lines[:TITLE_ROWS]) if set(needed) <= {names.get(_plain(cell)) for cell in line}), None)
    if header is None:
        first = next((separator.join(line) for line in lines if any(line)), "")
        wanted = ", ".join(needed)
        words = f"the list has no column {wanted!r}: one of its first {TITLE_ROWS} lines must name the columns, found {first[:80]!r}"
        raise ListError(words, code="list.no_column")
    titles = [names.get(_plain(cell), _plain(cell)) for cell in lines[header]]
    rows, numbers = [], []
    for number, line in enumerate(lines[header + 1 :], header + 2):
        if any(cell.strip() for cell in line):
            rows.append(dict(zip(titles, (cell.strip() for cell in line), strict=False)))
            numbers.append(number)
    spoken = {"\t": "tabs"}.get(separator, separator)
    return TableFile(tuple(rows), tuple(numbers), f"{charset}, separated by {spoken}")


def decoded(data: bytes) -> tuple[str, str]:
    """The text of a file and its character set: by its mark, else UTF-8 where it decodes, UTF-16 where every other byte is 0, else Windows-1252.

    Raises:
        ListError: it is a spreadsheet file, or no text.
    """
    if data.startswith((ZIP, OLD_EXCEL)):
        raise ListError("this is a file of a spreadsheet program: save it as CSV there, and give that file", code="list.spreadsheet")
    for mark, charset in MARKS:
        if data.startswith(mark):
            return _as_text(data[len(mark) :], charset), charset.upper().removesuffix("-LE").removesuffix("-BE")
    if b"\0" in data[:2000]:
        charset = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
        return _as_text(data, charset), "UTF-16"
    try:
        return data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        return _as_text(data, "cp1252"), "Windows-1252"


def _as_text(data: bytes, charset: str) -> str:
    try:
        text = data.decode(charset)
    except UnicodeDecodeError as error:
        raise ListError(f"the list is no text in {charset}; save it as CSV in UTF-8", code="list.unreadable") from error
    if "\0" in text:
        raise ListError("the list is no text; save it as CSV in UTF-8", code="list.unreadable")
    return text


def _lines(text: str) -> tuple[list[list[str]], str]:
    """All lines, split at the separator: the one that a first line `sep=;` names, or the one that stands in most of the first lines."""
    first, _, rest = text.partition("\n")
    named = first.strip().casefold()
    if named.startswith("sep=") and len(named) == 5:
        separator, text = first.strip()[4], "\n" + rest  # the line stays, so that line numbers are those of the file
    else:
        head = text.splitlines()[: TITLE_ROWS + 3]
        separator = max(SEPARATORS, key=lambda mark: (sum(mark in line for line in head), sum(line.count(mark) for line in head)))
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=False)), separator
    except csv.Error as error:
        raise ListError(f"the list cannot be read ({error}); save it as CSV in UTF-8", code="list.unreadable") from error


def _plain(cell: str) -> str:
    return " ".join(cell.split()).casefold()
