"""What a person is planned to work: shifts, the cycle in which they follow each other, holidays, absences and employment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from functools import partial
from typing import Literal, TypeAlias

from device.attendance.timesheet.absences import ABSENCES, Absence, Employment, TimeOff, employed, remainder
from device.attendance.timesheet.parts import DAY, Part, Pause, minute_of_day, minutes_between, offset
from device.attendance.timesheet.worksite import Pairing, Site, TimesheetError
from device.contract import phrase

Kind = Literal["work", "free", "holiday", "absence"]
FAR = 1 << 40  # minutes: later than every moment
LIMITS = {  # of a shift, in minutes
    phrase("shift.of_break", "break_minutes"): 480, phrase("shift.of_work", "minutes"): DAY, phrase("shift.of_grace", "grace_minutes"): 120,
    phrase("shift.of_early_grace", "early_grace_minutes"): 120, phrase("shift.of_before", "before_minutes"): 720,
    phrase("shift.of_after", "after_minutes"): 720, phrase("shift.of_half_day", "half_day_minutes"): DAY, phrase("shift.of_absent", "absent_minutes"): DAY,
}  # fmt: skip
NEAR_PARTS = 120  # minutes: between parts of a day that lie nearer to each other a person may stay


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
    early_grace_minutes: int | None = None  # 0 to 120, to leave so much earlier; None: the same as `grace_minutes`
    before_minutes: int = 0  # 0 to 720: who comes at most so long before the start is counted from the start
    after_minutes: int = 0  # 0 to 720: who leaves at most so long after the end is counted until the end
    check_out: time | None = None  # somebody without a departure counts as gone at the first such time after the last punch; None: as the site says
    half_day_minutes: int = 0  # less work is half a day; 0: never
    absent_minutes: int = 0  # less work is absence; 0: only a day without a punch

    def __post_init__(self) -> None:
        if (self.start is None) != (self.end is None) or (self.flexible and self.start is not None and self.start == self.end):
            raise self._refused(phrase("shift.ends", "expected a start and a different end, got {first} and {last}", first=self.start, last=self.end))
        if self.minutes is None and self.start is None:
            raise self._refused(phrase("shift.times", "a fixed shift needs start and end, a flexible one minutes"))
        for key, high in LIMITS.items():
            if not 0 <= (getattr(self, key) or 0) <= high:
                raise self._refused(phrase("shift.range", "{key} expected 0 to {high}, got {got}", key=key, high=high, got=getattr(self, key)))
        if self.half_day_minutes and self.absent_minutes > self.half_day_minutes:
            words = "absent_minutes {absent} is more than half_day_minutes {half}"
            raise self._refused(phrase("shift.half", words, absent=self.absent_minutes, half=self.half_day_minutes))
        length = self.length if self.minutes is None else self.minutes
        if self.break_minutes and self.break_minutes >= length:
            words = "a break of {minutes} minutes does not fit into {length} minutes"
            raise self._refused(phrase("shift.break", words, minutes=self.break_minutes, length=length))
        self._check_window()

    def _check_window(self) -> None:
        if self.break_from is None and self.break_to is None:
            return
        if self.break_from is None or self.break_to is None or minutes_between(self.break_from, self.break_to) < self.break_minutes:
            words = "the break of {minutes} minutes does not fit between {first} and {last}"
            raise self._refused(phrase("shift.window", words, minutes=self.break_minutes, first=self.break_from, last=self.break_to))
        if self.start is not None and not self.flexible and offset(self.start, self.break_from) + minutes_between(self.break_from, self.break_to) > self.length:
            words = "the break between {first} and {last} lies outside the shift"
            raise self._refused(phrase("shift.outside", words, first=self.break_from, last=self.break_to))

    def _refused(self, why: str) -> TimesheetError:
        return TimesheetError(phrase("shift.wrong", "shift {name!r}: {why}", name=self.name, why=why), code="timesheet.shift")

    @property
    def flexible(self) -> bool:
        return self.minutes is not None

    @property
    def length(self) -> int:
        """Minutes from start to end by the clock; 0 without them."""
        return minutes_between(self.start, self.end) if self.start is not None and self.end is not None else 0

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


    def part(self, day: date, site: Site) -> Part:
        """The shift on a day."""
        span = self.span(day, site)
        early = self.grace_minutes if self.early_grace_minutes is None else self.early_grace_minutes
        return Part(
            self.name, span, self._due(span), self.pause(day, site), self.flexible, self.grace_minutes, early, self.before_minutes, self.after_minutes,
            None if self.check_out is None else minute_of_day(self.check_out), self.half_day_minutes, self.absent_minutes,
        )  # fmt: skip

    def _due(self, span: tuple[int, int] | None) -> int:
        if self.minutes is not None:
            return self.minutes
        assert span is not None
        return max(0, span[1] - span[0] - (0 if self.break_paid else self.break_minutes))


DayShifts: TypeAlias = "Shift | tuple[Shift, ...] | None"  # of one day: one shift, several in order of their starts, or none


@dataclass(frozen=True)
class Assignment:
    """From `since` on a person repeats `cycle`; `anchor` is one of the days on which its first entry falls.

    The same every week: seven entries from a Monday. Rotating: as many days as needed, with a different anchor for each
    crew. None is a free day; an empty cycle means no plan from then on. A day can have several shifts (a split shift).
    """

    since: date
    cycle: tuple[DayShifts, ...]
    anchor: date
    pairing: Pairing | None = None  # None: the site's

    def __post_init__(self) -> None:
        if len(self.cycle) > 366:
            raise TimesheetError(f"a cycle of shifts has at most 366 days, got {len(self.cycle)}", code="timesheet.cycle")

    def shifts(self, day: date) -> tuple[Shift, ...]:
        """In order of their starts."""
        return in_order(self.cycle[(day - self.anchor).days % len(self.cycle)]) if self.cycle else ()


def in_order(shifts: DayShifts) -> tuple[Shift, ...]:
    several = shifts if isinstance(shifts, tuple) else (shifts,) if shifts else ()
    return tuple(sorted(several, key=lambda shift: minute_of_day(shift.start)))


def misfit(cycle: Sequence[DayShifts]) -> str:
    """Why the shifts of a cycle do not fit together, as a sentence; "": they do."""
    days = [in_order(shifts) for shifts in cycle]
    for shifts, following in zip(days, [*days[1:], *days[:1]], strict=True):
        if alone := next((shift for shift in shifts if shift.flexible and len(shifts) > 1), None):
            return phrase("plan.flexible", "{name!r} is flexible and has to be the only shift of its day", name=alone.name)
        for first, second in zip(shifts, shifts[1:], strict=False):
            if minute_of_day(first.start) + first.length > minute_of_day(second.start):
                return phrase("plan.same_day", "{first!r} has not ended when {second!r} begins on the same day", first=first.name, second=second.name)
        if _runs_into(shifts[-1:], following[:1]):
            words = "{first!r} has not ended when {second!r} begins on the next day"
            return phrase("plan.next_day", words, first=shifts[-1].name, second=following[0].name)
    return ""


def _runs_into(last: Sequence[Shift], first: Sequence[Shift]) -> bool:
    """Whether the last shift of a day has not ended when the first one of the next day begins; one of them may be missing."""
    pairs = [(one, other) for one in last for other in first if not one.flexible and not other.flexible]
    return any(minute_of_day(one.start) + one.length > DAY + minute_of_day(other.start) for one, other in pairs)


@dataclass(frozen=True)
class Planned:
    """What is planned for one day of one person."""

    day: date
    kind: Kind
    title: str  # names of the shifts, of the holiday, or kind of absence
    span: tuple[int, int] | None = None  # start of the first shift, end of the last, also on a holiday and during an absence
    due_minutes: int = 0  # to be worked
    credited_minutes: int = 0  # paid without work
    parts: tuple[Part, ...] = ()  # in order of time; nothing is due in them on a holiday and during an absence
    plan: bool = True  # False: no plan is in force, so that work is neither overtime nor short
    employed: bool = True
    pairing: Pairing = "every"
    off: tuple[TimeOff, ...] = ()

    def part_at(self, moment: int) -> int:
        """The number of the part that a moment belongs to: two meet in the middle of the time between them."""
        return sum(moment >= middle for middle in self._middles) if len(self.parts) > 1 else 0

    def reach(self, number: int) -> tuple[int, int]:
        """From when to when moments belong to a part."""
        bounds = [-FAR, *self._middles, FAR]
        return bounds[number], bounds[number + 1]

    @property
    def _middles(self) -> list[int]:
        spans = [part.span for part in self.parts if part.span is not None]
        return [(first[1] + second[0]) // 2 for first, second in zip(spans, spans[1:], strict=False)]

    def stretch(self, number: int) -> int:
        """Minutes from start to end of a part, with those before and after it that follow within two hours; 0: no times are planned."""
        spans = [part.boundaries for part in self.parts]
        if not spans or spans[number] is None:
            return 0
        fixed = [span for span in spans if span is not None]
        first = last = number
        while first and fixed[first][0] - fixed[first - 1][1] <= NEAR_PARTS:
            first -= 1
        while last + 1 < len(fixed) and fixed[last + 1][0] - fixed[last][1] <= NEAR_PARTS:
            last += 1
        return fixed[last][1] - fixed[first][0]

    @property
    def longest(self) -> int:
        """The longest stretch of its parts."""
        return max((self.stretch(number) for number in range(len(self.parts))), default=0)


@dataclass(frozen=True)
class Schedule:
    """Everything planned for one person."""

    assignments: Sequence[Assignment] = ()
    holidays: Mapping[date, str] = field(default_factory=dict)
    absences: Sequence[Absence] = ()
    employments: Sequence[Employment] = ()  # none: unlimited

    def planned(self, day: date, site: Site) -> Planned:
        """A holiday overrides an absence, and both override the shifts; of several assignments from the same day on, the last one holds."""
        assignment = self._assignment(day)
        pairing = assignment.pairing if assignment and assignment.pairing else site.pairing
        if not employed(self.employments, day, day):
            return Planned(day, "free", "", plan=False, employed=False, pairing=pairing)
        parts = tuple(shift.part(day, site) for shift in assignment.shifts(day)) if assignment else ()
        own = partial(Planned, day, span=_envelope(parts), plan=bool(assignment and assignment.cycle), pairing=pairing)
        if day in self.holidays:
            return own(kind="holiday", title=self.holidays[day], credited_minutes=sum(part.due_minutes for part in parts), parts=_idle(parts))
        left, off = remainder(self.absences, parts, day, site)
        credited, due = (sum(one.minutes for one in off if ABSENCES[one.kind] == effect) for effect in ("credited", "due"))
        if off and not left:
            title = ", ".join(dict.fromkeys(one.kind for one in off))
            return own(kind="absence", title=title, due_minutes=due, credited_minutes=credited, parts=_idle(parts), off=off)
        if not parts:
            return own(kind="free", title="")
        title, due = " + ".join(dict.fromkeys(part.title for part in parts)), due + sum(part.due_minutes for part in left)
        return own(kind="work", title=title, due_minutes=due, credited_minutes=credited, parts=left, off=off)

    def _assignment(self, day: date) -> Assignment | None:
        begun = [assignment for assignment in self.assignments if assignment.since <= day]
        return sorted(begun, key=lambda assignment: assignment.since)[-1] if begun else None


def _idle(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The times of a day on which nobody has to work; punches are still paired by them."""
    return tuple(replace(part, due_minutes=0, pause=None) for part in parts)


def _envelope(parts: Sequence[Part]) -> tuple[int, int] | None:
    spans = [part.span for part in parts if part.span is not None]
    return (spans[0][0], spans[-1][1]) if spans else None
