"""Which punches belong together, to which day, and what lies between them.

One rule: time counts only between two punches that fit together. The time between any others is neither work nor break,
and the day lists what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, cast

from device.attendance.policy import AFTER
from device.attendance.timesheet.worksite import Site, minute
from device.storage.effective import Entry

Step = Literal["in", "out", "break_start", "break_end"]
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

    @property
    def open(self) -> bool:
        return self.stamps[-1].step != "out"


def stays(entries: Sequence[Entry], site: Site, day_of: Callable[[int], date]) -> list[Stay]:
    """Group punches, ordered by time, into stays.

    `auto` becomes the step that follows the previous one, or "in" where the stay would be too long. A repeated punch is left out.
    """
    found: list[Stay] = []
    for entry in entries:
        at = minute(entry.occurred_at)
        last = found[-1] if found else None
        if last and entry.direction in (last.stamps[-1].step, "auto") and at - last.stamps[-1].at <= site.repeat_minutes:
            continue
        running = last if last and last.open and at - last.stamps[0].at <= site.longest_stay_hours * 60 else None
        stamp = Stamp(at, _step(entry, running), entry)
        if running and (stamp.step != "in" or running.stamps[-1].step == "break_start"):
            found[-1] = Stay(running.day, (*running.stamps, stamp))
        else:
            found.append(Stay(day_of(at), (stamp,)))
    return found


def _step(entry: Entry, running: Stay | None) -> Step:
    if entry.direction != "auto":
        return entry.direction
    return cast(Step, AFTER[running.stamps[-1].step]) if running else "in"


@dataclass(frozen=True)
class Span:
    """Work or a break, first to last moment."""

    kind: Literal["work", "break"]
    start: int
    end: int

    @property
    def minutes(self) -> int:
        return self.end - self.start


def spans(day: Sequence[Stay], site: Site, still_there: bool) -> tuple[list[Span], list[Fault]]:
    """The spans of the stays of one day, in order of time, and what is missing.

    Args:
        still_there: the last stay is not over yet, so its departure is not missing.
    """
    times: list[Span] = []
    faults: list[Fault] = []
    for number, stay in enumerate(day):
        before = day[number - 1] if number else None
        row = [*(before.stamps[-1:] if before and not before.open else ()), *stay.stamps]
        if row[0] is stay.stamps[0] and row[0].step != "in":
            faults.append("missing in")
        for first, second in zip(row, row[1:], strict=False):
            between = BETWEEN[first.step, second.step]
            if between in ("work", "break"):
                times.append(Span(between, site.rounded(first.at), site.rounded(second.at)))
            else:
                faults.append(cast(Fault, between))
        if stay.open and not (still_there and number == len(day) - 1):
            faults.append("missing out")
    return times, faults
