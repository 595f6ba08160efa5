"""When a person is not expected: absences of days, of half a day and of some hours, and employment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Literal

from device.attendance.timesheet.parts import Part, halves, minutes_between, offset, without
from device.attendance.timesheet.worksite import Site, TimesheetError
from device.contract import phrase

Half = Literal["first", "second"]
Effect = Literal["credited", "due", "neither"]
ABSENCES: dict[str, Effect] = {  # kind -> what becomes of the shift's hours
    "vacation": "credited",
    "sick": "credited",
    "training": "credited",
    "compensation": "due",  # hours taken off: nobody works them, so they reduce the balance
    "unpaid": "neither",
}
INTERRUPTS = frozenset({("sick", "vacation")})  # the first of a pair counts on the days that both have; no other absences may overlap


@dataclass(frozen=True)
class Absence:
    """A person is not expected from `first` to `last`, both included; of one day it can be a half, or the time from `since` to `until`."""

    first: date
    last: date
    kind: str
    half: Half | None = None
    since: time | None = None  # local; where the shift runs over midnight, also after it
    until: time | None = None

    def __post_init__(self) -> None:
        if self.kind not in ABSENCES:
            raise self._refused(phrase("absence.kind", "expected one of {known}, got {got!r}", known=", ".join(ABSENCES), got=self.kind[:40]))
        if self.last < self.first:
            raise self._refused(phrase("absence.days", "its last day {last} lies before its first {first}", first=self.first, last=self.last))
        if self.half not in (None, "first", "second"):
            raise self._refused(phrase("absence.half", "half expected first or second, got {got!r}", got=str(self.half)[:20]))
        if (self.since is None) != (self.until is None) or (self.since is not None and self.since == self.until):
            words = "expected a time from and a later time to, got {first} and {last}"
            raise self._refused(phrase("absence.times", words, first=self.since, last=self.until))
        if not self.whole and (self.first != self.last or (self.half and self.since)):
            words = "half a day, or a time from and to, are of one day, and only one of the two can be given"
            raise self._refused(phrase("absence.part", words))

    def _refused(self, why: str) -> TimesheetError:
        return TimesheetError(phrase("absence.wrong", "absence: {why}", why=why), code="timesheet.absence")

    @property
    def whole(self) -> bool:
        """Whether it has its days whole."""
        return self.half is None and self.since is None

    @property
    def when(self) -> str:
        """Which part of its day, in words; empty: the whole day."""
        times = f"{self.since:%H:%M}-{self.until:%H:%M}" if self.since is not None else ""
        return f"{self.half} half" if self.half else times

    def on(self, day: date) -> bool:
        return self.first <= day <= self.last

    def conflicts(self, other: Absence) -> bool:
        """Whether both have a day, or the same part of it, and neither interrupts the other."""
        pairs = {(self.kind, other.kind), (other.kind, self.kind)}
        return self.first <= other.last and other.first <= self.last and not pairs & INTERRUPTS and self._meets(other)

    def _meets(self, other: Absence) -> bool:
        """Of one day. Which hours a half has follows from the plan; what it has in common with a time from and to counts once."""
        if self.whole or other.whole:
            return True
        if self.since is None or self.until is None or other.since is None or other.until is None:
            return self.half == other.half
        length, others = minutes_between(self.since, self.until), minutes_between(other.since, other.until)
        return offset(self.since, other.since) < length or offset(other.since, self.since) < others

    def moments(self, day: date, site: Site, parts: Sequence[Part]) -> tuple[int, int]:
        """From when to when it lasts, where it has times: on the day, or after midnight where more of the shifts lies there."""
        assert self.since is not None and self.until is not None
        choices = []
        for later in (0, 1):
            first = day + timedelta(days=later)
            choices.append((site.moment(first, self.since), site.moment(first + timedelta(days=self.until < self.since), self.until)))
        spans = [part.span for part in parts if part.span]
        return max(choices, key=lambda own: sum(max(0, min(own[1], span[1]) - max(own[0], span[0])) for span in spans))


@dataclass(frozen=True)
class Employment:
    """A person's first and last day of employment; None: unlimited on that side."""

    first: date | None = None
    last: date | None = None

    def __post_init__(self) -> None:
        if self.first and self.last and self.last < self.first:
            words = phrase("employment.days", "employment: its last day {last} lies before its first {first}", first=self.first, last=self.last)
            raise TimesheetError(words, code="timesheet.employment")

    def touches(self, first: date, last: date) -> bool:
        """Whether it has one of these days."""
        return (self.first is None or self.first <= last) and (self.last is None or self.last >= first)


def employed(employments: Sequence[Employment], first: date, last: date) -> bool:
    """Whether a person is employed on one of these days; with no days stated, always."""
    return not employments or any(employment.touches(first, last) for employment in employments)


@dataclass(frozen=True)
class TimeOff:
    """What one absence takes of a day."""

    kind: str
    when: str  # which part of the day, in words; empty: all of it
    minutes: int  # of what was due


def remainder(absences: Sequence[Absence], parts: tuple[Part, ...], day: date, site: Site) -> tuple[tuple[Part, ...], tuple[TimeOff, ...]]:
    """What absences leave of the parts of a day, and what each of them takes; one that interrupts another goes first."""
    own = sorted((absence for absence in absences if absence.on(day)), key=_turn)
    left = list(halves(parts)) if any(absence.half for absence in own) else [list(parts), []]
    off: list[TimeOff] = []
    for absence in own:
        before = _due(left)
        left = _taken(left, absence, absence.moments(day, site, parts) if absence.since else None)
        if before > _due(left) or (absence.whole and not off):
            off.append(TimeOff(absence.kind, absence.when, before - _due(left)))
    return tuple(part for pieces in left for part in pieces), tuple(off)


def _due(left: Sequence[Sequence[Part]]) -> int:
    return sum(part.due_minutes for pieces in left for part in pieces)


def _turn(absence: Absence) -> tuple[object, ...]:
    """In which order absences of one day count, whatever the order in which they were entered."""
    interrupting = {first for first, _ in INTERRUPTS}
    return absence.kind not in interrupting, absence.whole, absence.half or "z", absence.since or time(0), absence.first, absence.kind


def _taken(left: list[list[Part]], absence: Absence, times: tuple[int, int] | None) -> list[list[Part]]:
    """Both halves of a day less what an absence takes."""
    if times:
        return [[piece for part in pieces for piece in without(part, *times)] for pieces in left]
    return [[] if absence.whole or absence.half == name else pieces for name, pieces in zip(("first", "second"), left, strict=True)]
