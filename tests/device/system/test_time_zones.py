"""The wall clock of a zone: what it shows, and times that it skips or repeats."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone

import pytest

from device.system.time_zones import LocalClock, RepeatedTime, SkippedTime, same_times, zone
from tests.refused import refused

BERLIN, LORD_HOWE, BEIRUT = (LocalClock(zone(name)) for name in ("Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut"))
WINTER, SUMMER = date(2026, 1, 15), date(2026, 7, 15)


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def test_a_time_is_written_with_its_zone() -> None:
    assert BERLIN.named(utc("2026-11-24T07:31:05")) == "2026-11-24 08:31 CET"
    assert BERLIN.said(utc("2026-07-24T06:31:05")) == "2026-07-24 08:31:05" and BERLIN.abbreviation(utc("2026-07-24T06:31")) == "CEST"
    assert LocalClock(zone("Asia/Kathmandu")).named(0.0) == "1970-01-01 05:30 UTC+0530"  # 5:45 ahead since 1986 only
    assert BERLIN.day(utc("2026-11-24T23:30")) == date(2026, 11, 25)


def test_a_plain_time_is_one_moment() -> None:
    for day, ahead in ((WINTER, 1), (SUMMER, 2)):
        assert BERLIN.moment(day, time(8, 31)) == utc(f"{day}T{8 - ahead:02}:31")
        assert BERLIN.mark(BERLIN.moment(day, time(8, 31))) == ""


@pytest.mark.parametrize(
    ("clock", "day", "at", "nearest"),
    [
        (BERLIN, date(2026, 3, 29), time(2, 30), ("01:59", "03:00")),
        (BERLIN, date(2026, 3, 29), time(2), ("01:59", "03:00")),
        (BERLIN, date(2026, 3, 29), time(2, 59), ("01:59", "03:00")),
        (LORD_HOWE, date(2026, 10, 4), time(2, 10), ("01:59", "02:30")),  # by half an hour
        (BEIRUT, date(2026, 3, 29), time(0, 15), ("23:59", "01:00")),  # at midnight
    ],
)
def test_a_time_that_the_clocks_skip_is_refused_with_the_nearest_two(clock: LocalClock, day: date, at: time, nearest: tuple[str, str]) -> None:
    with refused("timesheet.skipped_time", *nearest, clock.name) as caught:
        clock.moment(day, at)
    assert isinstance(caught.value, SkippedTime) and (caught.value.before, caught.value.after) == nearest


def test_the_times_beside_a_gap_exist() -> None:
    assert BERLIN.moment(date(2026, 3, 29), time(3)) - BERLIN.moment(date(2026, 3, 29), time(1, 59)) == 60


@pytest.mark.parametrize(("clock", "day", "apart"), [(BERLIN, date(2026, 10, 25), 3600), (LORD_HOWE, date(2026, 4, 5), 1800)])
def test_a_time_that_comes_twice_is_asked_about(clock: LocalClock, day: date, apart: int) -> None:
    at = time(2) if clock is BERLIN else time(1, 45)
    with refused("timesheet.repeated_time", str(day), clock.name) as caught:
        clock.moment(day, at)
    assert isinstance(caught.value, RepeatedTime)
    first, second = clock.moment(day, at, second=False), clock.moment(day, at, second=True)
    assert second - first == apart and clock.said(first) == clock.said(second)
    assert (clock.mark(first), clock.mark(second)) == (caught.value.first, caught.value.second)


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25), date(2026, 6, 1)])
def test_each_time_of_a_night_is_one_moment_or_refused_as_a_slow_count_says(day: date) -> None:
    """The oracle walks through real time and notes what the clock shows."""
    start = datetime.combine(day, time(), timezone.utc) - timedelta(days=1)
    shown: dict[datetime, list[float]] = {}
    for minute in range(0, 3 * 1440, 10):
        moment = start + timedelta(minutes=minute)
        shown.setdefault(moment.astimezone(BERLIN.zone).replace(tzinfo=None, fold=0), []).append(moment.timestamp())
    for minute in range(0, 1440, 10):
        at = time(minute // 60, minute % 60)
        moments = shown.get(datetime.combine(day, at), [])
        if len(moments) == 1:
            assert BERLIN.moment(day, at) == moments[0]
        else:
            with refused("timesheet.skipped_time" if not moments else "timesheet.repeated_time"):
                BERLIN.moment(day, at)


def test_zones_that_show_the_same_time_all_year_are_the_same() -> None:
    now = utc("2026-11-24T08:00")
    assert same_times("Europe/Berlin", "Europe/Paris", now) and same_times("UTC", "Etc/GMT", now)
    assert not same_times("Europe/Berlin", "Africa/Lagos", now)  # the same in winter alone
    assert not same_times("UTC", "Asia/Tokyo", now)
    with refused("timesheet.time_zone", "Mars"):
        zone("Mars/Olympus")
