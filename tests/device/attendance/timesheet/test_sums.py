"""Premiums and overtime against a slow count of single minutes, and against days computed by hand."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.attendance.timesheet.accounting import Accounting, from_texts
from device.attendance.timesheet.buckets import Buckets, added, told_apart
from device.attendance.timesheet.periods import freeze
from device.attendance.timesheet.sheet import Sheet, sheet
from device.attendance.timesheet.shifts import Assignment, Schedule, Shift
from device.attendance.timesheet.worksite import Site, month_days
from device.storage.effective import Entry

ZONE, HOLIDAY = ZoneInfo("Europe/Berlin"), date(2026, 11, 1)
DAYS = [date(2026, 10, 19) + timedelta(days=offset) for offset in range(28)]  # Monday to Sunday; the clocks go back on 25 October
ALL = ("night", "saturday", "sunday", "holiday")
PLAN = Schedule([Assignment(date(2026, 9, 1), (Shift("office", time(8), time(16)),), DAYS[0])], {HOLIDAY: "All Saints"})


def site_with(**rules: object) -> Site:
    return Site("Europe/Berlin", accounting=Accounting(**rules))  # type: ignore[arg-type]


def worked(stays: list[tuple[int, int]], site: Site, days: list[date] = DAYS) -> Sheet:
    """(minutes after the stay before, minutes of work), the first from the begin of the first day."""
    moment, entries = site.begins(DAYS[0]), []
    for gap, length in stays:
        entries += [Entry((moment + gap) * 60.0, "in"), Entry((moment + gap + length) * 60.0, "out")]
        moment += gap + length
    return sheet(1, entries, days, PLAN, site, site.begins(date(2027, 1, 1)))


def on(day: date, start: str, hours: int, site: Site) -> list[Entry]:
    moment = datetime.combine(day, time.fromisoformat(start), ZONE).timestamp()
    return [Entry(moment, "in"), Entry(moment + hours * 3600, "out")]


STAYS = st.lists(st.tuples(st.integers(200, 40 * 60), st.integers(20, 14 * 60)), max_size=20)


@given(STAYS, st.sets(st.sampled_from(ALL)), st.sampled_from([(time(23), time(6)), (time(0), time(5)), (time(20), time(20))]))
@settings(max_examples=40, deadline=None)
def test_premiums_are_those_of_each_minute(stays: list[tuple[int, int]], names: set[str], night: tuple[time, time]) -> None:
    found = worked(stays, site_with(premiums=tuple(names), night_from=night[0], night_to=night[1]))
    for day in found.days:
        counted = Counter[str]()
        for span in (span for span in day.spans if span.kind == "work"):
            for minute in range(span.start, span.end):
                local = datetime.fromtimestamp(minute * 60, ZONE)
                at = local.time()
                if (night[0] <= at < night[1]) if night[0] < night[1] else (at >= night[0] or at < night[1]):
                    counted["night"] += 1
                kinds = [("holiday", local.date() == HOLIDAY), ("sunday", local.weekday() == 6), ("saturday", local.weekday() == 5)]
                counted.update(next(([name] for name, applies in kinds if applies and name in names), []))
        assert day.buckets == Buckets(**{name: min(counted[name], day.worked_minutes) for name in names})


@given(STAYS, *[st.one_of(st.none(), st.integers(60, high)) for high in (10 * 60, 30 * 60, 90 * 60)], st.integers(1, 28))
@settings(max_examples=40, deadline=None)
def test_each_minute_is_overtime_of_one_kind_at_most(stays: list[tuple[int, int]], by_day, by_week, by_period, first) -> None:  # type: ignore[no-untyped-def]
    rules = Accounting(period_day=first, overtime_day=by_day, overtime_week=by_week, overtime_period=by_period)
    site = Site("Europe/Berlin", accounting=rules)
    whole = worked(stays, site)
    week, period, plain = Counter[date](), Counter[date](), Counter[tuple[date, str]]()
    for day in whole.days:
        for number in range(day.worked_minutes):
            if by_day is not None and number >= by_day:
                plain[day.day, "day"] += 1
            elif by_week is not None and week[rules.first_of_week(day.day)] >= by_week:
                plain[day.day, "week"] += 1
            else:
                week[rules.first_of_week(day.day)] += 1
                if by_period is not None and period[rules.first_of_period(day.day)] >= by_period:
                    plain[day.day, "period"] += 1
                else:
                    period[rules.first_of_period(day.day)] += 1
        expected = [plain[day.day, kind] for kind in ("day", "week", "period")]
        assert [day.buckets.overtime_day, day.buckets.overtime_week, day.buckets.overtime_period] == expected
    parts = [worked(stays, site, [day]) for day in DAYS[9:16]]
    assert [part.days[0] for part in parts] == list(whole.days[9:16])  # a day alone has the same overtime
    assert added(part.totals.buckets for part in parts) == added(day.buckets for day in whole.days[9:16])


def test_a_locked_week_keeps_its_overtime() -> None:
    """Monday to Wednesday are changed after a period from Thursday on is locked: the overtime of Thursday stays, and Friday follows from it."""
    site = site_with(overtime_week=24 * 60, premiums=("night",))
    monday = DAYS[0]
    entries = [entry for offset in range(5) for entry in on(monday + timedelta(days=offset), "08:00", 8, site)]
    as_of = site.begins(date(2027, 1, 1))
    before = sheet(1, entries, DAYS[:7], PLAN, site, as_of)
    assert [day.buckets.overtime_week for day in before.days] == [0, 0, 0, 480, 480, 0, 0]
    period = freeze(entries, DAYS[3], DAYS[3], PLAN, site, as_of, ())
    after = sheet(1, entries[4:], DAYS[:7], PLAN, site, as_of, [period])
    assert [day.buckets.overtime_week for day in after.days] == [0, 0, 0, 480, 0, 0, 0]
    assert after.days[3] == before.days[3]


@pytest.mark.parametrize(
    ("start", "hours", "day", "expected"),
    [
        ("22:00", 8, "2026-10-31", "night 7:00, Saturday 2:00, holiday 6:00"),  # into a holiday that is a Sunday: holiday alone
        ("22:00", 8, "2026-11-07", "night 7:00, Saturday 2:00, Sunday 6:00"),
        ("22:00", 8, "2026-10-24", "night 7:00, Saturday 2:00, Sunday 6:00"),  # the clocks go back: the stay ends at 05:00
        ("10:00", 2, "2026-11-03", ""),
    ],
)
def test_by_hand(start: str, hours: int, day: str, expected: str) -> None:
    site = site_with(premiums=ALL)
    found = sheet(1, on(date.fromisoformat(day), start, hours, site), [date.fromisoformat(day)], PLAN, site, site.begins(date(2027, 1, 1)))
    assert ", ".join(f"{words} {minutes // 60}:{minutes % 60:02}" for words, minutes in told_apart(found.days[0].buckets)) == expected


def test_a_deducted_break_is_taken_off_what_is_in_no_bucket_first() -> None:
    schedule = Schedule([Assignment(date(2026, 9, 1), (Shift("night", time(22), time(6), 60),), DAYS[0])])
    site, day = site_with(premiums=("night",), night_from=time(20), night_to=time(6)), date(2026, 11, 3)
    found = sheet(1, on(day, "22:00", 8, site), [day], schedule, site, site.begins(date(2027, 1, 1))).days[0]
    assert (found.worked_minutes, found.buckets.night) == (420, 420)
    later = sheet(1, on(day, "18:00", 8, site), [day], schedule, site, site.begins(date(2027, 1, 1))).days[0]
    assert (later.worked_minutes, later.buckets.night) == (420, 360)


def test_a_little_overtime_is_none() -> None:
    day = date(2026, 11, 3)
    for minutes, counts in ((10, 0), (14, 0), (15, 15), (-10, -10)):
        site = site_with(overtime_least=15)
        entries = [Entry(site.moment(day, time(8)) * 60.0, "in"), Entry((site.moment(day, time(16)) + minutes) * 60.0, "out")]
        found = sheet(1, entries, [day], PLAN, site, site.begins(date(2027, 1, 1))).days[0]
        assert (found.balance_minutes, found.overtime_minutes) == (counts, max(0, counts))


def test_a_whole_month_is_conserved() -> None:
    site = site_with(premiums=ALL, overtime_day=480, overtime_week=2400)
    stays = [(14 * 60, 10 * 60)] * 20
    days = month_days("2026-11")
    whole = worked(stays, site, days).totals.buckets
    assert whole == added(worked(stays, site, [day]).totals.buckets for day in days)


TABLE = Path(__file__).parents[1] / "oracle" / "sums.csv"
PAGE = Path(__file__).resolve().parents[4] / "docs" / "timesheets.md"


def situations() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="|"))


@pytest.mark.parametrize("cells", situations(), ids=lambda cells: f"{cells['source']}: {cells['test']}")
def test_days_are_told_apart_as_the_oracle_has_them(cells: dict[str, str]) -> None:
    rules = dict(part.split("=") for part in cells["rules"].split())
    site = Site("UTC", accounting=from_texts(Accounting(), rules))
    days, entries = [], []
    for offset, stays in enumerate(cells["days"].split("; ")):
        days.append(date.fromisoformat(cells["first"]) + timedelta(days=offset))
        for stay in stays.split():
            start, end = (site.moment(days[-1], time.fromisoformat(clock)) for clock in stay.split("-"))
            entries += [Entry(start * 60.0, "in"), Entry((end + 1440 * (end < start)) * 60.0, "out")]
    found = sheet(1, entries, days, Schedule([], {date(2026, 12, 25): "Christmas"}), site, site.begins(date(2027, 1, 1)))
    texts = [", ".join(f"{words} {minutes // 60}:{minutes % 60:02}" for words, minutes in told_apart(day.buckets)) for day in found.days]
    assert texts == cells["expected"].split("; ")


def test_every_difference_of_sums_is_in_the_documentation() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"| {cells['source']} | {cells['test']} | {cells['theirs']} | {cells['why']} |" in text for cells in situations() if cells["theirs"])
