"""The worked examples in docs/timesheets.md: each row of the tables is computed again."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from device.attendance.timesheet.sheet import hours, row, sheet
from device.attendance.timesheet.shifts import Absence, Assignment, Schedule, Shift
from device.attendance.timesheet.worksite import Site
from device.storage.effective import Correction, Recorded, effective
from device.storage.records import Direction

PAGE = Path(__file__).resolve().parents[4] / "docs" / "timesheets.md"


@dataclass(frozen=True)
class Example:
    site: Site
    cells: dict[str, str]


def examples() -> list[Example]:
    site, header, found = Site(), list[str](), list[Example]()
    for line in PAGE.read_text(encoding="utf-8").partition("## Worked examples")[2].splitlines():
        if line.startswith("### "):
            site, header = site_of(line), []
        elif line.startswith("|") and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if header:
                found.append(Example(site, dict(zip(header, cells, strict=True))))
            header = header or cells
    return found


def site_of(heading: str) -> Site:
    zone, start = re.findall(r"### (\S+), days start at ([\d:]+)", heading)[0]
    rounding = re.findall(r"rounding (\d+)", heading)
    breaks = tuple((minutes(after), int(length)) for length, after in re.findall(r"(\d+) after ([\d:]+)", heading))
    return Site(zone, time.fromisoformat(start), rounding_minutes=int(rounding[0]) if rounding else 1, minimum_breaks=breaks)


def minutes(text: str) -> int:
    whole, part = text.split(":")
    return int(whole) * 60 + int(part)


def moment(words: list[str], day: date, site: Site) -> tuple[float, Direction]:
    """["next", "out", "06:00"] -> s since the epoch, direction."""
    shift = {"next": 1, "prev": -1}.get(words[0], 0)
    *_, direction, at = words
    clock = datetime.fromisoformat(f"{day + timedelta(days=shift)}T{at}")
    aware = clock if clock.tzinfo else clock.replace(tzinfo=ZoneInfo(site.zone))
    return aware.timestamp(), direction  # type: ignore[return-value]


def recorded(text: str, day: date, site: Site) -> tuple[list[Recorded], list[Correction]]:
    punches, *changes = text.split("; ")
    first = [Recorded(number, *moment(part.split(), day, site)) for number, part in enumerate(filter(None, punches.split(", ")), 1)]
    corrections = []
    for number, change in enumerate(changes, 1):
        words = change.split()
        if words[0] == "removes":
            corrections.append(Correction(number, int(words[1]), None, None, None))
        elif words[0] == "moves":
            corrections.append(Correction(number, int(words[1]), None, *moment(words[3:], day, site)))
        else:
            corrections.append(Correction(number, None, None, *moment(words[1:], day, site)))
    return first, corrections


def schedule(text: str, day: date) -> Schedule:
    """The shift on that day and on no other."""
    if text == "free":
        return Schedule()
    numbers = {word: int(value) for word, value in re.findall(r"(break|grace) (\d+)", text)}
    span = [time.fromisoformat(part) for part in re.findall(r"(\d\d:\d\d)-(\d\d:\d\d)", text)[0]] if "-" in text else [None, None]
    shift = Shift("early", *span, numbers.get("break", 0), minutes(text.split()[0]) if "flexible" in text else None, numbers.get("grace", 0))
    cycle = (shift, *[None] * 40)
    return Schedule(
        [Assignment(day, cycle, day)], {day: "holiday"} if "holiday" in text else {}, [Absence(day, day, "vacation")] if "vacation" in text else [],
    )  # fmt: skip


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.cells["case"])
def test_the_timesheet_matches_the_example(example: Example) -> None:
    cells, site, day = example.cells, example.site, date.fromisoformat(example.cells["day"])
    entries = effective(*recorded(cells["punches"], day, site))
    result = sheet(7, entries, [day], schedule(cells["shift"], day), site, as_of=site.begins(day + timedelta(days=5))).days[0]
    computed = row(7, "Ann", None, result, site)
    shown = {"worked": "worked_minutes", "break": "break_minutes", "late": "late_minutes", "early": "early_minutes", "balance": "balance_minutes"}
    assert {**{name: hours(computed[key]) for name, key in shown.items()}, "missing": computed["missing"]} == {key: cells[key] for key in (*shown, "missing")}


def test_every_row_is_read() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| .* \| \d{4}-", line)]
    assert len(examples()) == len(rows) > 55


def test_nothing_is_missing_from_a_stay_that_is_not_over() -> None:
    site, day = Site("Europe/Berlin"), date(2026, 11, 24)
    entries = effective(*recorded("in 08:10", day, site))
    plan = schedule("08:00-16:30 break 30", day)
    now = sheet(1, entries, [day], plan, site, as_of=site.moment(day, time(12))).days[0]
    assert (now.state, now.faults, now.late_minutes, now.over, now.balance_minutes) == ("in", (), 10, False, 0)
    later = sheet(1, entries, [day], plan, site, as_of=site.moment(day + timedelta(days=1), time(0, 11))).days[0]
    assert (later.faults, later.over, later.balance_minutes) == (("missing out",), True, -480)


def test_corrections_of_an_added_punch() -> None:
    added = Correction(1, None, None, 600.0, "out")
    moved = Correction(2, None, 1, 660.0, "out")
    assert [entry.occurred_at for entry in effective([], [added, moved])] == [660.0]
    assert effective([], [added, moved, replace(moved, id=3, occurred_at=None, direction=None)]) == []
