"""What a person is planned to work: shifts, the cycle in which they follow each other, holidays and absences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import Literal

from device.attendance.timesheet.worksite import Site, TimesheetError

Kind = Literal["work", "free", "holiday", "absence"]
ABSENCES = {  # kind -> whether its hours are credited
    "vacation": True,
    "sick": True,
    "training": True,
    "compensation": False,  # hours taken off from the balance
    "unpaid": False,
}


@dataclass(frozen=True)
class Shift:
    """A shift of one day.

    Fixed: `start` to `end` less an unpaid `break_minutes`; it may run over midnight, and has an hour less or more
    when the clocks change. Flexible: `minutes` of work at any time; `start` to `end` is the core time, if there is one.
    """

    name: str
    start: time | None = None
    end: time | None = None
    break_minutes: int = 0  # of a fixed shift
    minutes: int | None = None  # of work in a flexible shift; None: the shift is fixed
    grace_minutes: int = 0  # 0 to 120: to come so much later or leave so much earlier is neither late nor early

    def __post_init__(self) -> None:
        if (self.start is None) != (self.end is None) or (self.start is not None and self.start == self.end):
            raise TimesheetError(f"shift {self.name!r}: expected a start and a different end, got {self.start} and {self.end}", code="timesheet.shift")
        if self.minutes is None and self.start is None:
            raise TimesheetError(f"shift {self.name!r}: a fixed shift needs start and end, a flexible one minutes", code="timesheet.shift")
        for key, value, high in (("break_minutes", self.break_minutes, 480), ("minutes", self.minutes or 0, 1440), ("grace_minutes", self.grace_minutes, 120)):
            if not 0 <= value <= high:
                raise TimesheetError(f"shift {self.name!r}: {key} expected 0 to {high}, got {value}", code="timesheet.shift")

    @property
    def flexible(self) -> bool:
        return self.minutes is not None

    def span(self, day: date, site: Site) -> tuple[int, int] | None:
        """Its start and end on a day, as moments; None for a flexible shift without core time."""
        if self.start is None or self.end is None:
            return None
        last = day if self.end > self.start else day + timedelta(days=1)
        return site.moment(day, self.start), site.moment(last, self.end)


@dataclass(frozen=True)
class Assignment:
    """From `since` on a person repeats `cycle`; `anchor` is one of the days on which its first entry falls.

    The same every week: seven entries from a Monday. Rotating: as many days as needed, with a different anchor for each
    crew. None is a free day; an empty cycle means no plan from then on.
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
    """A person is not expected from `first` to `last`, both included."""

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
    title: str  # name of the shift or of the holiday, or kind of absence
    span: tuple[int, int] | None = None  # start and end of the shift, also on a holiday and during an absence
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
        """A holiday overrides an absence, and both override the shift; of several assignments from the same day on, the last one holds."""
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
