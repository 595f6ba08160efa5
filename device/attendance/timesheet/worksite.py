"""The site: its time zone, when a day begins, and the few rules that apply to everybody there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal

from device.attendance.timesheet.accounting import Accounting
from device.attendance.timesheet.accounting import TimesheetError as TimesheetError
from device.attendance.timesheet.accounting import month_days as month_days
from device.contract import phrase
from device.system.time_zones import LocalClock, zone

ROUNDINGS = (1, 5, 6, 10, 15, 30)  # minutes
RoundingMode = Literal["nearest", "up", "down", "outward", "inward"]
ROUNDING_MODES: dict[RoundingMode, str] = {
    "nearest": "to the nearest",
    "up": "up",
    "down": "down",
    "outward": "arrivals down, departures up",
    "inward": "arrivals up, departures down",
}
Rounded = Literal["punch", "day"]
ROUNDED: dict[Rounded, str] = {"punch": "each punch", "day": "the day's total"}
Pairing = Literal["every", "first_last"]
PAIRINGS: dict[Pairing, str] = {"every": "every punch counts", "first_last": "first in, last out"}
CHOICES: dict[str, Collection[str]] = {"pairing": PAIRINGS, "rounding": ROUNDING_MODES, "rounding_of": ROUNDED}  # rules of a site that are one of several words
RANGES = {
    phrase("site.longest_stay", "longest_stay_hours"): (1, 36), phrase("site.repeat", "repeat_minutes"): (0, 60),
    phrase("site.rest", "rest_hours"): (1, 36), phrase("site.break_part", "minimum_break_part"): (0, 60),
}  # fmt: skip


@dataclass(frozen=True)
class Site:
    """Rules of a site.

    `day_start`: a day lasts from this local time to the same time of the next day, 23 or 25 hours when the clocks change.
    `minimum_breaks`: (after so many minutes of work, a break of so many is due), e.g. ((360, 30), (540, 45)); minutes
    that were not taken are deducted. Parts shorter than `minimum_break_part` do not count towards them (German ArbZG, section 4).
    """

    zone: str = "UTC"  # IANA name
    day_start: time = time(0)
    longest_stay_hours: int = 16  # 1 to 36: punches further apart do not belong to one stay
    repeat_minutes: int = 2  # 0 to 60: a punch in the same direction within this time is a repetition
    rounding_minutes: int = 1  # each punch, or each day's total, is rounded to a multiple; 1: the minute the clock showed
    minimum_breaks: tuple[tuple[int, int], ...] = field(default=())
    four_eyes: bool = True  # nobody may approve a correction that they asked for themselves
    rest_hours: int = 13  # 1 to 36: a punch without direction after a longer gap begins a new stay; longer shifts that are planned stay whole
    pairing: Pairing = "every"  # of a day's punches; a plan may have its own
    minimum_break_part: int = 15  # 0 to 60 minutes
    accounting: Accounting = Accounting()  # how days are added up
    rounding: RoundingMode = "nearest"
    rounding_of: Rounded = "punch"
    check_out: time | None = None  # somebody without a departure counts as gone at the first such time after the last punch; None: never

    def __post_init__(self) -> None:
        zone(self.zone)
        for key, (low, high) in RANGES.items():
            if not low <= getattr(self, key) <= high:
                words = phrase("site.range", "site: {key} expected {low} to {high}, got {got}", key=key, low=low, high=high, got=getattr(self, key))
                raise TimesheetError(words, code="timesheet.site")
        if self.rounding_minutes not in ROUNDINGS:
            known = ", ".join(map(str, ROUNDINGS))
            words = phrase("site.rounding", "site: rounding_minutes expected one of {known}, got {got}", known=known, got=self.rounding_minutes)
            raise TimesheetError(words, code="timesheet.site")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                known, got = ", ".join(choices), str(getattr(self, name))[:20]
                words = phrase("site.choice", "site: {key} expected one of {known}, got {got!r}", key=name, known=known, got=got)
                raise TimesheetError(words, code="timesheet.site")
        if any(after < 0 or not 0 < minutes <= 240 for after, minutes in self.minimum_breaks) or sorted(self.minimum_breaks) != list(self.minimum_breaks):
            words = phrase("site.breaks", "site: minimum_breaks expected pairs of minutes (work, break), rising, got {got}", got=str(self.minimum_breaks))
            raise TimesheetError(words, code="timesheet.site")

    def moment(self, day: date, at: time) -> int:
        """A planned local time as a moment. One that the clocks skip has the offset from before the change; of one that they repeat it is the first.

        What somebody types goes through `clock.moment`, which refuses the one and asks about the other.
        """
        return _moment(self.zone, day, at)

    @property
    def clock(self) -> LocalClock:
        return LocalClock(zone(self.zone))

    def local(self, moment: int) -> datetime:
        """The wall clock at a moment."""
        return datetime.fromtimestamp(moment * 60, zone(self.zone))

    def begins(self, day: date) -> int:
        """The moment at which a day begins; it ends when the next one begins."""
        return self.moment(day, self.day_start)

    def day_of(self, moment: int) -> date:
        """The day that a moment belongs to."""
        day = self.local(moment).date()
        while moment < self.begins(day):
            day -= timedelta(days=1)
        while moment >= self.begins(day + timedelta(days=1)):
            day += timedelta(days=1)
        return day

    def rounded(self, moment: int, begins: bool) -> int:
        """A punch to a multiple on the wall clock, which need not be one in UTC (Kathmandu is 5:45 ahead). `begins`: work begins with it."""
        if self.rounding_of == "day" or self.rounding_minutes == 1:
            return moment
        ahead = self.local(moment).utcoffset() or timedelta()
        offset = int(ahead.total_seconds() // 60)
        return self._multiple(moment + offset, begins) - offset

    def rounded_day(self, minutes: int) -> int:
        """The minutes worked on a day."""
        return self._multiple(minutes, begins=False) if self.rounding_of == "day" else minutes

    def _multiple(self, value: int, begins: bool) -> int:
        step = self.rounding_minutes
        down = self.rounding == "down" or self.rounding == ("outward" if begins else "inward")
        return (value + (step // 2 if self.rounding == "nearest" else 0 if down else step - 1)) // step * step


@lru_cache(maxsize=20_000)  # a timesheet needs the same few days many times
def _moment(name: str, day: date, at: time) -> int:
    return int(datetime.combine(day, at, zone(name)).timestamp() // 60)


def minute(seconds: float) -> int:
    """s since the epoch -> the minute the clock showed."""
    return int(seconds // 60)
