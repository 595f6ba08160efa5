"""Holidays from a calendar file (.ics, RFC 5545): all-day events, each day of them, as public calendars write them.

Of recurrence rules only those that name the same date every year are followed (FREQ=YEARLY with INTERVAL, COUNT, UNTIL, and BYMONTH and BYMONTHDAY of the
event's own date), YEARS_AHEAD years beyond today; another rule is a problem of that event. Calendars of Google say in the description whether a day is a
public holiday, of which region, or an observance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from device.attendance.imports.moments import ImportRefused
from device.contract import phrase
from device.system.table_file import decoded

MOST_BYTES = 5_000_000
YEARS_AHEAD = 5
MOST_DAYS = 31  # of one event; a longer one is no holiday
ALLOWED = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "WKST"}


@dataclass(frozen=True)
class CalendarDay:
    """One day of the calendar, or one event that cannot be a holiday."""

    line: int  # of the event, from 1
    name: str
    day: date | None = None
    problem: str = ""  # why it cannot be read
    left_out: str = ""  # why it is no holiday of this site


@dataclass
class _Event:
    line: int
    values: dict[str, tuple[str, str]] = field(default_factory=dict)  # property -> its parameters and value
    without: list[str] = field(default_factory=list)  # EXDATE

    def text(self, name: str) -> str:
        value = self.values.get(name, ("", ""))[1]
        return re.sub(r"\\(.)", lambda found: "\n" if found[1] in "nN" else found[1], value).strip()


def read(path: Path, today: date, region: str = "") -> list[CalendarDay]:
    """The days of a calendar file, in its order.

    Args:
        region: take days that hold in this region alone, too; "" takes those of the whole country.

    Raises:
        ImportRefused: it is no calendar.
        ListError: it is no text.
    """
    data = path.read_bytes() if path.stat().st_size <= MOST_BYTES else b""
    lines = list(_lines(decoded(data)[0]))
    if not any(line.upper() == "BEGIN:VCALENDAR" for _, line in lines[:5]):
        raise ImportRefused(phrase("calendar.none", "this is no calendar (.ics): its first line must be BEGIN:VCALENDAR"), code="import.calendar")
    return [day for event in _events(lines) for day in _days(event, today, region)]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Unfolded lines with the number of their first one."""
    held: tuple[int, str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line[:1] in (" ", "\t") and held is not None:
            held = held[0], held[1] + line[1:]
        else:
            if held is not None:
                yield held
            held = number, line
    if held is not None:
        yield held


def _events(lines: list[tuple[int, str]]) -> Iterator[_Event]:
    inside: list[str] = []
    event = _Event(0)
    for number, line in lines:
        name, parameters, value = _parted(line)
        if name == "BEGIN":
            inside.append(value.upper())
            event = _Event(number) if inside[-1] == "VEVENT" else event
        elif name == "END" and inside:
            if inside.pop() == "VEVENT":
                yield event
        elif inside and inside[-1] == "VEVENT":
            if name == "EXDATE":
                event.without += value.split(",")
            event.values.setdefault(name, (parameters, value))


def _parted(line: str) -> tuple[str, str, str]:
    """DTSTART;VALUE=DATE:20261225 -> its name, parameters and value; a colon within quotes is none."""
    found = re.match(r'([\w-]+)((?:;[^":]*(?:"[^"]*"[^":]*)*)?):(.*)', line)
    return (found[1].upper(), found[2].upper(), found[3]) if found else (line.upper(), "", "")


def _days(event: _Event, today: date, region: str) -> Iterator[CalendarDay]:
    name = " ".join(event.text("SUMMARY").split()) or "holiday"
    if event.text("STATUS").upper() == "CANCELLED":
        yield CalendarDay(event.line, name, left_out=phrase("calendar.cancelled", "the calendar says it is cancelled"))
        return
    try:
        first, length = _span(event)
        starts = list(_starts(event, first, today))
    except ImportRefused as error:
        yield CalendarDay(event.line, name, problem=error.message)
        return
    out = _no_holiday(event.text("DESCRIPTION"), region)
    if out:
        yield CalendarDay(event.line, name, first, left_out=out)
        return
    for start in starts:
        yield from (CalendarDay(event.line, name, start + timedelta(days=offset)) for offset in range(length))


def _no_holiday(description: str, region: str) -> str:
    """As Google's calendars say it: "Observance", "Public holiday in Johor, Kedah"."""
    said = description.split("\n")[0]
    if said.casefold().startswith("observance"):
        return "the calendar calls it an observance, no public holiday"
    regions = said.partition(" in ")[2] if said.casefold().startswith("public holiday in ") else ""
    if regions and not (region and region.casefold() in regions.casefold()):
        return f"it holds in {regions} alone; name the region, or add it by hand"
    return ""


def _span(event: _Event) -> tuple[date, int]:
    """Its first day and number of days."""
    first, end = _day(event, "DTSTART"), event.values.get("DTEND")
    if end is not None:
        length = (_day(event, "DTEND") - first).days  # the end is excluded
    elif duration := re.fullmatch(r"P(\d{1,3})([DW])", event.text("DURATION") or "P1D"):
        length = int(duration[1]) * (7 if duration[2] == "W" else 1)
    else:
        raise ImportRefused(phrase("calendar.part", "it does not last whole days"))
    if not 0 <= length <= MOST_DAYS:
        raise ImportRefused(phrase("calendar.long", "it lasts {days} days, at most {most} are taken", days=length, most=MOST_DAYS))
    return first, max(length, 1)


def _day(event: _Event, name: str) -> date:
    """A day, or midnight of a day: Outlook writes all-day events so."""
    value = event.values.get(name, ("", ""))[1].strip()
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(T000000)?", value)
    if found is None:
        raise ImportRefused(phrase("calendar.hours", "it is not all day") if value else phrase("calendar.no_day", "it has no day"))
    return _date(value)


def _date(text: str) -> date:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError as error:
        raise ImportRefused(phrase("calendar.wrong_day", "{typed!r} is no day", typed=text[:20])) from error


def _starts(event: _Event, first: date, today: date) -> Iterator[date]:
    """The days on which it begins: once, or the same date of several years."""
    rule = dict(part.partition("=")[::2] for part in event.text("RRULE").upper().split(";") if part)
    without = {text.strip()[:8] for text in event.without}
    if not rule:
        yield first
        return
    own = {"BYMONTH": str(first.month), "BYMONTHDAY": str(first.day)}
    named = all(rule.get(name, value).lstrip("0") == value for name, value in own.items())
    if rule.get("FREQ") != "YEARLY" or set(rule) - ALLOWED or not named or not all(rule.get(name, "1").isdecimal() for name in ("INTERVAL", "COUNT")):
        english = "its rule {rule!r} is not the same date every year; write its days one by one"
        raise ImportRefused(phrase("calendar.rule", english, rule=event.text("RRULE")[:60]))
    step, count = max(1, int(rule.get("INTERVAL", "1"))), int(rule.get("COUNT", "1000"))
    last = _date(rule["UNTIL"]) if "UNTIL" in rule else date(today.year + YEARS_AHEAD, 12, 31)
    for year in range(first.year, min(last.year, today.year + YEARS_AHEAD) + 1, step):
        if (first.month, first.day) == (2, 29) and not _leap(year):
            continue
        start = first.replace(year=year)
        if count <= 0 or start > last:
            return
        count -= 1
        if start.strftime("%Y%m%d") not in without and year >= today.year - 1:
            yield start


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
