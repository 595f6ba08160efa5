"""Long lists, such as the log of another terminal: text is read row by row, as often as needed, without holding the file in memory.

Character set, separator and header are found as `table_file.py` finds them; what was guessed is told.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from device.contract import phrase
from device.system.table_file import MARKS, PAGES, SEPARATORS, code_page, continues, given, no_column, no_text, numbered, plain, read_as, titled
from device.system.workbook import OLD_EXCEL, ZIP, ListError, first_sheet

TITLE_ROWS = 15  # a title, rules for who fills the list in, and empty lines may stand above the header
CHUNK = 1 << 20
LONGEST_LINE = 100_000  # characters

Lines = Sequence[tuple[int, list[str]]]  # with their numbers, from 1
Headless = Callable[[Sequence[str]], Sequence[str] | None]  # cells of a first line -> the names of its columns; None: it is no such list


@dataclass(frozen=True)
class TableStream:
    """A list in a file."""

    path: Path
    charset: str  # as Python names it
    separator: str
    titles: tuple[str, ...]  # of the columns: the caller's names, or the header's words without case
    first: int  # number of the first line with content of rows, from 1
    told: str  # "Windows-1252, separated by ;"
    sheet: Lines | None = None  # of a workbook, which is read as a whole

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line number and cells by title; lines without any content are left out.

        Raises:
            ListError: quotes that are never closed.
        """
        for number, cells in self._lines():
            if number >= self.first and any(cell.strip() for cell in cells):
                yield number, {title: plain(cell) for title, cell in zip(self.titles, cells, strict=False)}

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        if self.sheet is not None:
            yield from self.sheet
            return
        with _opened(self.path, self.charset) as text:
            yield from _lines(text, self.separator)


def stream(path: Path, columns: Mapping[str, Sequence[str]], needed: Collection[str], headless: Headless = lambda cells: None) -> TableStream:
    """Find out how a list is written.

    Args:
        columns: the caller's name -> what the header may say, best first, in any case; further columns keep the header's words.
        needed: of these, the ones without which it is not such a list.
        headless: what the columns of a list without a header are.

    Raises:
        ListError: no such file, a workbook that cannot be read, no text, or no such header.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start.startswith((ZIP, OLD_EXCEL)):
            sheet = first_sheet(path.read_bytes())
            titles, first = _under_header(sheet.lines, columns, needed, headless)
            return TableStream(path, "", "", titles, first, phrase("read.sheet", 'the sheet "{name}" of a workbook', name=sheet.name), sheet.lines)
        charset, told = _charset(path, columns)
    except OSError as error:
        words = phrase("list.no_file", "{file} cannot be read ({why}); name a list", file=path.name, why=f"{error.strerror}")
        raise ListError(words, code="list.unreadable") from error
    with _opened(path, charset) as text:
        head = [line for line in (text.readline(LONGEST_LINE) for _ in range(TITLE_ROWS)) if line]
    separator = _separator(head)
    with _opened(path, charset) as text:
        lines = [line for line, _ in zip(_lines(text, separator), range(TITLE_ROWS), strict=False)]
    titles, first = _under_header(lines, columns, needed, headless)
    return TableStream(path, charset, separator, titles, first, read_as(told, separator))


def _under_header(lines: Lines, columns: Mapping[str, Sequence[str]], needed: Collection[str], headless: Headless) -> tuple[tuple[str, ...], int]:
    """The names of the columns, and the number of the line from which on rows stand."""
    for at, (number, cells) in enumerate(lines[:TITLE_ROWS]):
        titles = titled(cells, columns)
        if set(needed) <= given(titles):
            return tuple(titles), number + 1 + continues(cells, lines[at + 1 :])
    number, cells = next(((number, cells) for number, cells in lines if any(cell.strip() for cell in cells)), (1, []))
    found = headless([plain(cell) for cell in cells])
    if found is not None:
        return tuple(found), number
    wanted, start = ", ".join(needed), " ".join(cells)[:80]
    raise no_column(wanted, start)


def _charset(path: Path, columns: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """Python's name of the character set, and ours: by its mark, else UTF-8 where it decodes, UTF-16 where every other byte is 0, else by `code_page`."""
    with path.open("rb") as file:
        start = file.read(2000)
        for mark, name in MARKS:
            if start.startswith(mark):
                return {"utf-8": "utf-8-sig"}.get(name, "utf-16"), name.upper().removesuffix("-LE").removesuffix("-BE")
        if b"\0" in start:
            return ("utf-16-le" if start[1:2] == b"\0" else "utf-16-be"), "UTF-16"
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := file.read(CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            file.seek(0)
            page = code_page(file.read(CHUNK), columns, TITLE_ROWS)
            return page, PAGES[page]
    return "utf-8", "UTF-8"


@contextmanager
def _opened(path: Path, charset: str) -> Iterator[TextIO]:
    try:
        with path.open(encoding=charset, newline="") as text:
            yield text
    except UnicodeDecodeError as error:
        raise no_text(charset) from error


def _separator(head: Sequence[str]) -> str:
    """The one that a first line `sep=;` names, or the one that stands in most of the first lines."""
    named = head[0].strip().casefold() if head else ""
    if named.startswith("sep=") and len(named) == 5:
        return named[4]
    return max(SEPARATORS, key=lambda mark: (sum(mark in line for line in head), sum(line.count(mark) for line in head)))


def _lines(text: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Number of the first line of each row, from 1, and its cells."""
    number = 0
    try:
        for number, cells in numbered(_whole(text), separator):
            yield number, cells
    except csv.Error as error:
        english = "the list cannot be read from line {line} on ({why}); save it as CSV in UTF-8"
        raise ListError(phrase("list.broken", english, line=number + 1, why=f"{error}"), code="list.unreadable") from error


def _whole(text: TextIO) -> Iterator[str]:
    for line in text:
        if "\0" in line or len(line) > LONGEST_LINE:
            raise no_text()
        yield line
