"""Lists as spreadsheets write them: each is read as a person would read it, or refused with words."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.system.table_file import ListError, decoded, read
from device.system.table_stream import stream
from tests.refused import refused

COLUMNS = {
    "name": ("mitarbeiter", "ad soyad", "adı soyadı", "اسم الموظف", "姓名"),
    "code": ("personalnummer", "employee id", "codigo", "sicil no", "الرمز", "工号"),
}
ROWS = [{"name": "Jürgen Müller", "code": "0017"}, {"name": "Kern, Ada", "code": "+49 5"}]


def written(separator: str = ";", head: str = "", titles: tuple[str, str] = ("Name", "Code")) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows([titles, *([row["name"], row["code"]] for row in ROWS)])
    return head + text.getvalue()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("encoding", "told"),
    [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8"), ("utf-16", "UTF-16"),
     ("utf-16-le", "UTF-16"), ("utf-16-be", "UTF-16"), ("cp1252", "Windows-1252")],
)  # fmt: skip
def test_character_sets_and_separators(separator: str, encoding: str, told: str) -> None:
    found = read(written(separator).encode(encoding), COLUMNS, ["name"])
    assert list(found.rows) == ROWS and found.told == f"{told}, separated by {'tabs' if separator == chr(9) else separator}"


@pytest.mark.parametrize(
    ("charset", "told", "text"),
    [
        ("cp1254", "Windows-1254", "Adı Soyadı;SİCİL NO\nGül Öztürk;0017\n"),  # by its header
        ("cp1254", "Windows-1254", "Ad Soyad;Sicil No\nIşıl Çağlar;0017\n"),  # by its letters
        ("cp1254", "Windows-1252", "Name;Code\nJürgen Müller;0017\n"),  # the same in both
        ("cp1252", "Windows-1252", "Name;Code\nÞórður Ægisson;0017\nÝmir;0018\n"),
        ("cp1256", "Windows-1256", "اسم الموظف;الرمز\nسلمى;0017\n"),
        ("gb18030", "GB 18030", "Staff\n\n\"姓名\";工号\n李娜;0017\n"),
    ],
)
def test_character_sets_of_the_kiosks_languages(charset: str, told: str, text: str, tmp_path: Path) -> None:
    wanted = dict(zip(("name", "code"), text.splitlines()[text.startswith("Staff") * 2 + 1].split(";"), strict=True))
    data, file = text.encode(charset), tmp_path / "list.csv"
    file.write_bytes(data)
    found, streamed = read(data, COLUMNS, ["name"]), stream(file, COLUMNS, ["name"])
    assert found.rows[0] == wanted == next(streamed.rows())[1]
    assert found.told == f"{told}, separated by ;" == streamed.told


@pytest.mark.parametrize(
    "head", ["sep=;\r\n", "Staff list of 2026\r\n\r\n", "Staff, all sites;;\r\nPrinted 29.11.2026;;\r\n;;\r\n"], ids=["sep", "title", "title with cells"]
)
def test_what_stands_above_the_header(head: str) -> None:
    found = read(written(head=head).encode(), COLUMNS, ["name"])
    assert list(found.rows) == ROWS and found.lines[0] == head.count("\n") + 2


@pytest.mark.parametrize(
    "titles",
    [("Mitarbeiter", "Personalnummer"), (" NAME ", "Employee  ID"), ("name", "CODE"), ("*Name", "EMPLOYEE ID"), ("MİTARBEİTER", "Código")],
)  # fmt: skip
def test_headers_in_other_words(titles: tuple[str, str]) -> None:
    assert list(read(written(titles=titles).encode(), COLUMNS, ["name"]).rows) == ROWS


def test_what_is_no_list_is_refused() -> None:
    for data, code in (
        (b"PK\x03\x04rest", "list.unreadable"), (b"\xd0\xcf\x11\xe0rest", "list.spreadsheet"), (b"", "list.no_column"), (b"a;b\n1;2\n", "list.no_column"),
        (b'name;note\nAda;"likes tea\nBen;\nCem;\n', "list.unreadable"), (b"name,code\nKern, Ada,E17\n", "list.unreadable"),
        (b"\x81\x8d\x8f\x90\x9d\xff", "list.unreadable"), (b"\xff\xfe\x00", "list.unreadable"),
    ):  # fmt: skip
        with refused(code):
            read(data, COLUMNS, ["name"])


@pytest.mark.parametrize(
    ("cell", "read_as"),
    [("0042", "0042"), ("'0042", "0042"), ('"=""0042"""', "0042"), ("'+49 5", "+49 5"), ("'t Hart", "'t Hart"), ("'s-Gravesande", "'s-Gravesande"),
     ("1E5", "1E5"), ('"a\r\nb;c"', "a\r\nb;c"), ("", "")],
)  # fmt: skip
def test_a_cell_is_what_was_typed_into_the_spreadsheet(cell: str, read_as: str) -> None:
    for end in ("\r\n", "\n", "\r"):
        found = read(f"name;code;note{end}Ada;{cell};{end}Ben;E2;tea{end}".encode(), COLUMNS, ["name"])
        assert [row["code"] for row in found.rows] == [read_as, "E2"]


def test_columns_that_stand_there_twice_or_with_a_number() -> None:
    found = read(b"Name;Mitarbeiter;Name;Foto 1;foto2\nAda;17;;a;b\n", {"name": ("mitarbeiter",), "photo": ("foto",)}, ["name"])
    assert found.rows == ({"name": "Ada", "mitarbeiter": "17", "name (3)": "", "photo 1": "a", "photo 2": "b"},)


@given(st.binary(max_size=300))
def test_whatever_comes_is_rows_or_words(data: bytes) -> None:
    with suppress(ListError):
        assert all(any(row.values()) for row in read(data, COLUMNS, ["name"]).rows)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=60))
def test_utf8_is_never_taken_for_something_else(text: str) -> None:
    assert decoded(text.encode("utf-8")) == (text, "UTF-8")
