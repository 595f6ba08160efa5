"""Automatic check-out: a stay without a departure ends at a stated time. It is computed at each view and stands in no log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import time, timedelta

from device.attendance.timesheet.stays import Stay
from device.attendance.timesheet.windows import Windows


def checked_out(found: Sequence[Stay], windows: Windows, as_of: int) -> list[Stay]:
    """The stays, those without a departure ended by then, unless the person was seen later."""
    result = []
    for stay, following in zip(found, [*found[1:], None], strict=False):
        at = check_out_of(stay, windows)
        seen = at is not None and following is not None and following.stamps[0].at < at
        result.append(stay if at is None or at > as_of or seen else replace(stay, check_out=at))
    return result


def check_out_of(stay: Stay, windows: Windows) -> int | None:
    """The first such time after the last punch of an open stay, if a stay may last so long; None: it has a departure, or no such time is stated."""
    at = _time(stay, windows) if stay.open else None
    if at is None:
        return None
    last, site = stay.stamps[-1].at, windows.site
    day = site.local(last).date()
    moments = (site.moment(day + timedelta(days=later), at) for later in (0, 1))
    moment = next(moment for moment in moments if moment > last)
    return moment if moment - stay.stamps[0].at <= windows.longest_stay(stay.stamps[0].at) else None


def _time(stay: Stay, windows: Windows) -> time | None:
    slot = windows.slot_of(stay.stamps[-1].at)
    parts = windows.planned(stay.day).parts
    minute = parts[slot.part].check_out if parts and slot.day == stay.day else None
    return windows.site.check_out if minute is None else time(*divmod(minute, 60))
