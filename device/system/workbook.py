"""The first sheet of an Excel workbook (.xlsx, ISO/IEC 29500-1, SpreadsheetML), as the texts that its reader sees.

Only the parts that hold cells are read, with an end to their size; nothing is computed, and no document type, entity or link is followed.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import IO
from xml.parsers import expat

from device.contract import ClockfaceError

ZIP, OLD_EXCEL = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
SEALED = "EncryptedPackage".encode("utf-16-le")  # the stream in which a password puts a workbook
MOST_PARTS, MOST_PART_BYTES = 2000, 20_000_000  # once unpacked; 20,000 lines of 10 columns take half of it
MOST_LINES, MOST_COLUMNS = 50_000, 200
PIECE = 1 << 16
DATE_FORMATS = {  # numbers of built-in formats -> what stands for them (section 18.8.30)
    **dict.fromkeys((14, 15, *range(27, 32), 34, 35, 36, *range(50, 59)), "y-m-d"), 16: "d-m", 17: "m-y", 22: "y-m-d h:m",
    **dict.fromkeys((18, 20, 32, 33), "h:m"), **dict.fromkeys((19, 21, 45, 46, 47), "h:m:s"),
}  # fmt: skip
FIGURES = re.compile(r'(?:"([^"]*)"|\\(.)|([-+ /():0#]))')  # of a number format with words around and between whole digits
SPACES = re.compile(r"_.|\*.|\[[^\]]*\]")  # of the width of a letter, or to fill the cell; colours, languages
NOT_SHOWN = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')  # of a number format: words, spaces, colours, languages


class ListError(ClockfaceError):
    """A list cannot be read; the message says what to do."""

    code = "list"


@dataclass(frozen=True)
class WorkbookSheet:
    """The cells of one sheet."""

    name: str
    others: tuple[str, ...]  # further sheets that are shown, not read
    hidden_rows: int  # by a filter or by hand; they are read
    lines: tuple[tuple[int, list[str]], ...]  # number from 1 and texts of each row that has any
    faults: dict[tuple[int, int], str]  # (line, column from 0) -> why the cell has no value


@dataclass
class _Book:
    """What the cells refer to."""

    strings: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)  # of each cell style
    from_1904: bool = False


def first_sheet(data: bytes) -> WorkbookSheet:
    """Read the first sheet that is shown.

    Raises:
        ListError: an older or a protected workbook, another kind of file, a damaged one, or too large a one.
    """
    if data.startswith(OLD_EXCEL):
        kind = "is protected by a password: save it without one" if SEALED in data else "is in the format of Excel 97 (.xls): save it as .xlsx or CSV"
        raise ListError(f"the workbook {kind}, and give that file", code="list.spreadsheet")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _sheet(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, expat.ExpatError, KeyError, ValueError, IndexError, ArithmeticError, RuntimeError, OSError) as error:
        raise ListError(f"the workbook is damaged, protected or of another kind ({error}); save it as .xlsx or CSV", code="list.unreadable") from error


def _sheet(archive: zipfile.ZipFile) -> WorkbookSheet:
    names = archive.namelist()
    if len(names) > MOST_PARTS:
        raise ListError(f"the workbook has {len(names)} parts; copy the list alone into a new one", code="list.too_large")
    main = next((name for name in names if name.endswith("workbook.xml")), None)
    if main is None:
        raise ListError("this is no workbook in the format of Excel: save it as .xlsx or CSV, and give that file", code="list.spreadsheet")
    parts = _related(archive, main)
    book, shown = _Book(), []

    def begin(tag: str, given: dict[str, str]) -> None:
        if tag == "sheet" and given.get("state", "visible") == "visible":
            shown.append((given["name"], given["id"]))
        elif tag == "workbookPr":
            book.from_1904 = given.get("date1904", "0") in ("1", "true")

    _parse(archive, main, begin)
    if not shown:
        raise ListError("the workbook shows no sheet", code="list.spreadsheet")
    for kind, read in (("sharedStrings", _strings), ("styles", _formats)):
        part = next((target for target, of in parts.values() if of == kind), None)
        if part is not None:
            read(archive, part, book)
    return _Cells(book).read(archive, parts[shown[0][1]][0], [name for name, _ in shown])


def _related(archive: zipfile.ZipFile, main: str) -> dict[str, tuple[str, str]]:
    """The parts that the workbook names: id -> (path in the archive, kind)."""
    folder, name = posixpath.split(main)
    parts: dict[str, tuple[str, str]] = {}

    def begin(tag: str, given: dict[str, str]) -> None:
        if tag == "Relationship" and given.get("TargetMode") != "External":
            parts[given["Id"]] = (posixpath.normpath(posixpath.join(f"/{folder}", given["Target"])).lstrip("/"), given["Type"].rpartition("/")[2])

    _parse(archive, f"{folder}/_rels/{name}.rels".lstrip("/"), begin)
    return parts


def _strings(archive: zipfile.ZipFile, part: str, book: _Book) -> None:
    """Texts that cells share; how a text is spoken (`rPh`) is none of it."""
    inside: list[str] = []

    def begin(tag: str, _: dict[str, str]) -> None:
        inside.append(tag)
        if tag == "si":
            book.strings.append("")

    def text(words: str) -> None:
        if inside[-1] == "t" and "rPh" not in inside:
            book.strings[-1] += words

    _parse(archive, part, begin, lambda _: inside.pop(), text)


def _formats(archive: zipfile.ZipFile, part: str, book: _Book) -> None:
    own: dict[int, str] = {}
    inside: list[str] = []

    def begin(tag: str, given: dict[str, str]) -> None:
        if tag == "numFmt":
            own[int(given["numFmtId"])] = given["formatCode"]
        elif tag == "xf" and inside[-1:] == ["cellXfs"]:
            number = int(given.get("numFmtId", "0"))
            book.formats.append(own.get(number) or DATE_FORMATS.get(number, ""))
        inside.append(tag)

    _parse(archive, part, begin, lambda _: inside.pop())


class _Cells:
    """Reads the rows of one sheet, cell after cell."""

    def __init__(self, book: _Book) -> None:
        self._book = book
        self._lines: list[tuple[int, list[str]]] = []
        self._merged: list[tuple[int, int, int]] = []  # first and last line, column
        self._faults: dict[tuple[int, int], str] = {}
        self._hidden = 0
        self._line, self._column = 0, -1
        self._kind, self._format = "n", ""
        self._formula = False
        self._inside: list[str] = []
        self._value = ""

    def read(self, archive: zipfile.ZipFile, part: str, shown: list[str]) -> WorkbookSheet:
        _parse(archive, part, self._begin, self._end, self._text)
        self._fill()
        return WorkbookSheet(shown[0], tuple(shown[1:]), self._hidden, tuple(line for line in self._lines if any(line[1])), self._faults)

    def _begin(self, tag: str, given: dict[str, str]) -> None:
        self._inside.append(tag)
        if tag == "row":
            self._line, self._column = int(given.get("r", self._line + 1)), -1
            self._lines.append((self._line, []))
            self._hidden += given.get("hidden", "0") in ("1", "true")
            if len(self._lines) > MOST_LINES:
                raise ListError(f"the sheet has more than {MOST_LINES} lines; split it", code="list.too_large")
        elif tag == "c":
            self._column = _column(given["r"]) if "r" in given else self._column + 1
            style = int(given.get("s", "0"))
            self._kind, self._value, self._formula = given.get("t", "n"), "", False
            self._format = self._book.formats[style] if style < len(self._book.formats) else ""
        elif tag == "f":
            self._formula = True
        elif tag == "mergeCell":
            start, _, end = given["ref"].partition(":")
            self._merged.append((_row(start), _row(end or start), _column(start)))

    def _fill(self) -> None:
        """What stands in cells that are merged over several lines belongs to each of these lines."""
        lines, left = dict(self._lines), MOST_LINES
        for first, last, column in self._merged:
            value = next(iter(lines.get(first, [])[column : column + 1]), "")
            below = range(first + 1, min(last, self._line) + 1) if value else range(0)
            left -= len(below)
            if left < 0:
                raise ListError(f"the sheet has more than {MOST_LINES} merged lines; split the cells", code="list.too_large")
            for cells in (lines[line] for line in below if line in lines):
                cells.extend([""] * (column + 1 - len(cells)))
                cells[column] = value

    def _text(self, words: str) -> None:
        if self._inside[-1] == "v" or (self._inside[-1] == "t" and "rPh" not in self._inside):
            self._value += words

    def _end(self, tag: str) -> None:
        self._inside.pop()
        if tag != "c" or not (self._value or self._formula):
            return
        if self._column >= MOST_COLUMNS:
            raise ListError(f"the sheet has more than {MOST_COLUMNS} columns; copy the list alone into a new one", code="list.too_large")
        cells = self._lines[-1][1]
        cells.extend([""] * (self._column + 1 - len(cells)))
        cells[self._column] = self._shown()

    def _shown(self) -> str:
        if self._kind == "e" or not (self._value or self._kind == "str"):
            has = f"shows {self._value}" if self._value else "has a formula that was never computed"
            self._faults[self._line, self._column] = f"{has}; mend it in the spreadsheet program and save the workbook there"
            return self._value
        if self._kind == "s":
            return self._book.strings[int(self._value)]
        if self._kind == "b":
            return "TRUE" if self._value == "1" else "FALSE"
        return number_shown(float(self._value), self._format, self._book.from_1904) if self._kind == "n" else self._value


def number_shown(value: float, shape: str, from_1904: bool = False) -> str:
    """A number as a reader sees it: a date or a time in ISO 8601 where its format shows one, else without needless digits; `0000` keeps its zeros."""
    first = shape.partition(";")[0]
    shape = NOT_SHOWN.sub("", first).casefold()
    if re.search("[ymdhs]", shape) and value >= 0:
        return _moment(value, bool(re.search("[yd]", shape) or not re.search("[hs]", shape)), bool(re.search("[hs]", shape)), from_1904)
    if value != int(value):
        return f"{value:.15g}"
    return _figures(int(value), SPACES.sub("", first))


def _figures(value: int, shape: str) -> str:
    """A whole number with what its format puts before and between its digits: 17 as `"E"0000` is E0017. A unit behind them is left out."""
    if value < 0 or not re.fullmatch(f"(?:{FIGURES.pattern})+", shape):
        return str(value)
    parts = FIGURES.findall(shape)
    first = next((at for at, part in enumerate(parts) if part[2] in ("0", "#")), len(parts))
    left, shown = str(value).zfill(sum(part[2] == "0" for part in parts)), ""
    for at, (quoted, single, sign) in reversed(list(enumerate(parts))):
        if sign in ("0", "#"):
            count = len(left) if at == first else min(1, len(left))
            left, shown = left[: len(left) - count], left[len(left) - count :] + shown
        elif shown:
            shown = (quoted or single or sign) + shown
    return shown or str(value)


def _moment(days: float, dated: bool, timed: bool, from_1904: bool) -> str:
    """Days since the start of the workbook's calendar (section 18.17.4); the one of 1900 has a 29 February that never was."""
    start = datetime(1904, 1, 1) if from_1904 else datetime(1899, 12, 31 if days < 60 else 30)
    moment = start + timedelta(seconds=round(days * 86_400))
    if not dated and days < 1:
        return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"
    return f"{moment:%Y-%m-%d %H:%M:%S}" if timed else f"{moment:%Y-%m-%d}"


