"""Time zones by name, and wall-clock times in one of them: what people read is in the site's zone, whatever zone the machine has."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from device.contract import ClockfaceError, phrase

LOCALTIME = Path("/etc/localtime")
SEASONS = (timedelta(), timedelta(days=91), timedelta(days=182), timedelta(days=273))  # from now on, in which two zones are compared


class TimeZoneError(ClockfaceError):
    """There is no time zone of that name."""

    code = "timesheet.time_zone"


class LocalTimeError(ClockfaceError):
    """A wall-clock time that the clocks skip or repeat, so that it is no one moment."""

    code = "timesheet.local_time"


class SkippedTime(LocalTimeError):
    """The clocks are put forward over this time."""

    code = "timesheet.skipped_time"

    def __init__(self, words: str, before: str, after: str) -> None:
        super().__init__(words)
        self.before, self.after = before, after  # HH:MM, the nearest times that exist


class RepeatedTime(LocalTimeError):
    """The clocks are put back over this time: it comes twice."""

    code = "timesheet.repeated_time"

    def __init__(self, words: str, first: str, second: str) -> None:
        super().__init__(words)
        self.first, self.second = first, second  # the zone's letters for each, such as CEST and CET


@lru_cache(maxsize=16)
def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        TimeZoneError: there is no time zone of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        words = "there is no time zone {name!a}; give a name such as Europe/Berlin (`timedatectl list-timezones`)"
        raise TimeZoneError(phrase("zone.unknown", words, name=name[:60])) from error


def system_zone(localtime: Path = LOCALTIME) -> str:
    """The machine's own time zone, for a site that has not been set up; UTC if the machine has none set."""
    for name in (os.environ.get("TZ", "").lstrip(":"), os.path.realpath(localtime).partition("zoneinfo/")[2]):
        with suppress(TimeZoneError):
            if name:
                return zone(name).key
    return "UTC"


def same_times(one: str, other: str, now: float) -> bool:
    """Whether two zones show the same time now (s since the epoch) and in the other seasons, as Europe/Berlin and Europe/Paris do."""
    moments = [datetime.fromtimestamp(now, zone("UTC")) + season for season in SEASONS]
    return all(moment.astimezone(zone(one)).utcoffset() == moment.astimezone(zone(other)).utcoffset() for moment in moments)


@dataclass(frozen=True)
class LocalClock:
    """The wall clock of a zone."""

    zone: ZoneInfo

    @property
    def name(self) -> str:
        """Such as Europe/Berlin."""
        return self.zone.key

    def at(self, seconds: float) -> datetime:
        """s since the epoch -> the local time, with its zone."""
        return datetime.fromtimestamp(seconds, self.zone)

    def said(self, seconds: float, form: str = "%Y-%m-%d %H:%M:%S") -> str:
        """A local time as text: 2026-11-24 08:31:05."""
        return self.at(seconds).strftime(form)

    def named(self, seconds: float) -> str:
        """A local time with its zone: 2026-11-24 08:31 CET."""
        return f"{self.said(seconds, '%Y-%m-%d %H:%M')} {self.abbreviation(seconds)}"

    def abbreviation(self, seconds: float) -> str:
        """CET, or UTC+03 where the zone has no letters of its own."""
        name = self.at(seconds).tzname() or ""
        return name if name.isalpha() else f"UTC{name}"

    def mark(self, seconds: float) -> str:
        """The zone's letters beside a time that comes twice; "" beside any other."""
        here = self.at(seconds)
        return self.abbreviation(seconds) if here.utcoffset() != here.replace(fold=1 - here.fold).utcoffset() else ""

    def day(self, seconds: float) -> date:
        """The calendar day of a moment."""
        return self.at(seconds).date()

    def moment(self, day: date, at: time, second: bool | None = None) -> float:
        """A local time that somebody gave -> s since the epoch. `second`: of a time that comes twice, whether the second is meant.

        Raises:
            SkippedTime: the clocks are put forward over it.
            RepeatedTime: it comes twice, and `second` does not say which is meant.
        """
        first, last = (datetime.combine(day, at.replace(tzinfo=None, fold=fold), self.zone) for fold in (0, 1))
        if first.utcoffset() == last.utcoffset():
            return first.timestamp()
        if first.timestamp() > last.timestamp():
            raise self._skipped(first, last)
        if second is None:
            one, two = (self.abbreviation(each.timestamp()) for each in (first, last))
            both = " or ".join(f"{each.isoformat(timespec='minutes')} ({name})" for each, name in ((first, one), (last, two)))
            words = "{time} comes twice on {day} in {zone}, as the clocks are put back: say which, {both}"
            raise RepeatedTime(phrase("clock.repeated", words, time=f"{first:%H:%M}", day=first.date(), zone=self.name, both=both), one, two)
        return (last if second else first).timestamp()

    def _skipped(self, first: datetime, last: datetime) -> SkippedTime:
        """`first` is read with the offset from before the change, `last` with that from after it; the change lies between."""
        low, high = int(last.timestamp() // 60), int(first.timestamp() // 60)
        while high - low > 1:  # minutes; the last that has the old offset, and the first that has the new one
            middle = (low + high) // 2
            if self.at(middle * 60).utcoffset() == first.utcoffset():
                low = middle
            else:
                high = middle
        before, after = self.said(low * 60, "%H:%M"), self.said(high * 60, "%H:%M")
        words = "there is no {time} on {day} in {zone}, as the clocks are put forward: the nearest times are {before} and {after}"
        said = phrase("clock.skipped", words, time=f"{first:%H:%M}", day=first.date(), zone=self.name, before=before, after=after)
        return SkippedTime(said, before, after)
