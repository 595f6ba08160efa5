"""Long lists are read as short ones are: `table_file.read` is the oracle."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from device.system.table_file import read
from device.system.table_stream import stream
from tests.refused import refused

COLUMNS = {"name": ("mitarbeiter",), "code": ("personalnummer", "employee id")}
ROWS = [["Jürgen Müller", "0017"], ["Kern, Ada", "+49 5"], ['"Bo" O\'Neil', "E3"]]


def written(path: Path, separator: str, encoding: str, head: str = "") -> Path:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows([("Name", "Code"), *ROWS])
    path.write_bytes((head + text.getvalue()).encode(encoding))
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("head", ["", "sep={separator}\r\n", "Staff of 2026\r\n\r\n"])
def test_the_same_as_the_reader_of_short_lists(tmp_path: Path, separator: str, encoding: str, head: str) -> None:
    file = written(tmp_path / "list.csv", separator, encoding, head.format(separator=separator))
    wanted, found = read(file.read_bytes(), COLUMNS, ["name"]), stream(file, COLUMNS, ["name"])
    rows = list(found.rows())
    assert [cells for _, cells in rows] == list(wanted.rows) and tuple(number for number, _ in rows) == wanted.lines
    assert found.told == wanted.told and list(found.rows()) == rows, "it can be read again"


def test_rules_above_the_header_the_star_and_the_apostrophe(tmp_path: Path) -> None:
    """As Hikvision's template of people: eight lines of rules, *Person ID, '0042."""
    file = tmp_path / "people.csv"
    file.write_text("".join(f"{n}.A rule.\r\n" for n in range(1, 9)) + "*Person ID,*Person Name\r\n'0042,Ann\r\n", encoding="utf-8")
    assert list(stream(file, {"code": ("person id",), "name": ("person name",)}, ["code"]).rows()) == [(10, {"code": "0042", "name": "Ann"})]


def test_a_code_page_is_told_by_a_header_below_rules(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(("".join(f"{n}. kural\r\n" for n in range(1, 9)) + "SİCİL NO;ADI SOYADI\r\n0042;Ágnes Şen\r\n").encode("cp1254"))
    assert list(stream(file, {"code": ("sicil no",), "name": ("adı soyadı",)}, ["code"]).rows()) == [(10, {"code": "0042", "name": "Ágnes Şen"})]


def test_the_best_of_several_columns(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("No.;AC-No.;Name\r\n1;17;Ann\r\n", encoding="utf-8")
    assert next(stream(file, {"code": ("ac-no.", "no.")}, ["code"]).rows()) == (2, {"no.": "1", "code": "17", "name": "Ann"})


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "list.no_column"), (b"a,b\r\n1,2\r\n", "list.no_column"), (b"PK\x03\x04...", "list.unreadable"), (b"\xd0\xcf\x11\xe0", "list.spreadsheet"),
     (b"name\r\n\x81\x00\x01\r\n", "list.unreadable"), (b"name\r\n" + b"x" * 200_000, "list.unreadable")],
)  # fmt: skip
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    with refused(code):
        list(stream(file, COLUMNS, ["name"]).rows())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with refused("list.unreadable", "missing.csv"):
        stream(tmp_path / "missing.csv", COLUMNS, ["name"])
