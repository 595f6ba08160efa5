"""Long lists, such as the log of another terminal: read row by row, as often as needed, without holding the file in memory.

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

from device.system.table_file import MARKS, OLD_EXCEL, SEPARATORS, ZIP, ListError

TITLE_ROWS = 15  # a title, rules for who fills the list in, and empty lines may stand above the header
CHUNK = 1 << 20
LONGEST_LINE = 100_000  # characters

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

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line number and cells by title; lines without any content are left out.

        Raises:
            ListError: quotes that are never closed.
        """
        with _opened(self.path, self.charset) as text:
            for number, cells in _lines(text, self.separator):
                if number >= self.first and any(cell.strip() for cell in cells):
                    yield number, {title: plain(cell) for title, cell in zip(self.titles, cells, strict=False)}


def stream(path: Path, columns: Mapping[str, Sequence[str]], needed: Collection[str], headless: Headless = lambda cells: None) -> TableStream:
    """Find out how a list is written.

    Args:
        columns: the caller's name -> what the header may say, best first, in any case; further columns keep the header's words.
        needed: of these, the ones without which it is not such a list.
        headless: what the columns of a list without a header are.

    Raises:
        ListError: no such file, a spreadsheet file, no text, or no such header.
    """
    try:
        charset, told = _charset(path)
    except OSError as error:
        raise ListError(f"{path.name} cannot be read ({error.strerror}); name a list in CSV", code="list.unreadable") from error
    with _opened(path, charset) as text:
        head = [line for line in (text.readline(LONGEST_LINE) for _ in range(TITLE_ROWS)) if line]
    separator = _separator(head)
    spoken = f"{told}, separated by {'tabs' if separator == chr(9) else separator}"
    with _opened(path, charset) as text:
        lines = [line for line, _ in zip(_lines(text, separator), range(TITLE_ROWS), strict=False)]
    for number, cells in lines:
        titles = _titles(cells, columns)
        if set(needed) <= set(titles):
            return TableStream(path, charset, separator, titles, number + 1, spoken)
    number, cells = next(((number, cells) for number, cells in lines if any(cell.strip() for cell in cells)), (1, []))
    found = headless([plain(cell) for cell in cells])
    if found is not None:
        return TableStream(path, charset, separator, tuple(found), number, spoken)
    wanted, start = ", ".join(needed), separator.join(cells)[:80]
    raise ListError(f"the list has no column {wanted!r}: one of its first {TITLE_ROWS} lines must name the columns, found {start!r}", code="list.no_column")


def plain(cell: str) -> str:
    """A cell without blanks at the ends, and without the apostrophe by which spreadsheets keep leading zeros: '0042."""
    return cell.strip().removeprefix("'")


def _titles(cells: Sequence[str], columns: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Of several columns that may be the same, the one that is listed first has the caller's name."""
    said = [" ".join(cell.replace("*", " ").split()).casefold() for cell in cells]
    chosen = {}
    for name, words in columns.items():
        places = [said.index(word) for word in (name, *words) if word in said]
        free = [place for place in places if place not in chosen]
        if free:
            chosen[free[0]] = name
    return tuple(chosen.get(place, word) for place, word in enumerate(said))


def _charset(path: Path) -> tuple[str, str]:
    """Python's name of the character set, and ours: by its mark, else UTF-8 where it decodes, UTF-16 where every other byte is 0, else Windows-1252."""
    with path.open("rb") as file:
        start = file.read(2000)
        if start.startswith((ZIP, OLD_EXCEL)):
            raise ListError("this is a file of a spreadsheet program: save it as CSV there, and give that file", code="list.spreadsheet")
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
            return "cp1252", "Windows-1252"
    return "utf-8", "UTF-8"


@contextmanager
def _opened(path: Path, charset: str) -> Iterator[TextIO]:
    try:
        with path.open(encoding=charset, newline="") as text:
            yield text
    except UnicodeDecodeError as error:
        raise ListError(f"the list is no text in {charset}; save it as CSV in UTF-8", code="list.unreadable") from error


def _separator(head: Sequence[str]) -> str:
    """The one that a first line `sep=;` names, or the one that stands in most of the first lines."""
    named = head[0].strip().casefold() if head else ""
    if named.startswith("sep=") and len(named) == 5:
        return named[4]
    return max(SEPARATORS, key=lambda mark: (sum(mark in line for line in head), sum(line.count(mark) for line in head)))


def _lines(text: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Number of the first line of each row, from 1, and its cells."""
    reader = csv.reader(_whole(text), delimiter=separator)
    try:
        number = 1
        for cells in reader:
            yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise ListError(f"the list cannot be read from line {reader.line_num} on ({error}); save it as CSV in UTF-8", code="list.unreadable") from error


def _whole(text: TextIO) -> Iterator[str]:
    for line in text:
        if "\0" in line or len(line) > LONGEST_LINE:
            raise ListError("the list is no text; save it as CSV in UTF-8", code="list.unreadable")
        yield line
