"""Leave of a person in a year: what was carried over and granted, what is taken, what is planned, and what is left.

In hundredths of a day. A vacation takes the days, halves and hours on which a shift was planned: half a day takes 50, hours their share of what was due.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from sqlite_utils import Database

from device.attendance.accounts import bookings
from device.attendance.locked import periods_of
from device.attendance.planning import read_schedules, read_site
from device.attendance.timesheet.shifts import Planned

DAY = 100
VACATION = "vacation"


@dataclass(frozen=True)
class LeaveYear:
    """In hundredths of a day."""

    year: int
    carried: int  # left of the year before
    granted: int  # entitlement, and what HR has booked beside it
    taken: int  # until today, today included
    planned: int  # after today

    @property
    def left(self) -> int:
        return self.carried + self.granted - self.taken - self.planned


def leave(db: Database, person_id: int, year: int, today: date) -> LeaveYear | None:
    """A person's leave of a year; None: nothing has been granted until then."""
    first = db.execute("SELECT min(day) FROM account_bookings WHERE person_id = ? AND account = 'leave'", [person_id]).fetchone()[0]
    if first is None or int(first[:4]) > year:
        return None
    found = None
    for number in range(int(first[:4]), year + 1):
        found = _one(db, person_id, number, today, found.left if found else 0)
    return found


def _one(db: Database, person_id: int, year: int, today: date, carried: int) -> LeaveYear:
    days = [date(year, 1, 1) + timedelta(days=offset) for offset in range((date(year + 1, 1, 1) - date(year, 1, 1)).days)] if year < 9999 else []
    granted = sum(one.amount for one in bookings(db, person_id, "leave", date(year, 1, 1), date(year, 12, 31)))
    site, schedule, periods = read_site(db), read_schedules(db, person_id)[person_id], periods_of(db, days, person_id)[person_id]
    frozen = {day: work_day.planned for period in periods for day, work_day in period.days.items()}
    taken = planned = 0
    for day in days if schedule.absences or frozen else ():
        used = used_by(frozen[day] if day in frozen else schedule.planned(day, site))
        taken, planned = (taken + used, planned) if day <= today else (taken, planned + used)
    return LeaveYear(year, carried, granted, taken, planned)


def used_by(planned: Planned) -> int:
    """What a day takes of the leave."""
    own = [one for one in planned.off if one.kind == VACATION and one.minutes]
    if not own:
        return DAY if planned.kind == "absence" and planned.title == VACATION and planned.credited_minutes and not planned.off else 0
    whole = planned.due_minutes + sum(one.minutes for one in planned.off)
    return min(DAY, sum(DAY if not one.when else DAY // 2 if "half" in one.when else round(DAY * one.minutes / whole) for one in own))


def days_text(hundredths: int) -> str:
    """1250 -> "12.5"."""
    return f"{hundredths / DAY:g}"
