"""Invalid rules are refused by name; the board's own time zone is found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time
from pathlib import Path

import pytest

from device.attendance.planning import site_from_json, site_json
from device.attendance.timesheet.absences import Absence
from device.attendance.timesheet.shifts import Assignment, Schedule, Shift
from device.attendance.timesheet.worksite import Site, month_days
from device.system.time_zones import system_zone
from tests.refused import refused


@pytest.mark.parametrize(
    ("made", "code", "word"),
    [
        (lambda: Site("Mars/Olympus"), "time_zone", "'Mars/Olympus'"),
        (lambda: Site("../../etc/passwd"), "time_zone", "../../etc/passwd"),
        (lambda: Site(""), "time_zone", "''"),
        (lambda: Site(longest_stay_hours=0), "site", "longest_stay_hours expected 1 to 36, got 0"),
        (lambda: Site(repeat_minutes=61), "site", "repeat_minutes expected 0 to 60, got 61"),
        (lambda: Site(rounding_minutes=7), "site", "rounding_minutes expected one of 1, 5, 6, 10, 15, 30, got 7"),
        (lambda: Site(minimum_breaks=((540, 45), (360, 30))), "site", "minimum_breaks"),
        (lambda: Shift("x", time(8), time(8), minutes=60), "shift", "08:00:00 and 08:00:00"),
        (lambda: Shift("x", time(8), None), "shift", "08:00:00 and None"),
        (lambda: Shift("x", grace_minutes=1), "shift", "start and end"),
        (lambda: Shift("x", minutes=2000), "shift", "minutes expected 0 to 1440"),
        (lambda: Shift("x", time(8), time(16), grace_minutes=121), "shift", "grace_minutes expected 0 to 120"),
        (lambda: Absence(date(2026, 1, 2), date(2026, 1, 1), "sick"), "absence", "2026-01-01"),
        (lambda: Absence(date(2026, 1, 1), date(2026, 1, 1), "party"), "absence", "'party'"),
        (lambda: Assignment(date(2026, 1, 1), (None,) * 367, date(2026, 1, 1)), "cycle", "366"),
        (lambda: month_days("2026-13"), "text", "2026-13"),
    ],
)
def test_invalid_rules_are_refused(made: Callable[[], object], code: str, word: str) -> None:
    with refused(f"timesheet.{code}", word):
        made()


def test_the_zone_of_the_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    monkeypatch.delenv("TZ", raising=False)
    assert system_zone(link) == "Asia/Tokyo"
    assert system_zone(tmp_path / "none") == "UTC"
    monkeypatch.setenv("TZ", ":Europe/Berlin")
    assert system_zone(link) == "Europe/Berlin"
    monkeypatch.setenv("TZ", "CET-1CEST")  # a POSIX rule, not a name
    assert system_zone(link) == "Asia/Tokyo"


def test_rules_survive_the_way_through_json() -> None:
    site = Site("America/New_York", time(4, 30), 24, 5, 15, ((360, 30), (540, 45)), False)
    assert site_from_json(site_json(site)) == site


def test_rotating_crews_and_a_change_of_plan() -> None:
    """Two weeks early, two weeks late, crews two weeks apart; then, from given days on, another plan and no plan."""
    early, late = Shift("early", time(6), time(14)), Shift("late", time(14), time(22))
    cycle = ((early,) * 5 + (None, None)) * 2 + ((late,) * 5 + (None, None)) * 2
    monday, site = date(2026, 11, 2), Site()
    crews = [Schedule([Assignment(date(2026, 11, 1), cycle, anchor)]) for anchor in (monday, date(2026, 11, 16))]
    assert [crew.planned(date(2026, 11, 18), site).title for crew in crews] == ["late", "early"]
    assert [crew.planned(date(2026, 11, 1), site).kind for crew in crews] == ["free", "free"]  # the Sunday before the anchor
    assert crews[0].planned(date(2026, 10, 31), site).kind == "free"  # before `since`
    changed = Schedule([Assignment(monday, cycle, monday), Assignment(date(2026, 11, 4), (late,), monday), Assignment(date(2026, 11, 6), (), monday)])
    assert [changed.planned(date(2026, 11, day), site).title for day in (3, 4, 5, 6)] == ["early", "late", "late", ""]
