"""What somebody is meant to work: shifts, the cycle in which they follow each other, holidays, absence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import Literal

from device.attendance.timesheet.worksite import Site, TimesheetError

Kind = Literal["work", "free", "holiday", "absence"]
ABSENCES = {  # kind -> are its hours credited
    "vacation": True,
    "sick": True,
    "training": True,
    "compensation": False,  # hours taken off from the balance
    "unpaid": False,
}


@dataclass(frozen=True)
class Shift:
    """A shift of a day.

    Fixed: `start` to `end` less an unpaid `break_minutes`; it may run over midnight, and has an hour less or more
    where the clocks change. Flexible: `minutes` of work at any time; `start` to `end` is the core time, if there is one.
    """

    name: str
    start: time | None = None
    end: time | None = None
    break_minutes: int = 0  # of a fixed shift
    minutes: int | None = None  # of work in a flexible shift; None: the shift is fixed
    grace_minutes: int = 0  # 0 to 120: so much later in or earlier out is neither late nor early

    def __post_init__(self) -> None:
        if (self.start is None) != (self.end is None) or (self.start is not None and self.start == self.end):
            raise TimesheetError(f"shift {self.name!r}: expected a start and another end, got {self.start} and {self.end}", code="timesheet.shift")
        if self.minutes is None and self.start is None:
            raise TimesheetError(f"shift {self.name!r}: a fixed shift needs start and end, a flexible one minutes", code="timesheet.shift")
        for key, value, high in (("break_minutes", self.break_minutes, 480), ("minutes", self.minutes or 0, 1440), ("grace_minutes", self.grace_minutes, 120)):
            if not 0 <= value <= high:
                raise TimesheetError(f"shift {self.name!r}: {key} expected 0 to {high}, got {value}", code="timesheet.shift")

    @property
    def flexible(self) -> bool:
        return self.minutes is not None

    def span(self, day: date, site: Site) -> tuple[int, int] | None:
        """When it lasts on a day, as moments; None without fixed or core time."""
        if self.start is None or self.end is None:
            return None
        last = day if self.end > self.start else day + timedelta(days=1)
        return site.moment(day, self.start), site.moment(last, self.end)


@dataclass(frozen=True)
class Assignment:
    """From `since` on somebody works through `cycle` again and again; `anchor` is one of the days its first entry falls on.

    The same every week: seven entries from a Monday. Rotating: as many days as it takes, each crew with an anchor of
    its own. None is a free day; an empty cycle: no plan from then on.
    """

    since: date
    cycle: tuple[Shift | None, ...]
    anchor: date

    def __post_init__(self) -> None:
        if len(self.cycle) > 366:
            raise TimesheetError(f"a cycle of shifts has at most 366 days, got {len(self.cycle)}", code="timesheet.cycle")

    def shift(self, day: date) -> Shift | None:
        return self.cycle[(day - self.anchor).days % len(self.cycle)] if self.cycle else None


@dataclass(frozen=True)
class Absence:
    """Somebody is not expected from `first` to `last`, both included."""

    first: date
    last: date
    kind: str

    def __post_init__(self) -> None:
        if self.kind not in ABSENCES:
            raise TimesheetError(f"absence: expected one of {', '.join(ABSENCES)}, got {self.kind[:40]!r}", code="timesheet.absence")
        if self.last < self.first:
            raise TimesheetError(f"absence: its last day {self.last} lies before its first {self.first}", code="timesheet.absence")


@dataclass(frozen=True)
class Planned:
    """What is planned for one day of one person."""

    day: date
    kind: Kind
    title: str  # name of the shift, of the holiday, kind of absence
    span: tuple[int, int] | None = None  # the shift's, on a holiday and in absence too
    due_minutes: int = 0  # to be worked
    credited_minutes: int = 0  # paid without work
    grace_minutes: int = 0


@dataclass(frozen=True)
class Schedule:
    """Everything planned for one person."""

    assignments: Sequence[Assignment] = ()
    holidays: Mapping[date, str] = field(default_factory=dict)
    absences: Sequence[Absence] = ()

    def planned(self, day: date, site: Site) -> Planned:
        """A holiday stands above an absence, both above the shift; of several assignments from one day on the last one holds."""
        shift = self._shift(day)
        span = shift.span(day, site) if shift else None
        minutes = _work_minutes(shift, span) if shift else 0
        absence = next((absence for absence in self.absences if absence.first <= day <= absence.last), None)
        if day in self.holidays:
            return Planned(day, "holiday", self.holidays[day], span, credited_minutes=minutes)
        if absence:
            return Planned(day, "absence", absence.kind, span, credited_minutes=minutes if ABSENCES[absence.kind] else 0)
        if shift is None:
            return Planned(day, "free", "")
        return Planned(day, "work", shift.name, span, minutes, 0, shift.grace_minutes)

    def _shift(self, day: date) -> Shift | None:
        begun = [assignment for assignment in self.assignments if assignment.since <= day]
        return sorted(begun, key=lambda assignment: assignment.since)[-1].shift(day) if begun else None


def _work_minutes(shift: Shift, span: tuple[int, int] | None) -> int:
    if shift.minutes is not None:
        return shift.minutes
    assert span is not None
    return max(0, span[1] - span[0] - shift.break_minutes)
