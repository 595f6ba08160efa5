"""`python -m device log import`, through the command line's own entry."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from device.__main__ import main
from device.storage.store import Store

LOG = "code,time,direction\nE1,2026-11-23T08:00,in\nE1,2026-11-23T17:00,out\nE9,2026-11-23T08:00,in\n"


@pytest.fixture
def staff(tmp_path: Path) -> list[str]:
    database = tmp_path / "clockface.db"
    with Store.open(database) as store:
        store.add_person("Ann", "E1")
    (tmp_path / "log.csv").write_text(LOG, encoding="utf-8")
    return [str(tmp_path / "log.csv"), "--db", str(database)]


def punches(staff: list[str]) -> int:
    with Store.open(Path(staff[-1])) as store:
        return len(store.punches())


def test_check_writes_nothing_and_the_import_tells_what_it_left_out(staff: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "import", *staff, "--check"]) == 1
    assert "2 imported, 1 unknown person; nothing was written" in capsys.readouterr().out and punches(staff) == 0
    assert main(["log", "import", *staff]) == 1
    said = capsys.readouterr()
    assert "line 4: E9 2026-11-23T08:00: unknown person" in said.out and "2 imported, 1 unknown person" in said.out and punches(staff) == 2
    assert "separated by ," in said.err


def test_whole_imports_all_or_nothing(staff: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "import", *staff, "--whole", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "import.problems" and punches(staff) == 0
    with Store.open(Path(staff[-1])) as store:
        store.add_person("Eve", "E9")
    assert main(["log", "import", *staff, "--whole"]) == 0 and punches(staff) == 3


def test_json_and_report(staff: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.csv"
    main(["log", "import", *staff, "--json", "--report", str(report)])
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["fates"]["imported"], said["fates"]["unknown"]) == (3, 2, 1)
    assert [(one["line"], one["fate"]) for one in said["told"]] == [(4, "unknown")]
    rows = list(csv.DictReader(report.read_text(encoding="utf-8").splitlines()))
    assert [row["fate"] for row in rows] == ["imported", "imported", "unknown person"] and report.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("wrong", [["import"], ["--check"], ["import", "log.csv", "--format", "csv"], ["import", "log.csv", "--verify"], ["export"]])
def test_wrong_usage(wrong: list[str], staff: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["log", *wrong, *staff[1:]])
    assert ended.value.code == 2


def test_the_log_still_prints(staff: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["log", "import", *staff])
    capsys.readouterr()
    assert main(["log", *staff[1:], "--json"]) == 0
    assert [row["method"] for row in json.loads(capsys.readouterr().out)] == ["imported"] * 2
