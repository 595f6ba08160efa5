"""Who, when, which rule: the flags of working-time law of some days, and the average hours per week of each person."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlite_utils import Database

from device.attendance.sheets import sheet_within, site_on
from device.attendance.timesheet.law import LAWS, NONE
from device.attendance.timesheet.law_flags import of_a_law, weekly_average


@dataclass(frozen=True)
class PersonFlags:
    """One person's flags."""

    person_id: int
    days: tuple[tuple[date, str], ...]  # (day, flag)
    average: int  # minutes per week over the weeks that the law states, to the last day
    too_much: bool  # the average lies above what the law states


def report(db: Database, people: Collection[int], days: Sequence[date], as_of: int) -> list[PersonFlags]:
    """The flags of consecutive days; of people who have none nothing is listed. `as_of`: minutes since the epoch."""
    law = LAWS.get(site_on(db, days[0], days[-1]).accounting.law, NONE)
    found = []
    for person in people if law is not NONE else ():
        shown = sheet_within(db, person, days, site_on(db, days[0], days[-1]), as_of)
        flags = tuple((day.day, flag) for day in shown.days for flag in day.flags if of_a_law(flag))
        weeks = [days[-1] - timedelta(days=back) for back in range(law.average_weeks * 7 - 1, -1, -1)] if days[-1] > date(2, 1, 1) else list(days)
        average = weekly_average(sheet_within(db, person, weeks, site_on(db, weeks[0], weeks[-1]), as_of).days, law)
        too_much = law.week_hours is not None and average > law.week_hours * 60
        if flags or too_much:
            found.append(PersonFlags(person, flags, average, too_much))
    return found
