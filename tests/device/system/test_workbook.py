"""Workbooks as openpyxl and XlsxWriter write them: each cell is read as a person sees it, or refused with words."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time

import openpyxl
import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.worksheet.worksheet import Worksheet

from device.system import workbook
from device.system.table_file import read
from device.system.workbook import ListError, first_sheet, number_shown
from tests.refused import refused

COLUMNS = {"name": ("mitarbeiter",), "code": ("personalnummer",), "photo": ()}


def made(fill: Callable[[Worksheet], object], **more: object) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Staff"
    fill(sheet)
    for title, state in more.items():
        book.create_sheet(title).sheet_state = str(state)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def row(*cells: object) -> Callable[[Worksheet], object]:
    return lambda sheet: [sheet.append(["Name", "Code", "Since"]), sheet.append(list(cells))]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [("0017", "0017"), (17, "17"), (17.0, "17"), (2.5, "2.5"), (0.1 + 0.2, "0.3"), (123456789012345, "123456789012345"), (-3, "-3"), (True, "TRUE"),
     ("+49 5", "+49 5"), (date(2026, 11, 29), "2026-11-29"), (datetime(2026, 11, 29, 8, 5), "2026-11-29 08:05:00"),
     (datetime(2026, 11, 29), "2026-11-29 00:00:00"), (time(8, 5), "08:05"), (time(8, 5, 30), "08:05:30"),
     (date(1900, 1, 1), "1900-01-01"), ("=1+1 & <b>", "=1+1 & <b>"),
     ("a\nb", "a\nb")],
)  # fmt: skip
def test_a_cell_is_what_its_reader_sees(cell: object, shown: str) -> None:
    def fill(sheet: Worksheet) -> None:
        row("Ada", "E1")(sheet)
        sheet["C2"] = cell
        if isinstance(cell, str):
            sheet["C2"].data_type = "s"

    assert read(made(fill), COLUMNS, ["name"]).rows == ({"name": "Ada", "code": "E1", "since": shown.strip()},)


def test_the_same_from_another_writer_with_formulas_and_formats() -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet("Liste")
        sheet.write_row(0, 0, ["Staff list", "", "printed"])
        sheet.write_row(2, 0, ["Mitarbeiter", "Personalnummer", "since"])
        sheet.write_rich_string(3, 0, "Ada ", book.add_format({"bold": True}), "Kern")
        sheet.write_number(3, 1, 17, book.add_format({"num_format": "00000"}))
        sheet.write_datetime(3, 2, datetime(2026, 2, 28), book.add_format({"num_format": '[$-407]d. mmm yyyy "um" ;@'}))
        sheet.write_formula(5, 0, '="Ben"&" Ott"', None, "Ben Ott")
        sheet.set_row(5, None, None, {"hidden": True})
    found = read(file.getvalue(), COLUMNS, ["name", "code"])
    assert found.rows == ({"name": "Ada Kern", "code": "00017", "since": "2026-02-28"}, {"name": "Ben Ott"}) and found.lines == (4, 6)
    assert found.told == 'the sheet "Liste" of a workbook; hidden rows are read as well: 1'


def test_the_calendar_of_1904() -> None:
    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    row("Ada", "E1", date(2026, 11, 29))(book.active)
    file = io.BytesIO()
    book.save(file)
    assert read(file.getvalue(), COLUMNS, ["name"]).rows[0]["since"] == "2026-11-29"


@given(st.datetimes(datetime(1900, 3, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(microsecond=0)))
def test_dates_agree_with_openpyxl(moment: datetime) -> None:
    serial = openpyxl.utils.datetime.to_excel(moment)
    assert number_shown(serial, "yyyy\\-mm\\-dd hh:mm:ss") == f"{moment:%Y-%m-%d %H:%M:%S}"
    assert number_shown(serial, "dd/mm/yyyy") == f"{moment:%Y-%m-%d}"


@pytest.mark.parametrize("shape", ["General", "0.00E+00", "[Red]#,##0", '0 "days"', "@", ""])
def test_what_is_no_date_stays_a_number(shape: str) -> None:
    assert number_shown(45000, shape) == "45000"


@pytest.mark.parametrize(
    ("value", "shape", "shown"),
    [(17, '"E"0000', "E0017"), (123456, "\\E0000", "E123456"), (1234567, "00-000-00", "12-345-67"), (42, "[$-407]00000", "00042"),
     (42, "0000;[Red]-0000", "0042"), (7, "0 _€", "7"), (42, '"A"#', "A42"), (-3, '"E"00', "-3"), (17, "0", "17")],
)  # fmt: skip
def test_a_number_with_the_letters_that_its_format_puts_before_it(value: int, shape: str, shown: str) -> None:
    assert number_shown(value, shape) == shown


def test_merged_cells_belong_to_each_of_their_lines() -> None:
    def fill(sheet: Worksheet) -> None:
        for cells in (("Name", "Code", "Photo"), ("", "", "file"), ("Ada", "E1", "1.jpg"), ("", "", "2.jpg"), ("Ben", "E2", "3.jpg")):
            sheet.append(list(cells))
        for area in ("A1:A2", "B1:B2", "A3:A4", "B3:B4"):
            sheet.merge_cells(area)

    rows = read(made(fill), COLUMNS, ["name"]).rows
    assert [(one["name"], one["code"], one["photo"]) for one in rows] == [("Ada", "E1", "1.jpg"), ("Ada", "E1", "2.jpg"), ("Ben", "E2", "3.jpg")]


def test_the_first_sheet_that_is_shown_is_read_and_told() -> None:
    book = openpyxl.Workbook()
    book.active.title, book.active.sheet_state = "Old", "hidden"
    row("Nobody", "E0")(book.active)
    row("Ada", "E1")(book.create_sheet("Staff"))
    book.create_sheet("Rates")
    file = io.BytesIO()
    book.save(file)
    found = read(file.getvalue(), COLUMNS, ["name"])
    assert [one["name"] for one in found.rows] == ["Ada"] and found.told == 'the sheet "Staff" of a workbook; not read: Rates'


def test_a_cell_without_a_value_is_named() -> None:
    with refused("list.no_value", "line 2", "'code'", "never computed"):
        read(made(row("Ada", "=A1")), COLUMNS, ["name"])
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["name", "code", "since"])
        sheet.write_row(1, 0, ["Ada", "E1"])
        sheet.write_formula(1, 2, "=1/0", None, "#DIV/0!")
        sheet.write_formula(2, 1, "=NA()", None, "#N/A")
    with refused("list.no_value", "line 3", "#N/A"):
        read(file.getvalue(), COLUMNS, ["name"])


def changed(data: bytes, **parts: bytes) -> bytes:
    """The workbook with parts replaced, by the end of their names."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            key = name.rpartition("/")[2].removesuffix(".xml")
            new.writestr(name, parts.get(key, old.read(name)))
    return file.getvalue()


