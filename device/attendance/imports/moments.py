"""Times as exports write them, in local time unless they say their offset."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Literal
from zoneinfo import ZoneInfo

from device.contract import ClockfaceError, phrase

Order = Literal["day", "month"]  # what the first of two numbers is, in 02/12/2026
DATE = r"(?:(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})|(\d{1,2})([-/. ])(\d{1,2}|[A-Za-z]{3,9})[-/. ](\d{4}|\d{2}))"
TIME = r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,6})\d*)?)?\s*([AaPp]\.?[Mm]\.?)?\s*(Z|UTC|[+-](?:0\d|1[0-4]):?[0-5]\d)?"
MOMENT = re.compile(f"{DATE}[T\\s]+{TIME}")
DAY = re.compile(f"{DATE}(?:[T\\s]+00:00(?::00)?)?")
MONTHS = {name: number for number, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)}
EARLIEST = 2000  # a year before that is no year of a punch


class ImportRefused(ClockfaceError):
    """A list cannot be imported; the message gives the reason."""

    code = "import"


class WrongTime(ClockfaceError):
    """A text is no time, or nobody can tell which."""

    code = "import.time"


@dataclass(frozen=True)
class Moment:
    """A time and what has to be said about it."""

    ms: int  # since the epoch, UTC
    remark: str = ""


def order_of(texts: Iterable[str]) -> Order | None:
    """Whether a column writes the day or the month first, from a number above 12 in it; None: nothing tells, or it need not be told.

    Raises:
        WrongTime: the column has both.
    """
    found: set[Order] = set()
    for text in texts:
        if (match := re.match(DATE, text)) and match[4] and match[6].isdecimal() and match[5] != ".":
            found |= {"day"} if int(match[4]) > 12 else {"month"} if int(match[6]) > 12 else set()
    if len(found) == 2:
        english = "some of the days are written with the day first and some with the month first; write them as 2026-11-24"
        raise WrongTime(phrase("time.mixed", english))
    return next(iter(found), None)


def day(text: str, order: Order | None = None) -> date:
    """A day: 2026-11-24, 24.11.2026, 24/11/2026, 24-Nov-26.

    Raises:
        WrongTime: it is none, or may be two.
    """
    match = DAY.fullmatch(text.strip())
    if match is None:
        raise WrongTime(phrase("time.no_day", "{typed!r} is no day; write it as 2026-11-24", typed=text[:30]))
    return _date(match, text, order)


def moment(text: str, zone: ZoneInfo, order: Order | None = None) -> Moment:
    """A time: 2026-11-24 08:00, with or without seconds, T, offset; 24.11.2026 08:00; 11/24/2026 8:00 AM.

    A time that the clocks skipped is taken with the offset from before; of one that they repeated, the first.

    Raises:
        WrongTime: it is none, or may be two.
    """
    match = MOMENT.fullmatch(text.strip())
    if match is None:
        if not text.strip():
            raise WrongTime(phrase("time.none", "no time"))
        raise WrongTime(phrase("time.no_time", "{typed!r} is no time; write it as 2026-11-24 08:00", typed=text[:30]))
    on = _date(match, text, order)
    local = datetime(on.year, on.month, on.day) + _since_midnight(match, text)
    if match[13]:
        return Moment(_ms(local.replace(tzinfo=_offset(match[13]))))
    aware = local.replace(tzinfo=zone)
    ms = _ms(aware)
    if datetime.fromtimestamp(ms / 1000, zone).replace(tzinfo=None, microsecond=0) != local.replace(microsecond=0):
        taken = f"{datetime.fromtimestamp(ms / 1000, zone):%H:%M}"
        return Moment(ms, phrase("time.skipped", "the clocks skipped this time; taken as {taken}", taken=taken))
    if aware.utcoffset() != aware.replace(fold=1).utcoffset():
        return Moment(ms, phrase("time.twice", "the clocks showed this time twice; taken as the first"))
    return Moment(ms)


def _date(match: re.Match[str], text: str, order: Order | None) -> date:
    if match[1]:
        year, month, day_ = int(match[1]), int(match[2]), int(match[3])
    else:
        first, second, year = int(match[4]), match[6], int(match[7]) + (2000 if len(match[7]) == 2 else 0)
        if not second.isdecimal():
            month, day_ = MONTHS.get(second[:3].casefold(), 0), first
        elif match[5] == "." or order == "day" or first > 12:
            month, day_ = int(second), first
        elif order == "month" or int(second) > 12 or first == int(second):
            month, day_ = first, int(second)
        else:
            english = "{typed!r}: nobody can tell the day from the month; say which comes first (--day-first or --month-first)"
            raise WrongTime(phrase("time.order", english, typed=text[:30]), code="import.order")
    try:
        found = date(year, month, day_)
    except ValueError as error:
        raise WrongTime(phrase("time.not_in_calendar", "{typed!r} is no day of the calendar", typed=text[:30])) from error
    if found.year < EARLIEST:
        raise WrongTime(phrase("time.year", "{typed!r}: the year is wrong, as of a clock that was never set", typed=text[:30]))
    return found


def _since_midnight(match: re.Match[str], text: str) -> timedelta:
    hour, minute, second, half = int(match[8]), int(match[9]), int(match[10] or 0), (match[12] or "").casefold()
    if half and not 1 <= hour <= 12 or hour > 23 or minute > 59 or second > 59:
        raise WrongTime(phrase("time.of_day", "{typed!r} is no time of day", typed=text[:30]))
    if half:
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=int((match[11] or "").ljust(6, "0")))


def _offset(text: str) -> timezone:
    if text in ("Z", "UTC"):
        return timezone.utc
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))


def _ms(aware: datetime) -> int:
    return round(aware.timestamp() * 1000)
