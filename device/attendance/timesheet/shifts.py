"""What a person is planned to work: shifts, the cycle in which they follow each other, holidays, absences and employment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from typing import Literal

from device.attendance.timesheet.worksite import Pairing, Site, TimesheetError

Kind = Literal["work", "free", "holiday", "absence"]
Effect = Literal["credited", "due", "neither"]
ABSENCES: dict[str, Effect] = {  # kind -> what becomes of the shift's hours
    "vacation": "credited",
    "sick": "credited",
    "training": "credited",
    "compensation": "due",  # hours taken off: nobody works them, so they reduce the balance
    "unpaid": "neither",
}
INTERRUPTS = frozenset({("sick", "vacation")})  # the first of a pair counts on the days that both have; no other absences may overlap
DAY = 24 * 60


@dataclass(frozen=True)
class Shift:
    """A shift of one day.

    Fixed: `start` to `end` less its break unless that is paid; it may run over midnight, last 24 hours (`end` = `start`), and has an hour
    less or more when the clocks change. Flexible: `minutes` of work at any time; `start` to `end` is the core time, if there is one.
    """

    name: str
    start: time | None = None
    end: time | None = None
    break_minutes: int = 0
    minutes: int | None = None  # of work in a flexible shift; None: the shift is fixed
    grace_minutes: int = 0  # 0 to 120: to come so much later or leave so much earlier is neither late nor early
    break_automatic: bool = True  # what was not taken of the break is deducted; False: only what was punched counts
    break_paid: bool = False  # the break counts as work
    break_from: time | None = None  # the break belongs between these times; None: at any time
    break_to: time | None = None

    def __post_init__(self) -> None:
        if (self.start is None) != (self.end is None) or (self.flexible and self.start is not None and self.start == self.end):
            raise self._refused(f"expected a start and a different end, got {self.start} and {self.end}")
        if self.minutes is None and self.start is None:
            raise self._refused("a fixed shift needs start and end, a flexible one minutes")
        for key, value, high in (("break_minutes", self.break_minutes, 480), ("minutes", self.minutes or 0, DAY), ("grace_minutes", self.grace_minutes, 120)):
            if not 0 <= value <= high:
                raise self._refused(f"{key} expected 0 to {high}, got {value}")
        length = self.length if self.minutes is None else self.minutes
        if self.break_minutes and self.break_minutes >= length:
            raise self._refused(f"a break of {self.break_minutes} minutes does not fit into {length} minutes")
        self._check_window()

    def _check_window(self) -> None:
        if self.break_from is None and self.break_to is None:
            return
        if self.break_from is None or self.break_to is None or _minutes(self.break_from, self.break_to) < self.break_minutes:
            raise self._refused(f"the break of {self.break_minutes} minutes does not fit between {self.break_from} and {self.break_to}")
        if self.start is not None and not self.flexible and _offset(self.start, self.break_from) + _minutes(self.break_from, self.break_to) > self.length:
            raise self._refused(f"the break between {self.break_from} and {self.break_to} lies outside the shift")

    def _refused(self, why: str) -> TimesheetError:
        return TimesheetError(f"shift {self.name!r}: {why}", code="timesheet.shift")

    @property
    def flexible(self) -> bool:
        return self.minutes is not None

    @property
    def length(self) -> int:
        """Minutes from start to end by the clock; 0 without them."""
        return _minutes(self.start, self.end) if self.start is not None and self.end is not None else 0

    def span(self, day: date, site: Site) -> tuple[int, int] | None:
        """Its start and end on a day, as moments; None for a flexible shift without core time."""
        if self.start is None or self.end is None:
            return None
        last = day if self.end > self.start else day + timedelta(days=1)
        return site.moment(day, self.start), site.moment(last, self.end)

    def pause(self, day: date, site: Site) -> Pause | None:
        """Its break on a day; None: it has none."""
        if not self.break_minutes:
            return None
        window = None
        if self.break_from is not None and self.break_to is not None:
            first = day + timedelta(days=self.start is not None and not self.flexible and self.break_from < self.start)
            window = site.moment(first, self.break_from), site.moment(first + timedelta(days=self.break_to <= self.break_from), self.break_to)
        return Pause(self.break_minutes, self.break_automatic, self.break_paid, window)


def _minute_of_day(at: time | None) -> int:
    return at.hour * 60 + at.minute if at is not None else 0


def _offset(start: time, at: time) -> int:
    """Minutes from one time of day to the next such time, 0 to a day less one."""
    return (_minute_of_day(at) - _minute_of_day(start)) % DAY


def _minutes(start: time, end: time) -> int:
    return _offset(start, end) or DAY


@dataclass(frozen=True)
class Pause:
    """The planned break of one day."""

    minutes: int
    automatic: bool
    paid: bool
    window: tuple[int, int] | None  # moments


@dataclass(frozen=True)
class Assignment:
    """From `since` on a person repeats `cycle`; `anchor` is one of the days on which its first entry falls.

    The same every week: seven entries from a Monday. Rotating: as many days as needed, with a different anchor for each
    crew. None is a free day; an empty cycle means no plan from then on.
    """

    since: date
    cycle: tuple[Shift | None, ...]
    anchor: date
    pairing: Pairing | None = None  # None: the site's

    def __post_init__(self) -> None:
        if len(self.cycle) > 366:
            raise TimesheetError(f"a cycle of shifts has at most 366 days, got {len(self.cycle)}", code="timesheet.cycle")

    def shift(self, day: date) -> Shift | None:
        return self.cycle[(day - self.anchor).days % len(self.cycle)] if self.cycle else None


def overlapping(cycle: Sequence[Shift | None]) -> tuple[Shift, Shift] | None:
    """Two fixed shifts that follow each other in a cycle, of which the first has not ended when the second begins; None: there are none."""
    for first, second in zip(cycle, [*cycle[1:], *cycle[:1]], strict=True):
        if first is None or second is None or first.flexible or second.flexible:
            continue
        if _minute_of_day(first.start) + first.length > DAY + _minute_of_day(second.start):
            return first, second
    return None


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

    def on(self, day: date) -> bool:
        return self.first <= day <= self.last

    def conflicts(self, other: Absence) -> bool:
        """Whether both have a day and neither interrupts the other."""
        pairs = {(self.kind, other.kind), (other.kind, self.kind)}
        return self.first <= other.last and other.first <= self.last and not pairs & INTERRUPTS


@dataclass(frozen=True)
class Employment:
    """A person's first and last day of employment; None: unlimited on that side."""

    first: date | None = None
    last: date | None = None

    def __post_init__(self) -> None:
        if self.first and self.last and self.last < self.first:
            raise TimesheetError(f"employment: its last day {self.last} lies before its first {self.first}", code="timesheet.employment")

    def touches(self, first: date, last: date) -> bool:
        """Whether it has one of these days."""
        return (self.first is None or self.first <= last) and (self.last is None or self.last >= first)


