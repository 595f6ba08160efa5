"""The site: its time zone, when a day begins, and the few rules that hold for everybody there."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from device.contract import ClockfaceError

ROUNDINGS = (1, 5, 10, 15)  # minutes
LOCALTIME = Path("/etc/localtime")


class TimesheetError(ClockfaceError):
    """A rule, plan or day that makes no sense; the message says what is allowed."""

    code = "timesheet"


@dataclass(frozen=True)
class Site:
    """Rules of a site.

    `day_start`: a day lasts from this local time to the same of the next day, 23 or 25 hours where the clocks change.
    `minimum_breaks`: (after so many minutes of work, a break of so many is due), e.g. ((360, 30), (540, 45)); what was
    not taken is deducted.
    """

    zone: str = "UTC"  # IANA name
    day_start: time = time(0)
    longest_stay_hours: int = 16  # 1 to 36: what lasts longer is two punches that do not belong together
    repeat_minutes: int = 2  # 0 to 60: the same direction again so soon is the same punch
    rounding_minutes: int = 1  # each punch to the nearest; 1: the minute the clock showed
    minimum_breaks: tuple[tuple[int, int], ...] = field(default=())
    four_eyes: bool = True  # nobody approves a correction they asked for themselves

    def __post_init__(self) -> None:
        zone(self.zone)
        for name, low, high in (("longest_stay_hours", 1, 36), ("repeat_minutes", 0, 60)):
            if not low <= getattr(self, name) <= high:
                raise TimesheetError(f"site: {name} expected {low} to {high}, got {getattr(self, name)}", code="timesheet.site")
        if self.rounding_minutes not in ROUNDINGS:
            raise TimesheetError(f"site: rounding_minutes expected one of {', '.join(map(str, ROUNDINGS))}, got {self.rounding_minutes}", code="timesheet.site")
        if any(after < 0 or not 0 < minutes <= 240 for after, minutes in self.minimum_breaks) or sorted(self.minimum_breaks) != list(self.minimum_breaks):
            raise TimesheetError(f"site: minimum_breaks expected rising pairs of minutes (work, break), got {self.minimum_breaks}", code="timesheet.site")

    def moment(self, day: date, at: time) -> int:
        """A local time as a moment; one the clocks skip counts on from before the change, one they repeat is the first."""
        return _moment(self.zone, day, at)

    def local(self, moment: int) -> datetime:
        """The wall clock at a moment."""
        return datetime.fromtimestamp(moment * 60, zone(self.zone))

    def begins(self, day: date) -> int:
        """The moment a day begins; it ends where the next begins."""
        return self.moment(day, self.day_start)

    def day_of(self, moment: int) -> date:
        """The day a moment lies in."""
        day = self.local(moment).date()
        while moment < self.begins(day):
            day -= timedelta(days=1)
        while moment >= self.begins(day + timedelta(days=1)):
            day += timedelta(days=1)
        return day

    def rounded(self, moment: int) -> int:
        return (moment + self.rounding_minutes // 2) // self.rounding_minutes * self.rounding_minutes


@lru_cache(maxsize=20_000)  # a sheet asks for the same few days again and again
def _moment(name: str, day: date, at: time) -> int:
    return int(datetime.combine(day, at, zone(name)).timestamp() // 60)


@lru_cache(maxsize=16)
def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        TimesheetError: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise TimesheetError(
            f"there is no time zone {name[:60]!a}; give a name such as Europe/Berlin (`timedatectl list-timezones`)", code="timesheet.time_zone"
        ) from error


def system_zone(localtime: Path = LOCALTIME) -> str:
    """The board's own time zone, for a site that has not been set up; UTC where the board does not name one."""
    for name in (os.environ.get("TZ", "").lstrip(":"), os.path.realpath(localtime).partition("zoneinfo/")[2]):
        with suppress(TimesheetError):
            if name:
                return zone(name).key
    return "UTC"


def minute(seconds: float) -> int:
    """s since the epoch -> the minute the clock showed."""
    return int(seconds // 60)


def month_days(month: str) -> list[date]:
    """The days of "2026-11".

    Raises:
        TimesheetError: no month.
    """
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=timezone.utc).date()
    except ValueError as error:
        raise TimesheetError(f"{month[:20]!a} is no month; write it as 2026-11", code="timesheet.text") from error
    days = [first + timedelta(days=offset) for offset in range(31)]
    return [day for day in days if day.month == first.month]
