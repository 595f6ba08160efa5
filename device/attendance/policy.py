"""Attendance rules: whether this is a new punch, and in which direction. Pure; the caller passes the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from device.attendance.timesheet.directions import At, following
from device.attendance.timesheet.shifts import Schedule
from device.attendance.timesheet.windows import Windows
from device.attendance.timesheet.worksite import Site, minute
from device.config import AttendanceSettings, scheduled
from device.storage.records import Direction, LastPunch


@dataclass(frozen=True)
class NotRecorded:
    """Not a new punch."""

    reason: str  # for the screen, in the site's time
    until: float  # s since the epoch: from then on the person is recorded again
    at: float = 0.0  # s since the epoch: the earlier punch because of which this one is refused


@dataclass(frozen=True)
class Asked:
    """A new punch whose direction the person has to choose."""

    suggested: Direction  # the one that `alternate` would give


def unplanned() -> Windows:
    """Days of somebody without a plan, at a site without rules of its own."""
    return Windows(Schedule(), Site())


@dataclass(frozen=True)
class AttendancePolicy:
    """Refractory period and direction; built from `AttendanceSettings`.

    Only the time between this punch and the last one counts, forwards or backwards. So nobody is recorded twice when
    the clock is set back a little, and nobody is locked out when it is set back by hours (a board without a battery,
    before NTP answers): a superfluous punch can be corrected, a lost one cannot.
    """

    settings: AttendanceSettings

    def decide(
        self, last: LastPunch | None, now: float, last_seen: float | None = None, windows: Callable[[], Windows] = unplanned
    ) -> Direction | NotRecorded | Asked:
        """The direction of a punch at `now` (s since the epoch), or why there is none.

        `last_seen` is when the terminal last recognised this person: a person who stays in view is not recorded again
        until they have been away for the refractory period. `windows`: what the person is planned to work, at which site.

        `alternate` starts again with "in" when the last punch is further away than `alternate_reset_hours`, or where the
        planned shift or the site's rest says so (`timesheet/directions.py`): a forgotten check-out does not reverse the
        directions of the following days, and a night shift stays one stay.
        """
        apart = abs(now - last.occurred_at) if last else float("inf")
        away = min(apart, abs(now - last_seen)) if last_seen is not None else apart
        if last and away < self.settings.refractory_seconds:
            at = windows().site.clock.said(last.occurred_at, "%H:%M:%S")
            until = max(last.occurred_at, last_seen or 0.0) + self.settings.refractory_seconds
            return NotRecorded(f"already recorded at {at}", until, last.occurred_at)
        if self.settings.direction == "in":
            return "in"
        if self.settings.direction == "out":
            return "out"
        if self.settings.direction == "schedule":
            return by_schedule(self.settings.schedule, windows().site.clock.at(now))
        before = At(minute(last.occurred_at), last.direction) if last and apart <= self.settings.alternate_reset_hours * 3600 else None
        suggested = following(before, minute(now), windows())
        return Asked(suggested) if self.settings.direction == "asked" else suggested


def by_schedule(schedule: str, local: datetime) -> Direction:
    """The direction of the last entry that has begun; before the first entry of a day, that is the last one of the day before."""
    entries = scheduled(schedule)
    begun = [direction for minute, direction in entries if minute <= local.hour * 60 + local.minute]
    return cast(Direction, begun[-1] if begun else entries[-1][1])
