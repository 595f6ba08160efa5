"""Lists that people bring from spreadsheets, as rows by column: workbooks (.xlsx), and text tables in whatever character set and with whatever separator.

What was guessed is told (`TableFile.told`), so that it can be shown before anything is stored.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from device.contract import phrase, phrases
from device.system.workbook import OLD_EXCEL, ZIP, first_sheet
from device.system.workbook import ListError as ListError

SEPARATORS = ",;\t|"
TITLE_ROWS = 5  # a title and empty lines may stand above the header
NAME_PARTS = {  # columns of a name in two parts -> what their header may say
    "first": ("first name", "given name", "forename", "vorname", "rufname", "prénom", "nombre de pila", "ad", "adı", "الاسم الأول"),
    "last": ("last name", "surname", "family name", "nachname", "familienname", "apellido", "apellidos", "nom de famille", "soyad", "soyadı", "اسم العائلة"),
}
ADDED = "\x1a"  # a last line of our own: it ends up inside a cell where quotes are never closed
GUARDED = re.compile(r'''="([^"]*)"|'(?![a-z][ -])(.*)''', re.DOTALL)  # how spreadsheets keep 0042 as it is; not the name 't Hart
NUMBERED = re.compile(r"(\D+?) ?(\d+)")  # a header such as "Foto 2"
PAGES = {"cp1252": "Windows-1252", "cp1254": "Windows-1254", "cp1256": "Windows-1256", "gb18030": "GB 18030"}  # of the kiosk's languages, likeliest first
ICELANDIC, NOT_TURKISH = set("ÐðÝýÞþ"), set("ÁáÍíÓóÚúÆæ")  # in Windows-1252; where it has the first, Windows-1254 has six Turkish letters
HEAD = 1 << 16  # bytes in which the header stands
MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


@dataclass(frozen=True)
class TableFile:
    """A list, as it was read."""

    rows: tuple[dict[str, str], ...]  # by the names that the caller gave to the columns; rows without any content are left out
    lines: tuple[int, ...]  # of each row, from 1
    told: str  # how it was read: "Windows-1252, separated by ;", 'the sheet "Staff" of a workbook'


def read(data: bytes, columns: Mapping[str, Collection[str]], needed: Collection[str]) -> TableFile:
    """Read a list whose header names its columns.

    Args:
        data: of the file.
        columns: the caller's name -> what the header may say, in any language and case; further columns keep the header's words, without case.
        needed: of these, the ones without which it is not such a list.

    Raises:
        ListError: a file of another kind, no such header, quotes that are never closed, a line that is longer than the header, or a cell of a needed
            column without a value.
    """
    if data.startswith((ZIP, OLD_EXCEL)):
        return _workbook(data, columns, needed)
    text, charset = decoded(data, columns)
    lines, separator = _lines(text)
    titles, rows = _under_header(lines, columns, needed, separator)
    _check_length(titles, rows, separator)
    return TableFile(*_filled(titles, rows), read_as(charset, separator))


def _workbook(data: bytes, columns: Mapping[str, Collection[str]], needed: Collection[str]) -> TableFile:
    sheet = first_sheet(data)
    titles, rows = _under_header(sheet.lines, columns, needed, ", ")
    for (line, column), words in sheet.faults.items():
        title = titles[column] if column < len(titles) else ""
        if rows and line >= rows[0][0] and title.rstrip("0123456789 ") in columns:
            words = phrase("list.cell", "the cell in line {line}, column {column!r}, {why}", line=line, column=title, why=words)
            raise ListError(words, code="list.no_value")
    told = [phrase("read.sheet", 'the sheet "{name}" of a workbook', name=sheet.name)]
    told += [phrase("read.others", "not read: {sheets}", sheets=", ".join(sheet.others))] if sheet.others else []
    told += [phrase("read.hidden", "hidden rows are read as well: {rows}", rows=sheet.hidden_rows)] if sheet.hidden_rows else []
    return TableFile(*_filled(titles, rows), phrases("; ", told))


Lines = Sequence[tuple[int, list[str]]]  # with their numbers from 1


def _under_header(lines: Lines, columns: Mapping[str, Collection[str]], needed: Collection[str], separator: str) -> tuple[list[str], Lines]:
    """The names of the columns, and the lines below the header."""
    for at, (_, line) in enumerate(lines[:TITLE_ROWS]):
        titles = titled(line, columns)
        if set(needed) <= given(titles):
            return titles, lines[at + 1 + continues(line, lines[at + 1 :]) :]
    first = next((separator.join(line) for _, line in lines if any(line)), "")
    raise no_column(", ".join(needed), first)


def titled(header: Sequence[str], columns: Mapping[str, Collection[str]]) -> list[str]:
    """The names of the columns, each once: the caller's, else the header's own words without case.

    Of several columns that may be the same, the one whose word is listed first has the caller's name. "Foto 2" is "photo 2", where "foto" is a photo.
    """
    said = [_plain(cell) for cell in header]
    letters = [_letters(cell) for cell in said]
    known = {_letters(word): name for name, words in columns.items() for word in (name, *words)}
    own = [f"{known.get(_letters(found[1]), found[1])} {found[2]}" if (found := NUMBERED.fullmatch(word)) else word for word in said]
    chosen: dict[int, str] = {}
    for name, words in columns.items():
        places = [place for word in (name, *words) for place, cell in enumerate(letters) if cell == _letters(word) and place not in chosen]
        chosen.update({places[0]: name} if places else {})
    names = [chosen.get(place, word) for place, word in enumerate(own)]
    return [f"{name} ({place + 1})" if name in columns and place not in chosen else name for place, name in enumerate(names)]


def given(titles: Sequence[str]) -> set[str]:
    """The columns that a list has; two with the parts of a name are one with a name."""
    return {*titles, "name"} if NAME_PARTS.keys() <= set(titles) else set(titles)


def continues(header: Sequence[str], below: Lines) -> int:
    """How many lines belong to a header with cells that are merged over several lines."""
    again = [any(cell.strip() and cell == title for cell, title in zip(line, header, strict=False)) for _, line in below[:TITLE_ROWS]]
    return [*again, False].index(False)


def whole_name(row: Mapping[str, str]) -> str:
    """The name of a row; where it is in two columns, the first name and then the last one: "Vorname" and "Name", "Nombre" and "Apellidos"."""
    name, first, last = (row.get(part, "") for part in ("name", "first", "last"))
    if first and last:
        return f"{first} {last}"
    parts = name.casefold().split()  # a whole name may stand beside one of its parts
    return " ".join(part for part in (first, name, last) if part and (part == name or not set(part.casefold().split()) <= set(parts)))


def _check_length(titles: Sequence[str], rows: Lines, separator: str) -> None:
    """Refuse a list where a separator inside a text has moved the cells behind it into the next columns."""
    for number, line in rows:
        if any(cell.strip() for cell in line[len(titles) :]):
            english = "line {line} has {cells} cells, the header {titles}; put quotation marks around a text that contains {mark}"
            words = phrase("list.long_line", english, line=number, cells=len(line), titles=len(titles), mark=_mark(separator))
            raise ListError(words, code="list.unreadable")


def read_as(charset: str, separator: str) -> str:
    """How a list was read: "Windows-1252, separated by ;"."""
    return phrase("read.text", "{charset}, separated by {mark}", charset=charset, mark=_mark(separator))


def _mark(separator: str) -> str:
    return phrase("read.tabs", "tabs") if separator == "\t" else separator


def no_column(wanted: str, first: str) -> ListError:
    """`first`: what the first line with content says."""
    english = "the list has no column {wanted!r}: one of its first {rows} lines must name the columns, found {first!r}"
    return ListError(phrase("list.no_column", english, wanted=wanted, rows=TITLE_ROWS, first=first[:80]), code="list.no_column")


def no_text(charset: str = "") -> ListError:
    """Of a file that is no text at all, or none in its character set."""
    plain = phrase("list.no_text", "the list is no text; save it as CSV in UTF-8")
    words = phrase("list.not_in", "the list is no text in {charset}; save it as CSV in UTF-8", charset=charset) if charset else plain
    return ListError(words, code="list.unreadable")


def _filled(titles: Sequence[str], lines: Lines) -> tuple[tuple[dict[str, str], ...], tuple[int, ...]]:
    """The rows that have any content, and their numbers."""
    filled = [(number, line) for number, line in lines if any(cell.strip() for cell in line)]
    return tuple(dict(zip(titles, map(plain, line), strict=False)) for _, line in filled), tuple(number for number, _ in filled)


def decoded(data: bytes, columns: Mapping[str, Collection[str]] | None = None) -> tuple[str, str]:
    """The text of a file and its character set: by its mark, else UTF-8 where it decodes, UTF-16 where every other byte is 0, else that of `code_page`.

    Raises:
        ListError: it is no text.
    """
    for mark, charset in MARKS:
        if data.startswith(mark):
            return _as_text(data[len(mark) :], charset), charset.upper().removesuffix("-LE").removesuffix("-BE")
    if b"\0" in data[:2000]:
        charset = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
        return _as_text(data, charset), "UTF-16"
    try:
        return data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        page = code_page(data, columns or {}, TITLE_ROWS)
        return _as_text(data, page), PAGES[page]


def code_page(data: bytes, columns: Mapping[str, Collection[str]], rows: int) -> str:
    """Of `PAGES`, the one in which one of the first `rows` lines names most columns; Windows-1254 rather than 1252 where its letters are Turkish."""
    known = {_letters(word) for name, words in columns.items() for word in (name, *words)}

    def named(page: str) -> int:
        lines = data[:HEAD].decode(page, "replace").splitlines()[:rows]
        return max(sum(_letters(_plain(cell.strip('"'))) in known for cell in re.split(f"[{SEPARATORS}]", line)) for line in lines)

    best, letters = max(PAGES, key=named), set(data.decode("cp1252", "replace"))
    return "cp1254" if best == "cp1252" and letters & ICELANDIC and not letters & NOT_TURKISH else best


def _as_text(data: bytes, charset: str) -> str:
    try:
        text = data.decode(charset)
    except UnicodeDecodeError as error:
        raise no_text(charset) from error
    if "\0" in text:
        raise no_text()
    return text


def _lines(text: str) -> tuple[Lines, str]:
    """All lines, split at the separator: the one that a first line `sep=;` names, or the one that stands in most of the first lines."""
    first, _, rest = text.partition("\n")
    named = first.strip().casefold()
    if named.startswith("sep=") and len(named) == 5:
        separator, text = first.strip()[4], "\n" + rest  # the line stays, so that line numbers are those of the file
    else:
        head = text.splitlines()[: TITLE_ROWS + 3]
        separator = max(SEPARATORS, key=lambda mark: (sum(mark in line for line in head), sum(line.count(mark) for line in head)))
    try:
        return list(numbered(io.StringIO(text, newline=""), separator)), separator
    except csv.Error as error:
        words = phrase("list.unreadable", "the list cannot be read ({why}); save it as CSV in UTF-8", why=f"{error}")
        raise ListError(words, code="list.unreadable") from error


def numbered(text: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Number of the first line of each row, from 1, and its cells.

    Raises:
        ListError: quotes that are never closed: the rows behind them would be one cell.
        csv.Error: too large a cell.
    """
    reader = csv.reader(chain(text, [ADDED]), delimiter=separator)
    number = 1
    for cells in reader:
        if cells == [ADDED]:
            return
        if cells and cells[-1].endswith(ADDED):
            words = phrase("list.open_quote", "a quotation mark in line {line} is never closed; close it or take it out", line=number)
            raise ListError(words, code="list.unreadable")
        yield number, cells
        number = reader.line_num + 1


def plain(cell: str) -> str:
    """A cell without blanks at its ends and without the marks by which spreadsheets keep leading zeros: '0042 and ="0042"."""
    cell = cell.strip()
    guarded = GUARDED.fullmatch(cell)
    return (guarded[1] or guarded[2] or "").strip() if guarded else cell


def _plain(cell: str) -> str:
    return " ".join(cell.replace("*", " ").split()).casefold()


@lru_cache(maxsize=2000)  # those of the columns are asked for at each line
def _letters(words: str) -> str:
    """Words of a header whatever their accents, which capitals often lack: "SİCİL NO" is "sicil no"."""
    apart = unicodedata.normalize("NFKD", words.casefold().replace("ı", "i"))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))
