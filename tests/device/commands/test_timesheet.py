"""`python -m device timesheet` and `schedule`: a site set up and a month read back, all by the command line."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, datetime, time
from pathlib import Path

import openpyxl
import pytest

from device.__main__ import main
from device.attendance.timesheet.sheet import COLUMNS
from device.attendance.timesheet.worksite import Site
from device.attendance.totals import TOTAL_COLUMNS
from device.storage.records import Direction
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState

FORMULA = '=HYPERLINK("http://example.invalid","click")'


def command(database: Path, *arguments: str) -> int:
    return main([arguments[0], *arguments[1:], "--db", str(database)])


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Somebody with an awkward name on weekdays from 08:00 to 16:30, late and long on the 24th, on vacation on the 25th; a second without a plan."""
    path, site = tmp_path / "clockface.db", Site("Europe/Berlin")
    with Store.open(path) as store:
        store.add_person(FORMULA, "E1")
        store.add_person("Ann", "E2")
        stamps: list[tuple[int, str, Direction]] = [(1, "08:15", "in"), (1, "17:00", "out"), (2, "09:00", "in")]
        for person, clock, direction in stamps:
            at = site.moment(date(2026, 11, 24), time.fromisoformat(clock))
            store.record_punch(PunchDraft(person, at * 60.0, direction, "door", "manual", ClockState(True, "boot", 1)))
    for line in (
        ["schedule", "site", "--zone", "Europe/Berlin"],
        ["schedule", "shift", "day", "--from", "08:00", "--to", "16:30", "--break", "30", "--grace", "5"],
        ["schedule", "plan", "week", "day", "day", "day", "day", "day", ".", ".", "--anchor", "2026-11-02"],
        ["schedule", "assign", "E1", "week", "--since", "2026-11-01"],
        ["schedule", "absence", "E1", "2026-11-25", "2026-11-25", "vacation"],
        ["schedule", "holiday", "2026-11-18", "Repentance"],
    ):
        assert command(path, *line) == 0
    return path


