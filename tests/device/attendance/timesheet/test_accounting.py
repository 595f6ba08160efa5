"""Pay periods: they share out the calendar, and hours are the same over any of them."""

from __future__ import annotations

from datetime import date, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.attendance.planning import site_from_json, site_json
from device.attendance.timesheet.accounting import Accounting, beside, from_texts, hours_from, named
from device.attendance.timesheet.sheet import sheet
from device.attendance.timesheet.shifts import Assignment, Schedule, Shift
from device.attendance.timesheet.worksite import Site, month_days
from device.storage.effective import Entry
from tests.refused import refused

ONE_DAY = timedelta(days=1)
RULES = st.builds(Accounting, st.sampled_from(["month", "week", "fortnight"]), st.integers(1, 28), st.dates(date(2020, 1, 1), date(2030, 1, 1)))
DAYS = st.dates(date(2024, 1, 1), date(2028, 1, 1))


@pytest.mark.parametrize(
    ("rules", "day", "first", "last"),
    [
        (Accounting(), "2026-11-24", "2026-11-01", "2026-11-30"),
        (Accounting("month", 26), "2026-11-24", "2026-10-26", "2026-11-25"),
        (Accounting("month", 26), "2026-11-26", "2026-11-26", "2026-12-25"),
        (Accounting("month", 28), "2027-03-01", "2027-02-28", "2027-03-27"),
        (Accounting("week"), "2026-11-24", "2026-11-23", "2026-11-29"),
        (Accounting("week", period_anchor=date(2026, 11, 1)), "2026-11-24", "2026-11-22", "2026-11-28"),  # weeks begin on Sunday
        (Accounting("fortnight", period_anchor=date(2026, 11, 2)), "2026-11-24", "2026-11-16", "2026-11-29"),
        (Accounting("fortnight", period_anchor=date(2027, 1, 4)), "2026-11-24", "2026-11-23", "2026-12-06"),
    ],
)
def test_the_period_of_a_day(rules: Accounting, day: str, first: str, last: str) -> None:
    days = rules.period_of(date.fromisoformat(day))
    assert (str(days[0]), str(days[-1])) == (first, last)


@given(RULES, DAYS)
def test_periods_share_out_the_calendar(rules: Accounting, day: date) -> None:
    days = rules.period_of(day)
    assert day in days and all(rules.period_of(other) == days for other in (days[0], days[-1]))
    assert rules.period_of(days[0] - ONE_DAY)[-1] == days[0] - ONE_DAY and rules.period_of(days[-1] + ONE_DAY)[0] == days[-1] + ONE_DAY
    assert len(days) in {"month": (28, 29, 30, 31), "week": (7,), "fortnight": (14,)}[rules.period]


@given(RULES, DAYS, st.integers(0, 365))
def test_a_text_names_the_days(rules: Accounting, day: date, more: int) -> None:
    for days in (rules.period_of(day), [day + timedelta(days=offset) for offset in range(more + 1)]):
        assert rules.days(named(days, rules)) == days
        before, after = (rules.days(text) for text in beside(days, rules))
        assert before[-1] == days[0] - ONE_DAY and after[0] == days[-1] + ONE_DAY


PUNCHES = st.lists(st.tuples(st.integers(1, 40 * 60), st.sampled_from(["auto", "in", "out"])), max_size=40)


@given(RULES, PUNCHES)
@settings(max_examples=40, deadline=None)
def test_hours_are_the_same_over_pay_periods(rules: Accounting, punches: list[tuple[int, str]]) -> None:
    site, days = Site("Europe/Berlin", accounting=rules), [*month_days("2026-10"), *month_days("2026-11")]
    moment, entries = site.begins(days[0]), []
    for gap, direction in punches:
        moment += gap
        entries.append(Entry(moment * 60.0, direction))  # type: ignore[arg-type]
    plan = Schedule([Assignment(days[0], (Shift("office", time(8), time(17), 60), None), days[0])])
    as_of = site.begins(date(2027, 2, 1))
    whole = sheet(1, entries, days, plan, site, as_of)
    parts, day = [], days[0]
    while day <= days[-1]:
        period = [one for one in rules.period_of(day) if days[0] <= one <= days[-1]]
        parts.append(sheet(1, entries, period, plan, site, as_of))
        day = period[-1] + ONE_DAY
    assert tuple(day for part in parts for day in part.days) == whole.days
    assert sum(part.totals.worked for part in parts) == whole.totals.worked and sum(part.totals.balance for part in parts) == whole.totals.balance


def test_rules_come_back_from_the_database() -> None:
    site = Site("Europe/Berlin", accounting=from_texts(Accounting(), {"period": "fortnight", "period_anchor": "2026-11-02"}))
    assert site_from_json(site_json(site)) == site and site.accounting.period_anchor == date(2026, 11, 2)
    old = '{"zone": "UTC", "day_start": "00:00", "minimum_breaks": []}'
    assert site_from_json(old).accounting == Accounting()


@pytest.mark.parametrize(
    ("texts", "code", "said"),
    [
        ({"period": "year"}, "timesheet.site", "one of month, week, fortnight"),
        ({"period_day": "29"}, "timesheet.site", "1 to 28"),
        ({"period_day": "x"}, "timesheet.text", "whole number"),
        ({"period_anchor": "monday"}, "timesheet.text", "is not a day"),
    ],
)
def test_mistakes(texts: dict[str, str], code: str, said: str) -> None:
    with refused(code, said):
        from_texts(Accounting(), texts)
    with refused("timesheet.text", "1 to 366 days"):
        Accounting().days("2026-11-24..2026-11-01")


@pytest.mark.parametrize(("text", "minutes"), [("40:00", 2400), ("8", 480), ("7.5", 450), ("7,5", 450), ("0:05", 5), (" 7.25 ", 435), ("", None), (" ", None)])
def test_durations_as_people_type_them(text: str, minutes: int | None) -> None:
    assert hours_from(text) == minutes


@pytest.mark.parametrize("text", ["8:60", "8:5", "-1", "7.5.5", "7h", ":30", "12345", "7,", "\u0667"])
def test_what_is_no_duration(text: str) -> None:
    with refused("timesheet.text", "40:00"):
        hours_from(text)
