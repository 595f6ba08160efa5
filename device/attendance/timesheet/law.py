"""Working-time law: a rule set per country, for flags (`law_flags.py`). A flag refuses nothing and changes no minute; whether a rule was broken, people decide.

Sources: Germany, ArbZG (BGBl. I 1994, 1170): section 3 (10 h a day, 48 h a week on average over 24 weeks), 4 (30 minutes of break after 6 h, in parts
of 15), 5 (11 h of rest), 9 (Sundays and holidays). European Union, directive 2003/88/EC: articles 3 (11 h of rest), 4 (a break after 6 h),
6 and 16 (48 h a week on average over four months).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkingTimeLaw:
    """The limits of one country; None: it has no such limit."""

    name: str
    rest_hours: int | None = None  # between the work of two days
    day_hours: int | None = None  # of work on one day
    unbroken_hours: int | None = None  # of work without a break of `break_part` minutes
    break_part: int = 15
    week_hours: int | None = None  # of work in a week, on average over `average_weeks`
    average_weeks: int = 1
    sundays: bool = False  # work on Sundays and holidays is told


LAWS = {
    "de": WorkingTimeLaw("Germany (ArbZG)", 11, 10, 6, 15, 48, 24, sundays=True),
    "eu": WorkingTimeLaw("European Union (2003/88/EC)", 11, None, 6, 15, 48, 17),
}
NONE = WorkingTimeLaw("none")
