"""XLSX written as a stream, read back with openpyxl, and through the standard library's own ZIP and XML readers."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import hypothesis.strategies as st
import openpyxl
import pytest
from hypothesis import given, settings

from device.delivery import tables, worksheets

COLUMNS = ("text", "number", "yes", "moment")
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"], exclude_characters="_"))
CELLS = st.tuples(
    TEXTS, st.one_of(st.none(), st.integers(-(2**53), 2**53), st.floats(-1e9, 1e9)), st.booleans(),
    st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)).map(lambda at: at.replace(microsecond=0)),
)  # fmt: skip


def rows(count: int) -> Iterator[dict[str, Any]]:
    return ({"text": f"row {n}", "number": n, "yes": n % 2 == 0, "moment": datetime(2026, 1, 1) + timedelta(minutes=n)} for n in range(count))


def read(data: bytes) -> dict[str, list[tuple[Any, ...]]]:
    return {sheet.title: list(sheet.values) for sheet in openpyxl.load_workbook(io.BytesIO(data))}


@settings(max_examples=30)
@given(st.lists(CELLS, max_size=5))
def test_what_is_written_is_read_back(cells: list[tuple[Any, ...]]) -> None:
    found = read(tables.as_xlsx("log", COLUMNS, [dict(zip(COLUMNS, line, strict=True)) for line in cells]))["log"]
    assert found[0] == COLUMNS
    for (text, number, *others), line in zip(found[1:], cells, strict=True):
        assert (text or "", *others) == (line[0], *line[2:])
        assert number == line[1] or number == pytest.approx(line[1], rel=1e-15)


@pytest.mark.parametrize(("count", "lengths"), [(0, [0]), (7, [7]), (8, [7, 1]), (14, [7, 7]), (21, [7, 7, 7])])
def test_rows_beyond_a_worksheet_go_on_in_the_next(count: int, lengths: list[int]) -> None:
    found = read(b"".join(worksheets.pieces("log", COLUMNS, rows(count), sheet_rows=7)))
    assert list(found) == ["log", "log 2", "log 3"][: len(lengths)] and [len(values) - 1 for values in found.values()] == lengths
    assert all(values[0] == COLUMNS for values in found.values())
    assert [line for values in found.values() for line in values[1:]] == [tuple(row.values()) for row in rows(count)]


def test_a_text_that_xml_cannot_hold_is_written_as_spreadsheets_write_it() -> None:
    data = tables.as_xlsx("log", ("a", "b"), [{"a": "bell \x07 & <b>", "b": "_x0007_ as it is"}])
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        assert book.testzip() is None
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    texts = [found.text for found in sheet.iter(f"{{{worksheets.MAIN}}}t")]
    assert texts == ["a", "b", "bell _x0007_ & <b>", "_x005F_x0007_ as it is"]  # ECMA-376, 22.9.2.19 ST_Xstring


def test_a_column_after_the_twenty_sixth() -> None:
    assert [worksheets._letters(number) for number in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]


def test_no_file_is_held_in_memory() -> None:
    taken = [len(piece) for piece in worksheets.pieces("log", COLUMNS, rows(60_000))]
    assert len(taken) > 5 and max(taken) < 4 * worksheets.PIECE
