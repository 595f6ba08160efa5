"""Directions that nobody pressed: which step a punch is, from the punch before it and the planned shift.

Whether a punch begins a new stay depends only on the punch before it and on the plan, never on how far back somebody reads. So
`begins_anew` also says from where on punches can be read: the steps after such a punch are the same wherever reading starts.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from device.attendance.timesheet.windows import SLACK_MINUTES, Windows
from device.storage.records import Direction

Step = Literal["in", "out", "break_start", "break_end"]
AFTER: dict[Direction, Direction] = {"in": "out", "out": "in", "break_start": "break_end", "break_end": "out", "auto": "in"}
DOOR_MINUTES = 15  # around the start or the end of a shift, a second punch so soon after the first one is a repetition
NEAR_MINUTES = 60  # so near to the start or the end of a shift a punch is an arrival or a departure


class At(NamedTuple):
    """A punch."""

    moment: int  # minutes since the epoch
    direction: Direction


def begins_anew(before: At, punch: At, windows: Windows) -> bool:
    """Whether a punch begins a new stay whatever the one before it was a part of."""
    gap = punch.moment - before.moment
    if gap > windows.longest_stay(before.moment):
        return True
    if gap <= max(windows.site.repeat_minutes, DOOR_MINUTES):
        return False
    if punch.direction == "auto":
        return before.direction == "out" or gap > windows.longest_gap(before.moment) or _arrives(before, punch, windows)
    return punch.direction == "in" and before.direction in ("in", "out")


def _arrives(before: At, punch: At, windows: Windows) -> bool:
    """Whether a punch is the first of its shift and nearer to the start of that shift than to the end of the one before."""
    slot, last = windows.slot_of(punch.moment), windows.slot_of(before.moment)
    own, earlier = windows.boundaries(slot), windows.boundaries(last)
    if last >= slot or own is None or punch.moment < own[0] - SLACK_MINUTES:
        return False
    late = abs(punch.moment - own[0])
    if last.day == slot.day and late >= abs(punch.moment - own[1]):
        return False  # of two shifts of one day, the end of the second
    return late < abs(punch.moment - earlier[1]) if earlier else late <= SLACK_MINUTES


def repeats(last: int, step: Step, punch: At, windows: Windows) -> bool:
    """Whether a punch repeats the step at the moment `last`: the same or no direction, soon after it."""
    gap = punch.moment - last
    if punch.direction not in (step, "auto") or gap < 0:
        return False
    return gap <= windows.site.repeat_minutes or (gap <= DOOR_MINUTES and _at_the_door(last, step, windows))


def _at_the_door(moment: int, step: Step, windows: Windows) -> bool:
    """Whether a step is the planned arrival or departure."""
    span = windows.boundaries(windows.slot_of(moment))
    if span is None or step not in ("in", "out"):
        return False
    return moment <= span[0] + NEAR_MINUTES if step == "in" else moment >= span[1] - NEAR_MINUTES


def is_departure(moment: int, windows: Windows) -> bool:
    """Whether the only punch of a shift is its departure: nearer to the end of the planned shift than to its start."""
    span = windows.boundaries(windows.slot_of(moment))
    return span is not None and moment >= max(span[1] - NEAR_MINUTES, (span[0] + span[1]) // 2)


def following(last: At | None, moment: int, windows: Windows) -> Direction:
    """The direction of a punch at the door, where nobody presses a button."""
    if last is None or begins_anew(last, At(moment, "auto"), windows):
        return "in"
    if last.direction != "auto" and moment - last.moment <= DOOR_MINUTES and _at_the_door(last.moment, last.direction, windows):
        return last.direction
    return AFTER[last.direction]
