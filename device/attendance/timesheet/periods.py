"""Days that are open and days that are frozen: between two locked periods hours are computed from the punches that no locked period has.

A locked period has the punches between two moments, whether they count or not. All others belong to the open days beside it, so that no
minute is counted twice or lost between two, whatever rules have changed since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import groupby

from device.attendance.timesheet.shifts import Planned, Schedule
from device.attendance.timesheet.stays import stays
from device.attendance.timesheet.sums import summed, wide
from device.attendance.timesheet.windows import ONE_DAY, Gap, Windows
from device.attendance.timesheet.workday import WorkDay, work_days
from device.attendance.timesheet.worksite import Site
from device.storage.effective import Entry
from device.system.clock import to_ms


@dataclass(frozen=True)
class Frozen:
    """One person's part of a locked period."""

    first: date
    last: date
    from_ms: int  # it has the punches from then ...
    until_ms: int  # ... until then
    days: Mapping[date, WorkDay]

    def day(self, day: date, site: Site) -> WorkDay:
        """As it was when the period was locked; empty for somebody who was not there then."""
        empty = WorkDay(day, Planned(day, "free", "", plan=False), (), (), (), 0, 0, 0, 0, 0, "", True, site)
        return self.days.get(day, empty)


def days_of(
    entries: Sequence[Entry], days: Sequence[date], schedule: Schedule, site: Site, as_of: int, periods: Sequence[Frozen] = ()
) -> tuple[WorkDay, ...]:
    """The given days, in order, of which some may lie in locked periods."""
    found = {day: period.day(day, site) for period in periods for day in days if period.first <= day <= period.last}
    for gap, own in groupby((day for day in days if day not in found), key=partial(gap_of, periods=periods)):
        found |= {day.day: day for day in work_days(within(entries, gap), list(own), Windows(schedule, site, gap), as_of)}
    return tuple(found[day] for day in days)


def gap_of(day: date, periods: Sequence[Frozen]) -> Gap:
    """The gap between locked periods that has a day; of a locked day, the gap after it."""
    before = max((period for period in periods if period.first <= day), key=lambda period: period.first, default=None)
    after = min((period for period in periods if period.first > day), key=lambda period: period.first, default=None)
    begin = (before.last + ONE_DAY, before.until_ms) if before else (None, None)
    end = (after.first - ONE_DAY, after.from_ms) if after else (None, None)
    return Gap(*begin, *end)


def within(entries: Sequence[Entry], gap: Gap) -> list[Entry]:
    return [
        entry
        for entry in entries
        if (gap.from_ms is None or to_ms(entry.occurred_at) >= gap.from_ms) and (gap.until_ms is None or to_ms(entry.occurred_at) < gap.until_ms)
    ]


def freeze(entries: Sequence[Entry], first: date, last: date, schedule: Schedule, site: Site, as_of: int, periods: Sequence[Frozen]) -> Frozen:
    """What a period is for one person at present, and which punches it has: those that no stay before or after it needs."""
    gap = gap_of(first, periods)
    windows = Windows(schedule, site, gap)
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    own = [entry for entry in within(entries, gap) if not entry.struck]
    found = stays(own, windows)
    bounds = []
    for day in (first, last + ONE_DAY):
        begin, stamps = windows.begins(day) * 60_000, [to_ms(stay.stamps[0].entry.occurred_at) for stay in found if stay.day >= day]
        earlier = [to_ms(entry.occurred_at) for entry in own if not stamps or to_ms(entry.occurred_at) < min(stamps)]
        bounds.append(max([begin, *(moment + 1 for moment in earlier)]))
    lead = wide(days, site)[: -len(days)]
    before = days_of(entries, lead, schedule, site, as_of, periods)
    locked = {day for period in periods for day in lead if period.first <= day <= period.last}
    whole = summed([*before, *work_days(within(entries, gap), days, windows, as_of)], site, locked)
    return Frozen(first, last, bounds[0], bounds[1], {day.day: day for day in whole[len(lead) :]})
