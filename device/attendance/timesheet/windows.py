"""Which day a moment belongs to: the site's day, moved away from the planned shifts that lie across its beginning."""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

from device.attendance.timesheet.shifts import Planned, Schedule
from device.attendance.timesheet.worksite import Site

SLACK_MINUTES = 120  # punches so long before the start or after the end of a shift still belong to its day
ONE_DAY = timedelta(days=1)


class Gap(NamedTuple):
    """Consecutive days, and the moments (ms since the epoch) between which their punches lie; None: without limit."""

    first: date | None = None
    from_ms: int | None = None
    last: date | None = None
    until_ms: int | None = None

OPEN = Gap()


class Slot(NamedTuple):
    """The part of a planned day that a moment belongs to; a day without a plan has one."""

    day: date
    part: int


class Windows:
    """The days of one person: what is planned for each, and from when to when it lasts. Moments are minutes since the epoch."""

    def __init__(self, schedule: Schedule, site: Site, gap: Gap = OPEN) -> None:
        """`gap`: the days that are not locked; their punches belong to no other day."""
        self.site = site
        self.gap = gap
        self._schedule = schedule
        self._planned: dict[date, Planned] = {}
        self._begins: dict[date, int] = {}
        self._days: dict[int, date] = {}

    def planned(self, day: date) -> Planned:
        if day not in self._planned:
            self._planned[day] = self._schedule.planned(day, self.site)
        return self._planned[day]

    def begins(self, day: date) -> int:
        """The moment from which an arrival belongs to a day.

        The site's day start, moved away from shifts that lie across it: to two hours after the end of the previous day's
        shift or two hours before the start of the day's own; half-way where there is less time between them.
        """
        if day not in self._begins:
            self._begins[day] = self._begin(day)
        return self._begins[day]

    def _begin(self, day: date) -> int:
        before, own = self.planned(day - ONE_DAY).span, self.planned(day).span
        moment = self.site.begins(day)
        earliest = before[1] + SLACK_MINUTES if before else moment
        latest = own[0] - SLACK_MINUTES if own else moment
        if before and own and earliest > latest:
            return (before[1] + own[0]) // 2
        return min(max(moment, earliest), latest) if own else max(moment, earliest)

    def ends(self, day: date) -> int:
        return self.begins(day + ONE_DAY)

    def day_of(self, moment: int) -> date:
        if moment not in self._days:
            self._days[moment] = self._day(moment)
        return self._days[moment]

    def _day(self, moment: int) -> date:
        day = self.site.day_of(moment)
        if moment < self.begins(day):
            day -= ONE_DAY
        elif moment >= self.ends(day):
            day += ONE_DAY
        first, _, last, _ = self.gap
        return max(day, first or day) if last is None else min(max(day, first or day), last)

    def longest_stay(self, moment: int) -> int:
        """Minutes that a stay which begins at a moment may last: the site's limit, or longer where a longer shift is planned."""
        return max(self.site.longest_stay_hours * 60, self._shift_minutes(moment))

    def longest_gap(self, moment: int) -> int:
        """Minutes after a punch within which one without direction may belong to the same stay."""
        return min(self.longest_stay(moment), max(self.site.rest_hours * 60, self._shift_minutes(moment)))

    def slot_of(self, moment: int) -> Slot:
        day = self.day_of(moment)
        return Slot(day, self.planned(day).part_at(moment))

    def boundaries(self, slot: Slot) -> tuple[int, int] | None:
        """When the person is expected to come and to go; None: that is not planned."""
        parts = self.planned(slot.day).parts
        return parts[slot.part].boundaries if parts else None

    def _shift_minutes(self, moment: int) -> int:
        slot = self.slot_of(moment)
        stretch = self.planned(slot.day).stretch(slot.part)
        return stretch + 2 * SLACK_MINUTES if stretch else 0
