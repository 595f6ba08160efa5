"""Calendar files in the layouts of public calendars: Google, hols.ca, Outlook, date-holidays, and rules for every year."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from device.attendance.imports.calendar_file import read
from tests.refused import refused

TODAY = date(2026, 11, 24)


def calendar(tmp_path: Path, *lines: str, encoding: str = "utf-8", ends: str = "\r\n") -> Path:
    file = tmp_path / "holidays.ics"
    file.write_bytes(ends.join(["BEGIN:VCALENDAR", "VERSION:2.0", *lines, "END:VCALENDAR", ""]).encode(encoding))
    return file


def event(*lines: str) -> list[str]:
    return ["BEGIN:VEVENT", *lines, "END:VEVENT"]


def days(file: Path, region: str = "") -> list[tuple[str, str]]:
    return [(one.day.isoformat() if one.day and not one.left_out else one.left_out or one.problem, one.name) for one in read(file, TODAY, region)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_a_calendar_of_google(tmp_path: Path, encoding: str) -> None:
    """As "Holidays in Germany" is written: the end is excluded, long lines are folded, the description says what kind of day it is."""
    file = calendar(
        tmp_path,
        "PRODID:-//Google Inc//Google Calendar 70.9054//EN", "X-WR-CALNAME:Holidays in Germany", "X-WR-TIMEZONE:UTC",
        *event("DTSTART;VALUE=DATE:20261225", "DTEND;VALUE=DATE:20261226", "DTSTAMP:20260507T050411Z", "UID:20261225_x@google.com", "CLASS:PUBLIC",
               "DESCRIPTION:Public holiday", "STATUS:CONFIRMED", "SUMMARY:Christmas Day", "TRANSP:TRANSPARENT"),
        *event("DTSTART;VALUE=DATE:20270510", "DTEND;VALUE=DATE:20270511", "SUMMARY:Mother's Day",
               "DESCRIPTION:Observance\\nTo hide observances\\, go to Google Calendar Setting", " s > Holidays in Germany"),
        *event("DTSTART;VALUE=DATE:20270815", "DTEND;VALUE=DATE:20270816", "DESCRIPTION:Public holiday in Bavaria\\, Saarland",
               "SUMMARY:Mariä Himmel", " fahrt"),
        encoding=encoding,
    )  # fmt: skip
    assert days(file)[0] == ("2026-12-25", "Christmas Day")
    assert [("observance" in days(file)[1][0]), ("Bavaria, Saarland" in days(file)[2][0])] == [True, True]
    assert days(file, "bavaria")[2] == ("2027-08-15", "Mariä Himmelfahrt")


def test_other_programs(tmp_path: Path) -> None:
    file = calendar(
        tmp_path,
        "PRODID:-//pcraig3//hols//EN",
        *event("UID:Cfek@hols.ca", "SUMMARY:Remembrance Day", "DTSTART;VALUE=DATE:20261111", "DTEND;VALUE=DATE:20261112",
               "DESCRIPTION:Observed by AB\\, BC\\, and fe", "\tderal industries."),
        *event("SUMMARY:A special day", "DTSTART;VALUE=DATE:20261226", "DTEND;VALUE=DATE:20261229", "DESCRIPTION:public - soo special"),
        *event("SUMMARY;LANGUAGE=de:Neujahr\\, ganztägig", "DTSTART;TZID=\"W. Europe; Standard: Time\":20270101T000000",
               "DTEND;TZID=\"W. Europe; Standard: Time\":20270102T000000", "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE",
               "BEGIN:VALARM", "DTSTART:19990101", "END:VALARM"),
        *event("SUMMARY:Red day", "DTSTART;VALUE=DATE:20270106"),
        *event("SUMMARY:Two days", "DTSTART;VALUE=DATE:20270201", "DURATION:P2D"),
        ends="\n",
    )  # fmt: skip
    assert days(file) == [
        ("2026-11-11", "Remembrance Day"), *[(f"2026-12-{day}", "A special day") for day in (26, 27, 28)], ("2027-01-01", "Neujahr, ganztägig"),
        ("2027-01-06", "Red day"), ("2027-02-01", "Two days"), ("2027-02-02", "Two days"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("start", "rule", "wanted"),
    [
        ("20250501", "FREQ=YEARLY", ["2025-05-01", *(f"{year}-05-01" for year in range(2026, 2032))]),
        ("20200501", "FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=1", [f"{year}-05-01" for year in range(2025, 2032)]),
        ("20200501", "FREQ=YEARLY;COUNT=7", ["2025-05-01", "2026-05-01"]),
        ("20200501", "FREQ=YEARLY;UNTIL=20270430", ["2025-05-01", "2026-05-01"]),
        ("20200501", "FREQ=YEARLY;UNTIL=20270501T000000Z;INTERVAL=2", ["2026-05-01"]),
        ("20240229", "FREQ=YEARLY", ["2028-02-29"]),
    ],
)
def test_rules_for_every_year(tmp_path: Path, start: str, rule: str, wanted: list[str]) -> None:
    file = calendar(tmp_path, *event("SUMMARY:Day", f"DTSTART;VALUE=DATE:{start}", f"RRULE:{rule}", "EXDATE;VALUE=DATE:20990501"))
    assert [day for day, _ in days(file)] == wanted


def test_a_day_that_a_rule_leaves_out(tmp_path: Path) -> None:
    file = calendar(tmp_path, *event("SUMMARY:Day", "DTSTART;VALUE=DATE:20260501", "RRULE:FREQ=YEARLY;COUNT=3", "EXDATE;VALUE=DATE:20270501,20290501"))
    assert [day for day, _ in days(file)] == ["2026-05-01", "2028-05-01"]


@pytest.mark.parametrize(
    "lines",
    [("DTSTART:20261225T080000Z",), ("DTSTART;VALUE=DATE:20261332",), ("DTEND;VALUE=DATE:20261226",),
     ("DTSTART;VALUE=DATE:20261225", "DTEND;VALUE=DATE:20270325"),
     ("DTSTART;VALUE=DATE:20261225", "DURATION:PT8H"), ("DTSTART;VALUE=DATE:20261126", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH"),
     ("DTSTART;VALUE=DATE:20261126", "RRULE:FREQ=MONTHLY"), ("DTSTART;VALUE=DATE:20261126", "RRULE:FREQ=YEARLY;BYMONTH=12")],
)  # fmt: skip
def test_events_that_cannot_be_read_are_told(tmp_path: Path, lines: tuple[str, ...]) -> None:
    [one] = read(calendar(tmp_path, *event("SUMMARY:Day", *lines)), TODAY)
    assert one.problem and one.day is None and one.line == 3


def test_a_cancelled_event_is_none(tmp_path: Path) -> None:
    [one] = read(calendar(tmp_path, *event("SUMMARY:Day", "DTSTART;VALUE=DATE:20261225", "STATUS:CANCELLED")), TODAY)
    assert one.left_out and not one.problem


def test_what_is_no_calendar(tmp_path: Path) -> None:
    file = tmp_path / "list.ics"
    file.write_text("day,name\n2026-12-25,Christmas\n", encoding="utf-8")
    with refused("import.calendar"):
        read(file, TODAY)
