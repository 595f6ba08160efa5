"""The parts of a planned day: its shifts, and what an absence of some hours leaves of them. Moments are minutes since the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import time

DAY = 24 * 60


@dataclass(frozen=True)
class Pause:
    """The planned break of a part."""

    minutes: int
    automatic: bool
    paid: bool
    window: tuple[int, int] | None  # moments


@dataclass(frozen=True)
class Part:
    """A shift on one day, or a piece of it."""

    title: str
    span: tuple[int, int] | None  # start and end, of a flexible shift its core time; None: a flexible shift without one
    due_minutes: int = 0
    pause: Pause | None = None
    flexible: bool = False
    late_grace_minutes: int = 0
    early_grace_minutes: int = 0
    before_minutes: int = 0  # who comes at most so long before the start is counted from the start
    after_minutes: int = 0  # who leaves at most so long after the end is counted until the end
    check_out: int | None = None  # minute of the day at which somebody without a departure counts as gone; None: as the site says
    half_day_minutes: int = 0  # less work is half a day
    absent_minutes: int = 0  # less work is absence

    @property
    def boundaries(self) -> tuple[int, int] | None:
        """When the person is expected to come and to go; None: that is not planned."""
        return None if self.flexible else self.span


def halves(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """A day cut in two by what is due; a shift that is cut loses its break."""
    left = sum(part.due_minutes for part in parts) // 2
    first, second = list[Part](), list[Part]()
    for part in parts:
        if 0 < left < part.due_minutes:
            pieces = _cut(part, left)
            first.append(pieces[0])
            second.append(pieces[1])
        else:
            (first if part.due_minutes <= left else second).append(part)
        left -= min(left, part.due_minutes)
    return first, second


def _cut(part: Part, minutes: int) -> tuple[Part, Part]:
    """The first so many minutes of work of a part, and the rest."""
    rest = part.due_minutes - minutes
    if part.span is None:
        spans: tuple[tuple[int, int] | None, tuple[int, int] | None] = (None, None)
    elif part.flexible:
        middle = sum(part.span) // 2
        spans = (part.span[0], middle), (middle, part.span[1])
    else:
        spans = (part.span[0], part.span[0] + minutes), (part.span[1] - rest, part.span[1])
    return _piece(part, spans[0], minutes), _piece(part, spans[1], rest)


def without(part: Part, begin: int, end: int) -> list[Part]:
    """What is left of a part when a person is away between two moments: nothing, one piece, or one before and one after it."""
    if part.flexible:
        return _flexible_without(part, begin, end)
    assert part.span is not None
    if end <= part.span[0] or begin >= part.span[1]:
        return [part]
    spans = _outside(part.span, begin, end)
    pauses = _shared(part.pause, spans)
    worked = [last - first - (pause.minutes if pause and not pause.paid else 0) for (first, last), pause in zip(spans, pauses, strict=True)]
    return [replace(_piece(part, span, due), pause=pause) for span, pause, due in zip(spans, pauses, worked, strict=True)]


def _flexible_without(part: Part, begin: int, end: int) -> list[Part]:
    """Its hours become fewer by the time away, and what lies of its core time in that is not core time."""
    due = max(0, part.due_minutes - (end - begin))
    spans = _outside(part.span, begin, end) if part.span else []
    pieces = [replace(_piece(part, span, 0), pause=None) for span in spans[1:]]
    return [replace(_piece(part, spans[0] if spans else None, due), pause=part.pause), *pieces] if due else []


def _outside(span: tuple[int, int], begin: int, end: int) -> list[tuple[int, int]]:
    pieces = (span[0], min(begin, span[1])), (max(end, span[0]), span[1])
    return [(first, last) for first, last in pieces if first < last]


def _shared(pause: Pause | None, spans: Sequence[tuple[int, int]]) -> list[Pause | None]:
    """The break of a part goes to the piece that has most room for it, and what finds no room there to the next; the rest falls away."""
    found: list[Pause | None] = [None] * len(spans)
    left = pause.minutes if pause else 0
    rooms = [span if pause is None or pause.window is None else _common(span, pause.window) for span in spans]
    for number in sorted(range(len(spans)), key=lambda number: rooms[number][0] - rooms[number][1]):
        first, last = rooms[number]
        if pause and left > 0 and last > first:
            found[number] = replace(pause, minutes=min(left, last - first), window=(first, last) if pause.window else None)
            left -= last - first
    return found


def _common(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return max(one[0], other[0]), min(one[1], other[1])


def _piece(part: Part, span: tuple[int, int] | None, due: int) -> Part:
    """What is left of a part without its break; less work is asked for in the proportion of what is due."""
    half, absent = (minutes * due // max(part.due_minutes, 1) for minutes in (part.half_day_minutes, part.absent_minutes))
    return replace(part, span=span, due_minutes=due, pause=None, half_day_minutes=half, absent_minutes=absent)


def minute_of_day(at: time | None) -> int:
    return at.hour * 60 + at.minute if at is not None else 0


def offset(start: time, at: time) -> int:
    """Minutes from one time of day to the next such time, 0 to a day less one."""
    return (minute_of_day(at) - minute_of_day(start)) % DAY


def minutes_between(start: time, end: time) -> int:
    return offset(start, end) or DAY