def test_a_formula_that_gives_nothing_is_an_empty_cell() -> None:
    cells = b'<row r="1"><c r="A1" t="inlineStr"><is><t>Name</t></is></c></row><row r="2"><c r="A2" t="str"><f>""</f><v></v></c></row>'
    assert first_sheet(changed(made(row("Ada")), sheet1=ROWS % cells)).lines == ((1, ["Name"]),)


ROWS = b'<worksheet xmlns="x"><sheetData>%s</sheetData></worksheet>'
BOMB = b'<!DOCTYPE w [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + ROWS % b'<row r="1"><c r="A1" t="str"><v>&b;</v></c></row>'


@pytest.mark.parametrize(
    ("data", "code"),
    [(changed(made(row("Ada")), sheet1=b" " * 30_000_000), "list.too_large"), (changed(made(row("Ada")), sheet1=BOMB), "list.unreadable"),
     (changed(made(row("Ada")), sheet1=ROWS % (b"<row/>" * 60_000)), "list.too_large"),
     (changed(made(row("Ada")), sheet1=ROWS % b'<row r="1"><c r="XFD1"><v>1</v></c></row>'), "list.too_large"),
     (changed(made(row("Ada")), sheet1=ROWS % b'<row r="1"><c r="A1" t="s"><v>99</v></c></row>'), "list.unreadable"),
     (made(row("Ada"))[:-200], "list.unreadable"), (workbook.OLD_EXCEL + bytes(600), "list.spreadsheet"),
     (workbook.OLD_EXCEL + bytes(600) + workbook.SEALED, "list.spreadsheet")],
    ids=["zip bomb", "entities", "lines", "columns", "no such string", "cut off", "xls", "protected"],
)  # fmt: skip
def test_what_is_no_list_is_refused(data: bytes, code: str) -> None:
    assert len(data) < 100_000
    with refused(code):
        read(data, COLUMNS, ["name"])


def test_words_for_the_old_and_the_protected() -> None:
    with refused("list.spreadsheet", ".xls"):
        first_sheet(workbook.OLD_EXCEL + bytes(600))
    with refused("list.spreadsheet", "password"):
        first_sheet(workbook.OLD_EXCEL + bytes(600) + workbook.SEALED)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    with refused("list.spreadsheet", "save it as .xlsx or CSV"):
        first_sheet(other.getvalue())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6), st.sampled_from(["sheet1", "workbook", "styles"]))
def test_damage_gives_rows_or_words(flips: list[tuple[float, int]], part: str) -> None:
    whole = made(row("Ada", 17, date(2026, 1, 1)))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        content = bytearray(archive.read(next(name for name in archive.namelist() if name.endswith(f"{part}.xml"))))
    for where, value in flips:
        content[int(where * len(content))] = value
    try:
        first_sheet(changed(whole, **{part: bytes(content)}))
    except ListError as error:
        assert error.code.startswith("list.")
