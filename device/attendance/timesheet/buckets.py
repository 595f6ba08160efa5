"""Minutes of one day that are paid or looked at apart: night, Saturday, Sunday, holiday, and overtime by day, week and pay period.

They are minutes, never money. Of holiday, Sunday and Saturday a minute is in one alone, in this order; night stands beside them, and so do the
kinds of overtime, of which a minute is in one alone: of the day before the week before the period (compare German EStG, section 3b, and the
"no pyramiding" of US 29 CFR 778.168). Days and nights are those of the local clock, whenever the site's day begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import date, time, timedelta

from device.attendance.timesheet.shifts import Planned
from device.attendance.timesheet.stays import Span
from device.attendance.timesheet.worksite import Site

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Buckets:
    """In minutes."""

    night: int = 0
    saturday: int = 0
    sunday: int = 0
    holiday: int = 0
    overtime_day: int = 0
    overtime_week: int = 0
    overtime_period: int = 0


NONE = Buckets()
LABELS = {
    "night": "night", "saturday": "Saturday", "sunday": "Sunday", "holiday": "holiday",
    "overtime_day": "day overtime", "overtime_week": "week overtime", "overtime_period": "period overtime",
}  # fmt: skip


def told_apart(buckets: Buckets) -> list[tuple[str, int]]:
    """(name for people, minutes) of the buckets that have some."""
    return [(words, minutes) for name, words in LABELS.items() if (minutes := getattr(buckets, name))]


def added(buckets: Iterable[Buckets]) -> Buckets:
    return Buckets(*map(sum, zip(*map(astuple, buckets), strict=True))) if (buckets := list(buckets)) else NONE


def premiums(planned: Planned, spans: Sequence[Span], worked: int, site: Site, is_holiday: Callable[[date], bool]) -> Buckets:
    """What of a day's work lies at night, on a Saturday, a Sunday or a holiday. A paid break counts as work; of a break that was deducted nobody knows
    when it was, so it is taken off what is in no bucket first: none has more minutes than were worked."""
    wanted = site.accounting.premiums
    if not wanted:
        return NONE
    paid = any(part.pause is not None and part.pause.paid for part in planned.parts)
    found = dict.fromkeys(wanted, 0)
    for span in spans:
        if span.kind == "work" or (paid and span.kind == "break"):
            for name, minutes in _shares(span, site, is_holiday):
                found[name] = found.get(name, 0) + minutes
    return Buckets(**{name: min(found[name], worked) for name in wanted})


def _shares(span: Span, site: Site, is_holiday: Callable[[date], bool]) -> list[tuple[str, int]]:
    """(bucket, minutes) of one span."""
    first, last = (site.local(moment).date() for moment in (span.start, span.end))
    days = [first + timedelta(days=offset) for offset in range(-1, (last - first).days + 1)]
    shares = []
    for day in days:
        until = day if site.accounting.night_from < site.accounting.night_to else day + ONE_DAY
        shares.append(("night", _within(span, site.moment(day, site.accounting.night_from), site.moment(until, site.accounting.night_to))))
        shares.append((_kind(day, is_holiday(day), site), _within(span, site.moment(day, time(0)), site.moment(day + ONE_DAY, time(0)))))
    return shares


def _kind(day: date, holiday: bool, site: Site) -> str:
    """Which of holiday, Sunday and Saturday a day is, of those that the site tells apart."""
    kinds = [name for name, applies in (("holiday", holiday), ("sunday", day.weekday() == 6), ("saturday", day.weekday() == 5)) if applies]
    return next((name for name in kinds if name in site.accounting.premiums), "")


def _within(span: Span, start: int, end: int) -> int:
    return max(0, min(span.end, end) - max(span.start, start))
