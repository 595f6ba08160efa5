"""Exports as people open them: read back by openpyxl, and by LibreOffice where it is installed."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from device.config import ExportSettings, Settings, WebSettings
from device.delivery import tables
from device.delivery.tables import CsvForm, as_csv, csv_form, harmless
from device.delivery.timesheet_workbook import timesheet_workbook

COLUMNS = ("date", "person_id", "name", "code", "planned_start", "first_in", "last_out", "worked_minutes", "balance_minutes", "missing")
ROWS = [
    dict(zip(COLUMNS, values, strict=True))
    for values in (
        ("2026-11-24", 1, "=cmd|'/c calc'!A1", "+49 5", "2026-11-24T08:00:00+01:00", "2026-11-24T08:05:00+01:00", "2026-11-24T16:35:00+01:00", 465, -15, ""),
        ("2026-11-25", 1, "=cmd|'/c calc'!A1", "+49 5", "2026-11-25T08:00:00+01:00", None, None, 0, -480, "absent"),
        ("2026-11-24", 2, "Zoë Ärm", "007", None, "2026-11-24T22:00:00+01:00", "2026-11-25T06:00:00+01:00", 480, 0, ""),
    )
]


@pytest.fixture(scope="module")
def workbook() -> bytes:
    return timesheet_workbook(COLUMNS, ROWS)


def sheet(data: bytes, title: str, values: bool = True) -> Worksheet:
    return openpyxl.load_workbook(io.BytesIO(data), data_only=values)[title]


def test_cells_are_what_they_are(workbook: bytes) -> None:
    days = sheet(workbook, "timesheet")
    header, first, absent, night = ([cell.value for cell in row] for row in days.iter_rows(max_row=4))
    assert header == ["date", "person_id", "name", "code", "planned_start", "first_in", "last_out", "worked_hours", "balance_hours", "missing"]
    assert first == [
        datetime(2026, 11, 24), 1, "=cmd|'/c calc'!A1", "+49 5", datetime(2026, 11, 24, 8), datetime(2026, 11, 24, 8, 5), datetime(2026, 11, 24, 16, 35),
        7.75, -0.25, None,
    ]  # fmt: skip
    assert days["C2"].data_type == "s" and days["A2"].number_format == "yyyy-mm-dd" and days["H2"].number_format.startswith("0.00")
    assert absent[5] is None and absent[8:] == [-8, "absent"] and night[6] == datetime(2026, 11, 25, 6) and night[3] == "007"


def test_header_filter_and_sums(workbook: bytes) -> None:
    days, sums = sheet(workbook, "timesheet"), sheet(workbook, "sums")
    assert (days.freeze_panes, days.auto_filter.ref, sums.freeze_panes, sums.auto_filter.ref) == ("A2", "A1:J4", "A2", "A1:G3")
    assert sheet(workbook, "timesheet", values=False)["H6"].value == "=SUBTOTAL(109,H2:H4)" and days["A6"].value == "Sum"
    assert (days["H6"].value, days["I6"].value) == (pytest.approx(15.75), pytest.approx(-8.25))
    rows = [[cell.value for cell in row] for row in sums.iter_rows(max_row=3)]
    assert rows[0] == ["person_id", "name", "code", "days", "worked_hours", "balance_hours", "absent"]
    assert rows[1][2:] == ["+49 5", 1, pytest.approx(7.75), pytest.approx(-8.25), 1] and rows[2][1:] == ["Zoë Ärm", "007", 1, 8, 0, 0]


def test_nobody_is_an_empty_workbook() -> None:
    assert [cell.value for cell in sheet(timesheet_workbook(COLUMNS, []), "sums")[1]][:3] == ["person_id", "name", "code"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_text_of_csv_begins_a_formula(start: str) -> None:
    row = {"name": f"{start}1+1", "score": -0.5, "at": datetime(2026, 11, 24, 8)}
    text = as_csv(list(row), [row]).decode()
    assert next(csv.reader(io.StringIO(text.partition("\r\n")[2]))) == [f"'{start}1+1", "-0.5", "2026-11-24 08:00:00"]
    assert tables.as_json([row | {"at": None}]).decode().count("'") == 0 and harmless("Ada +1") == "Ada +1"


def test_csv_of_a_place() -> None:
    row = {"name": "Zoë; Ärm", "score": 0.25}
    assert as_csv(list(row), [row], CsvForm(";", mark=True)) == b'\xef\xbb\xbfname;score\r\n"Zo\xc3\xab; \xc3\x84rm";0,25\r\n'
    for language, chosen, separator in (("en", "auto", ","), ("de", "auto", ";"), ("de", "comma", ","), ("en", "tab", "\t"), ("en", "semicolon", ";")):
        settings = replace(Settings(), web=replace(WebSettings(), language=language), export=ExportSettings(csv_separator=chosen))
        assert csv_form(settings) == CsvForm(separator, mark=True)


def opened_by_libreoffice(data: bytes, suffix: str, folder: Path, sheet: int = 1) -> list[list[str]]:
    """What it shows, line by line."""
    office = shutil.which("soffice")
    if office is None:
        pytest.skip("LibreOffice is not installed")
    file = folder / f"export{suffix}"
    file.write_bytes(data)
    form = f"csv:Text - txt - csv (StarCalc):9,34,76,1,,0,false,true,false,false,false,{sheet}"
    command = [office, f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", form, "--outdir", str(folder / "out"), str(file)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return list(csv.reader(io.StringIO(next((folder / "out").iterdir()).read_text()), delimiter="\t"))


def test_libreoffice_shows_the_same(workbook: bytes, tmp_path: Path) -> None:
    shown = opened_by_libreoffice(workbook, ".xlsx", tmp_path)
    assert shown[1][:4] == ["2026-11-24", "1", "=cmd|'/c calc'!A1", "+49 5"]
    assert shown[1][4:] == ["2026-11-24 08:00:00", "2026-11-24 08:05:00", "2026-11-24 16:35:00", "7.75", "-0.25", ""]
    assert shown[5][0] == "Sum" and shown[5][7:9] == ["15.75", "-8.25"]  # computed anew
    assert date.fromisoformat(shown[3][0]) == date(2026, 11, 24) and shown[3][3] == "007"
