"""Times as exports write them, against what a clock on the wall says."""

from __future__ import annotations

from datetime import date, datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from device.attendance.imports.moments import Order, day, moment, order_of
from tests.refused import refused

BERLIN = ZoneInfo("Europe/Berlin")


def utc(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=timezone.utc).timestamp() * 1000)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-24T08:00", utc(2026, 11, 24, 7)),
        ("2026-11-24 08:00:05", utc(2026, 11, 24, 7, 0, 5)),
        ("2026-07-24 08:00", utc(2026, 7, 24, 6)),  # summer time
        ("2026-11-24T08:00:00Z", utc(2026, 11, 24, 8)),
        ("2026-11-24T08:00:00+05:45", utc(2026, 11, 24, 2, 15)),
        ("2026-11-24T08:00:00.250-03:00", utc(2026, 11, 24, 11) + 250),
        ("24.11.2026 08:00", utc(2026, 11, 24, 7)),
        ("3.2.2026 8:05", utc(2026, 2, 3, 7, 5)),
        ("24/11/26 08:00", utc(2026, 11, 24, 7)),
        ("11/24/2026 8:00:00 PM", utc(2026, 11, 24, 19)),
        ("11/24/2026 12:05 am", utc(2026, 11, 23, 23, 5)),
        ("24-Nov-26 8:00 AM", utc(2026, 11, 24, 7)),
        ("2026/11/24 08:00", utc(2026, 11, 24, 7)),
    ],
)
def test_a_time_is_read_as_a_person_reads_it(text: str, wanted: int) -> None:
    assert moment(text, BERLIN).ms == wanted and moment(text, BERLIN).remark == ""


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-11-24", "2026-02-30 08:00", "2026-11-24 25:00", "2026-11-24 08:60", "13:00 2026-11-24", "24/24/2026 08:00",
             "1999-01-01 00:00", "2026-11-24 13:00 PM", "2026-11-24 08:00 CET"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with refused("import.time"):
        moment(text, BERLIN)


@pytest.mark.parametrize(("order", "month"), [("day", 12), ("month", 2)])
def test_day_and_month_are_not_guessed(order: Order, month: int) -> None:
    with refused("import.order", "02/12/2026"):
        moment("02/12/2026 08:00", BERLIN)
    assert moment("02/12/2026 08:00", BERLIN, order).ms == utc(2026, month, 14 - month, 7)


def test_a_column_tells_the_order_of_all_its_days() -> None:
    assert order_of(["01/02/2026 08:00", "13/02/2026 08:00"]) == "day"
    assert order_of(["01/02/2026 08:00", "02/13/2026 08:00"]) == "month"
    assert order_of(["01/02/2026 08:00", "2026-02-13 08:00", "13.02.2026 08:00"]) is None
    with refused("import.time", "day first"):
        order_of(["13/02/2026 08:00", "02/13/2026 08:00"])


def test_times_that_the_clocks_skip_or_repeat_are_told() -> None:
    skipped, twice = moment("2026-03-29 02:30", BERLIN), moment("2026-10-25 02:30", BERLIN)
    assert (skipped.ms, twice.ms) == (utc(2026, 3, 29, 1, 30), utc(2026, 10, 25, 0, 30))
    assert "skipped" in skipped.remark and "03:30" in skipped.remark and "twice" in twice.remark
    assert moment("2026-10-25 02:30+01:00", BERLIN).remark == ""


def test_days() -> None:
    assert day("2026-11-24") == day("24.11.2026") == day("11/24/2026") == day("2026-11-24 00:00:00") == date(2026, 11, 24)
    with refused("import.time"):
        day("2026-11-24 08:00")
