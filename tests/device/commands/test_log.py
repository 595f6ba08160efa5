"""`python -m device log`: each form read back by another program, days in local time, chains verified."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest

from device.__main__ import main
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState

COLUMNS = ["punch_id", "person_id", "name", "code", "occurred_at", "direction", "method", "score", "lead", "threshold", "clock_synchronised", "device"]
FORMULA = '=HYPERLINK("http://example.invalid","click")'


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is Berlin's: UTC+1 in winter, UTC+2 in summer."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(text: str) -> float:
    return datetime.fromisoformat(text + "+00:00").timestamp()


TIMES = ["2026-11-23T22:59:59.999", "2026-11-23T23:00:00.000", "2026-11-24T22:59:59.999", "2026-11-24T23:00:00.000"]  # the day's edges in Berlin


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "clockface.db"
    with Store.open(path) as store:
        people = [store.add_person(FORMULA, "+49"), store.add_person("Zoë 👩‍🔬, [b]", "E2")]
        for number, at in enumerate(TIMES):
            person = people[number % 2].id
            if number:
                draft = PunchDraft(person, utc(at), "in", "-door", "face", ClockState(number > 1, "boot", 1), 0.61, -0.05, 0.42, None, "m1")
            else:
                draft = PunchDraft(person, utc(at), "out", "-door", "manual", ClockState(False, "boot", 1))
            store.record_punch(draft)
    return path


def log(database: Path, *arguments: str) -> int:
    return main(["log", "--db", str(database), *arguments])


def ids(database: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[int]:
    assert log(database, "--json", *arguments) == 0
    return [row["punch_id"] for row in json.loads(capsys.readouterr().out)]


def test_json_has_the_fixed_form(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert log(database, "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [list(row) for row in rows] == [COLUMNS] * 4
    assert list(rows[0].values()) == [1, 1, FORMULA, "+49", "2026-11-23T22:59:59.999Z", "out", "manual", None, None, None, False, "-door"]
    assert list(rows[2].values()) == [3, 1, FORMULA, "+49", "2026-11-24T22:59:59.999Z", "in", "face", 0.61, -0.05, 0.42, True, "-door"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [1, 2, 3, 4]),
        (["--from", "2026-11-24"], [2, 3, 4]),
        (["--to", "2026-11-24"], [1, 2, 3]),
        (["--from", "2026-11-24", "--to", "2026-11-24"], [2, 3]),
        (["--from", "2026-11-24T00:00", "--to", "2026-11-24T23:59:59.999"], [2]),
        (["--from", "2026-11-23T23:00:00Z", "--to", "2026-11-24T23:00:00Z"], [2, 3]),
        (["--from", "2026-11-23T18:00:00-05:00"], [2, 3, 4]),
        (["--from", "2026-11-26"], []),
        (["--person", "E2"], [2, 4]),
        (["--person", FORMULA, "--to", "2026-11-23"], [1]),
    ],
)
def test_which_punches(database: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: list[int]) -> None:
    assert ids(database, capsys, *arguments) == expected


def test_a_day_of_25_hours_is_one_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.db"
    with Store.open(path) as store:
        store.add_person("Ann")
        for at in ("2026-10-24T21:59:59", "2026-10-24T22:00:00", "2026-10-25T22:59:59", "2026-10-25T23:00:00"):  # clocks went back on the 25th
            store.record_punch(PunchDraft(1, utc(at), "in", "kiosk", "manual", ClockState(True, "boot", 1)))
    assert ids(path, capsys, "--from", "2026-10-25", "--to", "2026-10-25") == [2, 3]


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-02-30", "24.11.2026", "", "0000-00-00", "9999-12-31T99:00", "2026-11-24T", "1' OR 1=1"])
def test_a_wrong_day_is_named(database: Path, capsys: pytest.CaptureFixture[str], day: str) -> None:
    with pytest.raises(SystemExit) as caught:
        log(database, "--from", day)
    assert caught.value.code == 2
    assert f"{day!a} is neither a day" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--from", "2026-11-25", "--to", "2026-11-24"],
        ["--out", "x.txt"],
        ["--verify", "--from", "2026-11-24"],
        ["--verify", "--format", "csv"],
        ["--format", "odt"],
    ],
)
def test_wrong_usage_is_exit_2(database: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        log(database, *arguments)
    assert caught.value.code == 2


def test_table(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert log(database) == 0
    said = capsys.readouterr().out
    assert "Zoë 👩‍🔬, [b]" in said and FORMULA in said and "2026-11-24 00:00:00" in said and "not set" in said and "4 punches" in said


def test_csv_is_read_back_and_runs_no_formula(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert log(database, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))
    assert list(rows[0]) == [*COLUMNS, "local_time"]
    assert (rows[0]["name"], rows[0]["code"], rows[0]["device"]) == ("'" + FORMULA, "'+49", "'-door")
    assert (rows[1]["name"], rows[1]["lead"], rows[1]["local_time"]) == ("Zoë 👩‍🔬, [b]", "-0.05", "2026-11-24 00:00:00")
    assert all(not cell.startswith(("=", "+", "@")) for row in rows for cell in row.values())


def test_xlsx_is_read_back(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "log.xlsx"
    out.write_text("older")
    assert log(database, "--format", "xlsx", "--out", str(out)) == 0
    assert "4 punches written" in capsys.readouterr().out
    sheet = openpyxl.load_workbook(out).active
    header, *rows = sheet.iter_rows(values_only=True)
    assert list(header) == [*COLUMNS, "local_time"]
    assert list(rows[1]) == [2, 2, "Zoë 👩‍🔬, [b]", "E2", "2026-11-23T23:00:00.000Z", "in", "face", 0.61, -0.05, 0.42, False, "-door", datetime(2026, 11, 24)]
    assert sheet["C2"].data_type == "s" and sheet["C2"].value == FORMULA  # a text, not a formula
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["clockface.db", "log.xlsx"]


def test_xlsx_is_not_printed_on_a_terminal(database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with pytest.raises(SystemExit):
        log(database, "--format", "xlsx")
    assert "give --out FILE" in capsys.readouterr().err


def test_xlsx_into_a_pipe(database: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert log(database, "--format", "xlsx") == 0
    assert openpyxl.load_workbook(io.BytesIO(capfdbinary.readouterr().out)).active.max_row == 5


@pytest.mark.parametrize("out", ["none/log.csv", ".", "x" * 300])
def test_a_file_that_cannot_be_written(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str) -> None:
    before = sorted(os.listdir(tmp_path))
    assert log(database, "--format", "csv", "--out", str(tmp_path / out)) == 1
    assert "give another file to --out" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == before


def test_a_missing_database_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert log(tmp_path / "none.db") == 1
    assert "does not exist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_verify_a_whole_log(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert log(database, "--verify") == 0
    assert capsys.readouterr().out.startswith("punches: 4 rows, whole; head ")


def test_verify_finds_a_break(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(database)) as raw, raw:
        raw.execute("DROP TRIGGER punches_no_update")
        raw.execute("UPDATE punches SET occurred_at = occurred_at - 600000 WHERE id = 2")
    assert log(database, "--verify") == 1
    assert "BROKEN: punch 2 was changed after it was recorded" in capsys.readouterr().out
    assert log(database, "--verify", "--json") == 1
    punches, *others = json.loads(capsys.readouterr().out)
    assert (punches["ok"], punches["first_bad"], punches["count"]) == (False, 2, 4)
    assert all(report["ok"] for report in others)


def test_who_has_read_enough_ends_the_command_quietly() -> None:
    """As `| head` does."""
    with subprocess.Popen([sys.executable, "-m", "device", "enroll", "--wording"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
