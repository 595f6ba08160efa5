"""XLSX of long tables, written as a stream: no row, sheet or file is held in memory or on disk (ECMA-376, Office Open XML; APPNOTE, ZIP).

Rows that do not fit on a worksheet go on in the next one of the same workbook: "log", "log 2", "log 3".
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import IO, Any, cast
from xml.sax.saxutils import escape

from device.delivery.workbooks import NARROWEST, SHEET_ROWS, WIDEST

SHEET_BYTES = 1_900_000_000  # a part of a ZIP written as a stream is not longer than 2 GiB
PIECE = 1 << 16  # bytes
ROWS = 200  # written at once
EPOCH = datetime(1899, 12, 30)  # day 0 of a spreadsheet
HEADER, MOMENT, FRACTION = 1, 2, 3  # styles
NOT_XML = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]|_(?=x[0-9a-fA-F]{4}_)")  # written as _x001B_, which spreadsheets read back
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
STYLES = f"""{XML}<styleSheet xmlns="{MAIN}"><numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/>\
<numFmt numFmtId="165" formatCode="0.00##"/></numFmts>\
<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/><name val="Calibri"/></font></fonts>\
<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>\
<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>\
<cellXfs count="4"><xf xfId="0"/><xf fontId="1" applyFont="1" xfId="0"/><xf numFmtId="164" applyNumberFormat="1" xfId="0"/>\
<xf numFmtId="165" applyNumberFormat="1" xfId="0"/></cellXfs>\
<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>"""


class _Stream:
    """A file to be written from front to back; `taken` hands over what is there."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.waiting = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self.waiting += len(data)
        return len(data)

    def flush(self) -> None:
        pass

    def taken(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        self.waiting = 0
        return data


@dataclass(frozen=True)
class FurtherSheet:
    """A worksheet behind those of the table; its rows are asked for once these are written."""

    title: str
    columns: Sequence[str]
    rows: Callable[[], Iterable[Mapping[str, Any]]]


def pieces(
    title: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], sheet_rows: int = SHEET_ROWS, further: FurtherSheet | None = None
) -> Iterator[bytes]:
    """A workbook with a header in each sheet that stays in view; a text is never a formula or a link."""
    out, left, count = _Stream(), iter(rows), 0
    with zipfile.ZipFile(cast(IO[bytes], out), "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        first: Mapping[str, Any] | None = None
        while count == 0 or (first := next(left, None)) is not None:
            count += 1
            with book.open(f"xl/worksheets/sheet{count}.xml", "w") as sheet:
                yield from _sheet(sheet, out, columns, left if first is None else chain([first], left), sheet_rows)
        titles = [title if number == 0 else f"{title} {number + 1}" for number in range(count)]
        if further is not None:
            titles.append(further.title)
            with book.open(f"xl/worksheets/sheet{count + 1}.xml", "w") as sheet:
                yield from _sheet(sheet, out, further.columns, iter(further.rows()), sheet_rows)
        for name, text in _frame(titles).items():
            book.writestr(name, XML + text if not text.startswith(XML) else text)
    yield out.taken()


def _sheet(sheet: IO[bytes], out: _Stream, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], most: int) -> Iterator[bytes]:
    letters = [_letters(number) for number in range(len(columns))]
    at, size, fitting = 2, 0, islice(rows, most)
    batch = list(islice(fitting, ROWS))
    sheet.write(_head(columns, letters, [_width(name, batch) for name in columns]).encode())
    while batch:
        data = "".join([_row(at + number, letters, [row[key] for key in columns]) for number, row in enumerate(batch)]).encode()
        sheet.write(data)
        at, size = at + len(batch), size + len(data)
        if out.waiting > PIECE:
            yield out.taken()
        batch = list(islice(fitting, ROWS)) if size < SHEET_BYTES else []
    sheet.write(f'</sheetData><autoFilter ref="A1:{letters[-1]}{max(2, at - 1)}"/></worksheet>'.encode())


def _width(name: str, rows: Sequence[Mapping[str, Any]]) -> int:
    return min(WIDEST, max(NARROWEST, 3 + len(name), *(2 + len(str(row[name])[:WIDEST]) for row in rows)))


def _head(columns: Sequence[str], letters: Sequence[str], widths: Sequence[int]) -> str:
    sizes = "".join([f'<col min="{n}" max="{n}" width="{width}" customWidth="1"/>' for n, width in enumerate(widths, 1)])
    pane = '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
    return (
        f'{XML}<worksheet xmlns="{MAIN}"><sheetViews><sheetView workbookViewId="0">{pane}</sheetView></sheetViews>'
        f"<cols>{sizes}</cols><sheetData>"
        f'<row r="1">{"".join([_text(f"{letter}1", name, HEADER) for letter, name in zip(letters, columns, strict=True)])}</row>'
    )


def _row(number: int, letters: Sequence[str], cells: Sequence[Any]) -> str:
    return f'<row r="{number}">{"".join([_cell(f"{letter}{number}", cell) for letter, cell in zip(letters, cells, strict=True) if cell is not None])}</row>'


def _cell(at: str, cell: Any) -> str:
    if isinstance(cell, str):
        return _text(at, cell)
    if isinstance(cell, bool):
        return f'<c r="{at}" t="b"><v>{cell:d}</v></c>'
    if isinstance(cell, datetime):
        return f'<c r="{at}" s="{MOMENT}"><v>{(cell - EPOCH).total_seconds() / 86400!r}</v></c>'
    style = f' s="{FRACTION}"' if isinstance(cell, float) else ""
    return f'<c r="{at}"{style}><v>{cell!r}</v></c>'


def _text(at: str, text: str, style: int = 0) -> str:
    if not text.isalnum():
        text = escape(NOT_XML.sub(lambda found: f"_x{ord(found[0]):04X}_", text))
    return f'<c r="{at}" s="{style}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def _letters(number: int) -> str:
    """0 -> A, 25 -> Z, 26 -> AA."""
    before = _letters(number // 26 - 1) if number > 25 else ""
    return before + chr(ord("A") + number % 26)


def _frame(titles: Sequence[str]) -> dict[str, str]:
    """The parts of the package around its sheets: name -> XML."""
    numbers = range(1, len(titles) + 1)
    sheets = "".join(f'<sheet name="{escape(title)}" sheetId="{n}" r:id="rId{n}"/>' for n, title in zip(numbers, titles, strict=True))
    related = "".join(f'<Relationship Id="rId{n}" Type="{RELATED}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers)
    styles = f'<Relationship Id="rId{len(titles) + 1}" Type="{RELATED}/styles" Target="styles.xml"/>'
    parts = {"workbook": f"{KIND}.sheet.main+xml", "styles": f"{KIND}.styles+xml", **{f"worksheets/sheet{n}": f"{KIND}.worksheet+xml" for n in numbers}}
    kinds = "".join(f'<Override PartName="/xl/{name}.xml" ContentType="{kind}"/>' for name, kind in parts.items())
    default = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    book = f'<Relationship Id="rId1" Type="{RELATED}/officeDocument" Target="xl/workbook.xml"/>'
    return {
        "xl/styles.xml": STYLES,
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATED}"><sheets>{sheets}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{related}{styles}</Relationships>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{book}</Relationships>',
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">{default}<Default Extension="xml" ContentType="application/xml"/>{kinds}</Types>',
    }
