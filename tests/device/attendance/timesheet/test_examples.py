"""The worked examples in docs/timesheets.md: each row of the tables is computed again."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from pathlib import Path

import pytest

from device.attendance.timesheet.sheet import hours, row, sheet
from device.attendance.timesheet.worksite import Site
from device.storage.effective import Correction, effective
from tests.device.attendance.situations import entries_of, schedule_of, site_of

PAGE = Path(__file__).resolve().parents[4] / "docs" / "timesheets.md"


@dataclass(frozen=True)
class Example:
    site: Site
    cells: dict[str, str]


def examples() -> list[Example]:
    site, header, found = Site(), list[str](), list[Example]()
    for line in PAGE.read_text(encoding="utf-8").partition("## Worked examples")[2].splitlines():
        if line.startswith("### "):
            site, header = site_of(line.removeprefix("### ").replace("days start at", "start")), []
        elif line.startswith("|") and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if header:
                found.append(Example(site, dict(zip(header, cells, strict=True))))
            header = header or cells
    return found


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.cells["case"])
def test_the_timesheet_matches_the_example(example: Example) -> None:
    cells, site, day = example.cells, example.site, date.fromisoformat(example.cells["day"])
    entries = entries_of(cells["punches"], day, site)
    result = sheet(7, entries, [day], schedule_of(cells["shift"], day), site, as_of=site.begins(day + timedelta(days=5))).days[0]
    computed = row(7, "Ann", None, result)
    shown = {"worked": "worked_minutes", "break": "break_minutes", "late": "late_minutes", "early": "early_minutes", "balance": "balance_minutes"}
    assert {**{name: hours(computed[key]) for name, key in shown.items()}, "missing": computed["missing"]} == {key: cells[key] for key in (*shown, "missing")}


def test_every_row_is_read() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| .* \| \d{4}-", line)]
    assert len(examples()) == len(rows) > 55


def test_nothing_is_missing_from_a_stay_that_is_not_over() -> None:
    site, day = Site("Europe/Berlin"), date(2026, 11, 24)
    entries = entries_of("in 08:10", day, site)
    plan = schedule_of("08:00-16:30 break 30", day)
    now = sheet(1, entries, [day], plan, site, as_of=site.moment(day, time(12))).days[0]
    assert (now.state, now.faults, now.late_minutes, now.over, now.balance_minutes) == ("in", (), 10, False, 0)
    later = sheet(1, entries, [day], plan, site, as_of=site.moment(day + timedelta(days=1), time(0, 11))).days[0]
    assert (later.faults, later.over, later.balance_minutes) == (("missing out",), True, -480)


def test_corrections_of_an_added_punch() -> None:
    added = Correction(1, None, None, 600.0, "out")
    moved = Correction(2, None, 1, 660.0, "out")
    assert [entry.occurred_at for entry in effective([], [added, moved])] == [660.0]
    assert effective([], [added, moved, replace(moved, id=3, occurred_at=None, direction=None)]) == []
