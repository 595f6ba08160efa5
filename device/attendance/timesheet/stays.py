"""Which punches belong together, to which day, and what lies between them.

One rule: time counts only between two punches that fit together. The time between any others is neither work nor break,
and the day lists what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Literal, cast

from device.attendance.timesheet.counted import counted
from device.attendance.timesheet.directions import AFTER, DOOR_MINUTES, At, Step, begins_anew, is_departure, repeats
from device.attendance.timesheet.shifts import Planned
from device.attendance.timesheet.windows import Windows
from device.attendance.timesheet.worksite import Site, minute
from device.storage.effective import Entry

Fault = Literal["missing in", "missing out", "missing break start", "missing break end"]

# Two consecutive punches of one day -> the time between them, or what is missing. An "in" that does not end a break begins a new stay:
# when the stay before it is open, the "out" of that stay is missing.
BETWEEN: dict[tuple[Step, Step], Literal["work", "break"] | Fault] = {
    ("in", "out"): "work",
    ("in", "break_start"): "work",
    ("break_end", "out"): "work",
    ("break_end", "break_start"): "work",
    ("break_start", "break_end"): "break",
    ("break_start", "in"): "break",
    ("out", "in"): "break",  # left and came back on the same day
    ("out", "break_end"): "break",
    ("out", "out"): "missing in",
    ("out", "break_start"): "missing in",
    ("in", "break_end"): "missing break start",
    ("break_end", "break_end"): "missing break start",
    ("break_start", "out"): "missing break end",
    ("break_start", "break_start"): "missing break end",
}
BREAKS = ("break_start", "break_end")


@dataclass(frozen=True)
class Stamp:
    """A punch whose direction is no longer `auto`."""

    at: int  # moment
    step: Step
    entry: Entry


@dataclass(frozen=True)
class Stay:
    """From an arrival to the matching departure, breaks included; all of it belongs to the day on which it began."""

    day: date
    stamps: tuple[Stamp, ...]
    check_out: int | None = None  # the moment at which somebody without a departure counts as gone; nobody has recorded it

    @property
    def open(self) -> bool:
        return self.stamps[-1].step != "out" and self.check_out is None

    @property
    def steps(self) -> list[tuple[int, Step]]:
        """Its punches, and the automatic check-out."""
        steps: list[tuple[int, Step]] = [(stamp.at, stamp.step) for stamp in self.stamps]
        return steps if self.check_out is None else [*steps, (self.check_out, "out")]


def stays(entries: Sequence[Entry], windows: Windows) -> list[Stay]:
    """Group the punches that count, ordered by time, into stays.

    `auto` becomes the step that follows the previous one, or "in" where a new stay begins (`directions.py`). A repeated punch is left out.
    """
    first_last = {number for number, entry in enumerate(entries) if windows.planned(windows.day_of(at(entry).moment)).pairing == "first_last"}
    found = _alternating([entry for number, entry in enumerate(entries) if number not in first_last], windows)
    found += _first_and_last([entries[number] for number in sorted(first_last)], windows)
    return sorted(found, key=lambda stay: stay.stamps[0].entry.occurred_at)


def _alternating(entries: Sequence[Entry], windows: Windows) -> list[Stay]:
    found: list[Stay] = []
    punches = [at(entry) for entry in entries]
    for number, (entry, punch) in enumerate(zip(entries, punches, strict=True)):
        last = found[-1].stamps[-1] if found else None
        anew = number == 0 or begins_anew(punches[number - 1], punch, windows)
        if last and not anew and repeats(last.at, last.step, punch, windows):
            continue
        running = found[-1] if found and not anew and _runs(found[-1], punch.moment, windows) else None
        stamp = Stamp(punch.moment, _step(number, punches, running, windows), entry)
        if running and (stamp.step != "in" or running.stamps[-1].step == "break_start"):
            found[-1] = Stay(running.day, (*running.stamps, stamp))
        else:
            found.append(Stay(windows.day_of(punch.moment), (stamp,)))
    return found


def _runs(stay: Stay, moment: int, windows: Windows) -> bool:
    return stay.open and moment - stay.stamps[0].at <= windows.longest_stay(stay.stamps[0].at)


def _step(number: int, punches: Sequence[At], running: Stay | None, windows: Windows) -> Step:
    punch = punches[number]
    if punch.direction != "auto":
        return punch.direction
    if running:
        return cast(Step, AFTER[running.stamps[-1].step])
    return "out" if _alone(number, punches, windows) and is_departure(punch.moment, windows) else "in"


def _alone(number: int, punches: Sequence[At], windows: Windows) -> bool:
    """Whether no other punch of its shift, or of its day, stands beside one, but for repetitions."""
    slot = windows.slot_of(punches[number].moment)
    beside = [punches[number - 1]] if number else []
    beside += next(([later] for later in punches[number + 1 :] if later.moment - punches[number].moment > DOOR_MINUTES), [])
    return all(windows.slot_of(other.moment) != slot for other in beside)


def _first_and_last(entries: Sequence[Entry], windows: Windows) -> list[Stay]:
    """One stay per shift, or per day without one: from its first punch that may be an arrival to its last that may be a departure.

    Between them, breaks that were pressed count.
    """
    found = []
    for (day, _), group in groupby(entries, key=lambda entry: windows.slot_of(at(entry).moment)):
        own = list(group)
        arrivals, departures = ([entry for entry in own if entry.direction != other] for other in ("out", "in"))
        first, last = (arrivals or own)[0], (departures or own)[-1]
        start, end = at(first).moment, at(last).moment
        if end - start <= windows.site.repeat_minutes:
            step: Step = "out" if not arrivals or (departures and is_departure(start, windows)) else "in"
            found.append(Stay(day, (Stamp(start, step, first),)))
            continue
        between = own[own.index(first) + 1 : own.index(last)]
        breaks = [Stamp(at(one).moment, cast(Step, one.direction), one) for one in between if one.direction in BREAKS]
        found.append(Stay(day, (Stamp(start, "in", first), *breaks, Stamp(end, "out", last))))
    return found


def at(entry: Entry) -> At:
    return At(minute(entry.occurred_at), entry.direction)


@dataclass(frozen=True)
class Span:
    """Work, a break, or the time away between two shifts of a day, first to last moment."""

    kind: Literal["work", "break", "gap"]
    start: int
    end: int

    @property
    def minutes(self) -> int:
        return self.end - self.start


def spans(day: Sequence[Stay], planned: Planned, site: Site, still_there: bool, margins: bool = True) -> tuple[list[Span], list[Fault]]:
    """The spans of the stays of one day, in order of time, and what is missing.

    Args:
        still_there: the last stay is not over yet, so its departure is not missing.
        margins: whether the margins of the shifts are applied.
    """
    times: list[Span] = []
    faults: list[Fault] = []
    moments = iter(counted([step for stay in day for step in stay.steps], planned, site, margins))
    before: tuple[int, Step, int] | None = None  # the departure that the stay follows: when, as what, from when it counts
    for number, stay in enumerate(day):
        row = [*([before] if before else []), *((at, step, next(moments)) for at, step in stay.steps)]
        if before is None and row[0][1] != "in":
            faults.append("missing in")
        for (first, step, begin), (second, following, end) in zip(row, row[1:], strict=False):
            between = BETWEEN[step, following]
            if between == "work" or between == "break":
                apart = step == "out" and planned.part_at(first) != planned.part_at(second)
                times.append(Span("gap" if apart else between, begin, end))
            else:
                faults.append(between)
        if stay.open and not (still_there and number == len(day) - 1):
            faults.append("missing out")
        before = None if stay.open else row[-1]
    return times, faults