def employed(employments: Sequence[Employment], first: date, last: date) -> bool:
    """Whether a person is employed on one of these days; with no days stated, always."""
    return not employments or any(employment.touches(first, last) for employment in employments)


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
    pause: Pause | None = None
    flexible: bool = False  # the span is a core time
    plan: bool = True  # False: no plan is in force, so that work is neither overtime nor short
    employed: bool = True
    pairing: Pairing = "every"

    @property
    def boundaries(self) -> tuple[int, int] | None:
        """When the person is expected to come and to go; None: that is not planned."""
        return None if self.flexible else self.span


@dataclass(frozen=True)
class Schedule:
    """Everything planned for one person."""

    assignments: Sequence[Assignment] = ()
    holidays: Mapping[date, str] = field(default_factory=dict)
    absences: Sequence[Absence] = ()
    employments: Sequence[Employment] = ()  # none: unlimited

    def planned(self, day: date, site: Site) -> Planned:
        """A holiday overrides an absence, and both override the shift; of several assignments from the same day on, the last one holds."""
        assignment = self._assignment(day)
        pairing = assignment.pairing if assignment and assignment.pairing else site.pairing
        if not employed(self.employments, day, day):
            return Planned(day, "free", "", plan=False, employed=False, pairing=pairing)
        shift = assignment.shift(day) if assignment else None
        span = shift.span(day, site) if shift else None
        minutes = _work_minutes(shift, span) if shift else 0
        own = Planned(day, "free", "", span, flexible=bool(shift and shift.flexible), plan=bool(assignment and assignment.cycle), pairing=pairing)
        if day in self.holidays:
            return replace(own, kind="holiday", title=self.holidays[day], credited_minutes=minutes)
        if absence := self.absence(day):
            due, credited = (minutes if ABSENCES[absence.kind] == effect else 0 for effect in ("due", "credited"))
            return replace(own, kind="absence", title=absence.kind, due_minutes=due, credited_minutes=credited)
        if shift is None:
            return own
        return replace(own, kind="work", title=shift.name, due_minutes=minutes, grace_minutes=shift.grace_minutes, pause=shift.pause(day, site))

    def absence(self, day: date) -> Absence | None:
        """The absence that counts on a day: one that interrupts another goes first."""
        found = [absence for absence in self.absences if absence.on(day)]
        interrupting = {first for first, _ in INTERRUPTS}
        return min(found, key=lambda absence: (absence.kind not in interrupting, absence.first, absence.kind), default=None)

    def _assignment(self, day: date) -> Assignment | None:
        begun = [assignment for assignment in self.assignments if assignment.since <= day]
        return sorted(begun, key=lambda assignment: assignment.since)[-1] if begun else None


def _work_minutes(shift: Shift, span: tuple[int, int] | None) -> int:
    if shift.minutes is not None:
        return shift.minutes
    assert span is not None
    return max(0, span[1] - span[0] - (0 if shift.break_paid else shift.break_minutes))
