"""Days and times on the command line: by the site's clock unless an offset is given."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from device.system.time_zones import LocalClock


@dataclass(frozen=True)
class Given:
    """A day or a time as it was given; which moment that is depends on the site's time zone, which is in the database."""

    wall: datetime  # with an offset, or by the site's clock
    whole_day: bool

    def seconds(self, clock: LocalClock) -> float:
        """s since the epoch.

        Raises:
            LocalTimeError: the clocks skip or repeat this time; an offset says which is meant.
        """
        if self.wall.tzinfo is not None:
            return self.wall.timestamp()
        if self.whole_day:  # a midnight that the clocks skip is the end of the day before all the same
            return self.wall.replace(tzinfo=clock.zone).timestamp()
        return clock.moment(self.wall.date(), self.wall.time())


def first_moment(text: str) -> Given:
    """A time, or a day's first moment. For `argparse` (`type=`)."""
    return _given(text, days=0)


def last_moment(text: str) -> Given:
    """A time, or a day's end."""
    return _given(text, days=1)


def span(since: Given | None, until: Given | None, clock: LocalClock) -> tuple[float, float]:
    """`--from` and `--to` as s since the epoch; without limit where they are not given.

    Raises:
        ArgumentTypeError: the one lies after the other.
        LocalTimeError: as `Given.seconds`.
    """
    first = 0.0 if since is None else since.seconds(clock)
    last = float("inf") if until is None else until.seconds(clock)
    if first >= last:
        raise argparse.ArgumentTypeError("--from lies after --to")
    return first, last


def _given(text: str, days: int) -> Given:
    try:
        if len(text) == len("2026-11-24"):
            return _possible(Given(datetime.combine(date.fromisoformat(text) + timedelta(days=days), datetime.min.time()), True))
        return _possible(Given(datetime.fromisoformat(text.replace("Z", "+00:00")), False))
    except (ValueError, OverflowError, OSError) as error:
        raise argparse.ArgumentTypeError(f"{text!a} is neither a day (2026-11-24) nor a time (2026-11-24T08:00 or 2026-11-24T07:00:00Z)") from error


def _possible(given: Given) -> Given:
    """Raises ValueError: no clock shows this time."""
    if not -2e9 < given.wall.replace(tzinfo=given.wall.tzinfo or timezone.utc).timestamp() < 2e11:
        raise ValueError("beyond every log")
    return given