def days(database: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert command(database, "timesheet", "--json", *arguments) == 0
    rows: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return rows


def test_json_has_the_documented_columns(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = days(database, capsys, "--month", "2026-11", "--person", "E1")
    assert [list(row) for row in rows] == [list(COLUMNS)] * 30
    assert rows[23] == {
        "date": "2026-11-24", "person_id": 1, "name": FORMULA, "code": "E1", "kind": "work", "planned": "day",
        "planned_start": "2026-11-24T08:00+01:00", "planned_end": "2026-11-24T16:30+01:00", "due_minutes": 480,
        "first_in": "2026-11-24T08:15+01:00", "last_out": "2026-11-24T17:00+01:00", "worked_minutes": 495, "break_minutes": 0, "deducted_minutes": 30,
        "credited_minutes": 0, "late_minutes": 15, "early_minutes": 0, "overtime_minutes": rows[23]["overtime_minutes"], "short_minutes": 0,
        "balance_minutes": rows[23]["balance_minutes"], "missing": "", "corrected": False, "state": "out", "core_minutes": 0, "flags": "",
        "shifts": "", "absence": "", **dict.fromkeys(COLUMNS[COLUMNS.index("night_minutes") :], 0), "attendance": "present",
    }  # fmt: skip
    assert (rows[24]["kind"], rows[24]["planned"], rows[24]["credited_minutes"]) == ("absence", "vacation", 480)
    assert (rows[17]["kind"], rows[17]["planned"], rows[17]["due_minutes"]) == ("holiday", "Repentance", 0)
    page = (Path(__file__).resolve().parents[3] / "docs" / "timesheets.md").read_text(encoding="utf-8")
    assert all(f"`{column}`" in page for column in COLUMNS)


def test_a_day_has_everybody(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [(row["person_id"], row["first_in"]) for row in days(database, capsys, "--day", "2026-11-24")] == [
        (1, "2026-11-24T08:15+01:00"),
        (2, "2026-11-24T09:00+01:00"),
    ]


def test_csv_runs_no_formula(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert command(database, "timesheet", "--day", "2026-11-24", "--format", "csv") == 0
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert (first["name"], first["worked_minutes"], second["name"], second["first_in"]) == ("'" + FORMULA, "495", "Ann", "2026-11-24T09:00+01:00")


def test_xlsx_is_read_back(database: Path, tmp_path: Path) -> None:
    out = tmp_path / "november.xlsx"
    assert command(database, "timesheet", "--month", "2026-11", "--format", "xlsx", "--out", str(out)) == 0
    header, *rows = openpyxl.load_workbook(out).active.iter_rows(values_only=True)
    assert list(header) == [column.replace("_minutes", "_hours") for column in COLUMNS] and len(rows) == 60 + 2  # and the sums
    assert (rows[23][0], rows[23][2], rows[23][11]) == (datetime(2026, 11, 24), FORMULA, 8.25)
    assert openpyxl.load_workbook(out).active["C2"].data_type == "s"


def test_tables(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, expected in (
        (["--month", "2026-11"], ["E1", "8:15", "2 people, times in Europe/Berlin"]),
        (["--month", "2026-11", "--person", "E1"], ["2026-11-24", "08:15", "17:00", "0:15", "vacation", "worked 8:15"]),
        (["--day", "2026-11-24"], ["Ann", "09:00"]),
    ):
        assert command(database, "timesheet", *arguments) == 0
        said = capsys.readouterr().out
        assert all(word in said for word in expected)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["timesheet", "--month", "11/2026"], 2, "is not a month; write it as 2026-11"),
        (["timesheet", "--day", "2026-02-30"], 2, "is not a day; write it as 2026-11-24"),
        (["timesheet", "--person", "Nobody"], 1, "nobody has the id"),
        (["timesheet", "--out", "x"], 2, "--out needs"),
        (["schedule", "site", "--zone", "Europe/Nowhere"], 1, "there is no time zone"),
        (["schedule", "site", "--minimum-breaks", "6h"], 1, "360:30"),
        (["schedule", "site", "--longest-stay-hours", "99"], 1, "expected 1 to 36"),
        (["schedule", "site"], 1, "nothing to change"),
        (["schedule", "shift", "day", "--from", "07:00", "--to", "15:00"], 1, "never changed"),
        (["schedule", "shift", "x", "--from", "7am", "--to", "15:00"], 1, "write it as 08:00"),
        (["schedule", "shift", "x", "--from", "07:00"], 1, "expected a start and a different end"),
        (["schedule", "shift", "x"], 1, "a fixed shift needs start and end"),
        (["schedule", "plan", "y", "nope", "--anchor", "2026-11-02"], 1, "there is no shift named 'nope'; there are: day"),
        (["schedule", "assign", "E1", "nope", "--since", "2026-11-02"], 1, "there are: week"),
        (["schedule", "absence", "E1", "2026-11-25", "2026-11-24", "sick"], 1, "lies before its first"),
        (["schedule", "cancel-absence", "9"], 1, "no absence 9"),
        (["schedule", "lock", "2999-01"], 1, "not over yet"),
        (["schedule", "unlock", "1"], 1, "no lock 1"),
    ],
)
def test_mistakes(database: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str) -> None:
    try:
        result = command(database, *arguments)
    except SystemExit as stop:
        result = int(str(stop.code))
    assert result == code and said in capsys.readouterr().err


def test_show_prints_what_was_entered(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert command(database, "schedule", "show") == 0
    state = json.loads(capsys.readouterr().out)
    assert state["site"]["zone"] == "Europe/Berlin" and state["shifts"]["1"]["break_minutes"] == 30
    assert state["plans"][0]["cycle"] == [1, 1, 1, 1, 1, None, None] and state["planned_since"] == {"1": ["2026-11-01"]}
    assert state["holidays"] == {"2026-11-18": "Repentance"} and state["absences"][0]["kind"] == "vacation"


def test_pay_periods(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(database, "schedule", "accounting", "--period", "fortnight", "--period-anchor", "2026-11-02") == 0
    for text, first, last in (("2026-11-24", "2026-11-16", "2026-11-29"), ("2026-10-30..2026-11-03", "2026-10-30", "2026-11-03")):
        rows = days(database, capsys, "--person", "E1", "--period", text)
        assert (rows[0]["date"], rows[-1]["date"]) == (first, last)
    assert command(database, "schedule", "lock", "2026-10-20") == 0 and "lift it by" in capsys.readouterr().out
    assert command(database, "schedule", "show") == 0
    state = json.loads(capsys.readouterr().out)
    assert (state["locks"][0]["first"], state["locks"][0]["last"]) == ("2026-10-19", "2026-11-01")
    assert state["site"]["accounting"]["period"] == "fortnight"


def test_overtime_is_approved_by_the_command(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(database, "schedule", "accounting", "--overtime-approval", "yes", "--premiums", "night, sunday", "--night-from", "16:30") == 0
    capsys.readouterr()
    assert command(database, "accounts", "overtime", "--period", "2026-11", "--json") == 0
    assert [(row["name"], row["date"], row["overtime_minutes"]) for row in json.loads(capsys.readouterr().out)] == [(FORMULA, "2026-11-24", 15)]
    assert command(database, "accounts", "approve", "E1", "2026-11-24") == 0 and "0:15 of overtime" in capsys.readouterr().out
    assert command(database, "accounts", "overtime", "--period", "2026-11") == 0 and "0 days wait" in capsys.readouterr().out
    row = days(database, capsys, "--day", "2026-11-24", "--person", "E1")[0]
    assert (row["overtime_approved_minutes"], row["night_minutes"]) == (15, 30)


def test_accounts_by_the_command(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """E1 works 8:15 of 8:00 on Tuesday the 24th; the 25th is vacation."""
    booking = ["accounts", "book", "E1", "time", "opening", "--amount=-1:00", "--day", "2026-11-24", "--reason", "carried from paper"]
    assert command(database, *booking) == 0 and command(database, "accounts", "grant", "2026", "30") == 0
    capsys.readouterr()
    assert command(database, "accounts", "show", "E1", "--period", "2026-11-24..2026-11-25", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["minutes"] == {"before": -60, "earned": 15, "booked": 0, "after": -45} and shown["leave"]["granted"] == 3000
    assert command(database, "accounts", "show", "E1", "--period", "2026-11-24..2026-11-25") == 0
    assert "on the account -0:45" in capsys.readouterr().out
    assert command(database, "schedule", "accounting", "--law", "de") == 0 and command(database, "accounts", "law", "--period", "2026-11") == 0
    assert "0 people with flags" in capsys.readouterr().out  # from 08:15 to 17:00, on a shift whose break is deducted


def test_totals_are_rows_of_their_own(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One row per person and one of all; the same numbers as the sum of the days, in each form."""
    rows = days(database, capsys, "--month", "2026-11")
    totals = days(database, capsys, "--month", "2026-11", "--totals")
    assert [list(row) for row in totals] == [list(TOTAL_COLUMNS)] * 3
    assert [row["person_id"] for row in totals] == [1, 2, None] and (totals[0]["first_day"], totals[2]["last_day"]) == ("2026-11-01", "2026-11-30")
    for column in ("worked_minutes", "due_minutes", "balance_minutes", "night_minutes"):
        assert totals[0][column] == sum(row[column] for row in rows if row["person_id"] == 1)  # type: ignore[misc]
        assert totals[2][column] == sum(row[column] for row in rows)  # type: ignore[misc]
    capsys.readouterr()
    assert command(database, "timesheet", "--month", "2026-11", "--totals", "--format", "csv") == 0
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))
    assert (found[2]["person_id"], found[2]["worked_minutes"], found[0]["account_after_minutes"]) == ("", str(totals[2]["worked_minutes"]), "")
    out = tmp_path / "totals.xlsx"
    assert command(database, "timesheet", "--month", "2026-11", "--totals", "--format", "xlsx", "--out", str(out)) == 0
    assert len(list(openpyxl.load_workbook(out).active.iter_rows())) == 4
