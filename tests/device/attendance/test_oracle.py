"""Hours against what other systems' own tests expect, and against values computed by hand: oracle/situations.csv, one situation per row.

An empty cell is not compared; `also` has further columns of a timesheet, `column=value, column=value`. Where Clockface gives another value on
purpose, `theirs` has what the source expects and `why` the reason; docs/timesheets.md lists the same.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from device.attendance.timesheet.sheet import hours, row, sheet
from tests.device.attendance.situations import entries_of, schedule_of, site_of

TABLE = Path(__file__).with_name("oracle") / "situations.csv"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "timesheets.md"
HOURS = {name: f"{name}_minutes" for name in ("worked", "break", "due", "late", "early", "balance")}


def situations() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="|"))


@pytest.mark.parametrize("cells", situations(), ids=lambda cells: f"{cells['source']}: {cells['test']}")
def test_a_day_has_the_hours_of_the_oracle(cells: dict[str, str]) -> None:
    site, day = site_of(cells["site"]), date.fromisoformat(cells["day"])
    entries = entries_of(cells["punches"], day, site)
    found = sheet(1, entries, [day], schedule_of(cells["plan"], day), site, site.begins(day + timedelta(days=6))).days[0]
    computed = row(1, "Ann", None, found)
    shown = {name: hours(computed[key]) for name, key in HOURS.items() if cells[name]}
    assert shown == {name: cells[name] for name in HOURS if cells[name]}
    also = dict(re.findall(r"(\w+)=([^,]*)", cells["also"] or ""))
    assert {name: str(computed[name]) for name in also} == also
    assert (computed["missing"], computed["flags"], computed["corrected"]) == (cells["missing"], cells["flags"], cells["corrected"] == "yes")


def test_the_oracle_has_rows_of_each_source() -> None:
    counted = Counter(cells["source"] for cells in situations())
    assert set(counted) == {"Frappe HR", "Odoo", "TimeTrex", "Kimai", "by hand"}
    assert sum(count for source, count in counted.items() if source != "by hand") >= 80


def test_every_difference_is_in_the_documentation() -> None:
    """docs/timesheets.md has a table of what differs on purpose; it and the oracle name the same."""
    table = PAGE.read_text(encoding="utf-8").partition("## Where others count differently")[2].partition("\n## ")[0]
    documented = {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in re.findall(r"^\| .*\|$", table, re.M)[1:]}
    assert documented == {(cells["source"], cells["test"], cells["theirs"], cells["why"]) for cells in situations() if cells["theirs"]}