def _column(reference: str) -> int:
    """`B7` -> 1."""
    number = 0
    for letter in reference.rstrip("0123456789"):
        number = 26 * number + ord(letter) - ord("A") + 1
    if not 0 < number <= 16_384:
        raise ValueError(f"a cell at {reference[:20]}")
    return number - 1


def _row(reference: str) -> int:
    """`B7` -> 7."""
    return int(reference.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))


def _nothing(_: str) -> object:
    return None


def _parse(
    archive: zipfile.ZipFile,
    part: str,
    begin: Callable[[str, dict[str, str]], None],
    end: Callable[[str], object] = _nothing,
    text: Callable[[str], object] = _nothing,
) -> None:
    """Read a part of the archive piece by piece; names come without their prefix."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = lambda name, given: begin(_local(name), {_local(key): value for key, value in given.items()})
    parser.EndElementHandler = lambda name: end(_local(name))
    parser.CharacterDataHandler = text
    with archive.open(part) as stream:
        for piece in _pieces(stream, part):
            parser.Parse(piece, False)
        parser.Parse(b"", True)


def _pieces(stream: IO[bytes], part: str) -> Iterator[bytes]:
    left = MOST_PART_BYTES
    while piece := stream.read(PIECE):
        yield piece
        left -= len(piece)
        if left < 0:
            most = f"{MOST_PART_BYTES // 1_000_000} MB"
            raise ListError(f"{part} in the workbook is larger than {most}; copy the list alone into a new one", code="list.too_large")


def _refuse(*_: object) -> None:
    raise ValueError("it declares a document type")


def _local(name: str) -> str:
    return name.rpartition(":")[2]
