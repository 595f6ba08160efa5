"""Presence of one person at a moment, as a table of cases."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from device.attendance.timesheet.absences import Absence
from device.attendance.timesheet.presence import presence
from device.attendance.timesheet.sheet import sheet
from device.attendance.timesheet.shifts import Assignment, Schedule, Shift
from device.attendance.timesheet.worksite import Site
from device.storage.effective import Entry

SITE = Site("Europe/Berlin", longest_stay_hours=16)
YESTERDAY, TODAY = date(2026, 11, 24), date(2026, 11, 25)
DAY, NIGHT, FLEXIBLE = Shift("day", time(8), time(16), grace_minutes=5), Shift("night", time(22), time(6)), Shift("any", minutes=480)


def moment(text: str) -> int:
    """ "25 08:00" -> minutes since the epoch."""
    return int(datetime.strptime(f"2026-11-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp() // 60)


@pytest.mark.parametrize(
    ("shift", "punches", "now", "state", "first_in"),
    [
        (DAY, "", "25 07:00", "expected", None),
        (DAY, "", "25 08:05", "expected", None),  # within the grace
        (DAY, "", "25 08:06", "late", None),
        (DAY, "", "25 16:00", "absent", None),
        (DAY, "in 25 08:00", "25 09:00", "in", "25 08:00"),
        (DAY, "in 25 08:00, break_start 25 12:00", "25 12:10", "break", "25 08:00"),
        (DAY, "in 25 08:00, break_start 25 12:00, break_end 25 12:30", "25 13:00", "in", "25 08:00"),
        (DAY, "in 25 08:00, out 25 16:00", "25 17:00", "out", "25 08:00"),
        (DAY, "in 24 08:00", "25 07:00", "expected", None),  # a forgotten "out": longer than the longest stay
        (NIGHT, "in 24 22:00", "25 03:00", "in", "24 22:00"),  # since yesterday, over midnight
        (NIGHT, "in 24 22:00, out 25 06:00", "25 09:00", "expected", None),
        (NIGHT, "in 24 22:00, break_start 25 02:00", "25 02:10", "break", "24 22:00"),
        (FLEXIBLE, "", "25 23:00", "expected", None),  # no start that it could be late for
        (None, "", "25 12:00", "off", None),
        (None, "in 25 10:00", "25 12:00", "in", "25 10:00"),
    ],
)
def test_presence_at_a_moment(shift: Shift | None, punches: str, now: str, state: str, first_in: str | None) -> None:
    entries = [Entry(moment(text.split(" ", 1)[1]) * 60.0, text.split()[0], number) for number, text in enumerate(filter(None, punches.split(", ")), 1)]  # type: ignore[arg-type]
    schedule = Schedule([Assignment(date(2026, 11, 1), (shift,), date(2026, 11, 1))])
    days = sheet(1, entries, [YESTERDAY, TODAY], schedule, SITE, moment(now)).days
    found = presence(days[0], days[1], SITE, moment(now))
    assert (found.state, found.first_in) == (state, None if first_in is None else moment(first_in))


def test_a_planned_absence_is_away() -> None:
    schedule = Schedule([Assignment(date(2026, 11, 1), (DAY,), date(2026, 11, 1))], {}, [Absence(TODAY, TODAY, "sick")])
    days = sheet(1, [], [YESTERDAY, TODAY], schedule, SITE, moment("25 12:00")).days
    assert presence(days[0], days[1], SITE, moment("25 12:00")).state == "away"
