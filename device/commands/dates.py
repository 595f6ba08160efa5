"""Days and times on the command line: in local time unless an offset is given."""

from __future__ import annotations

import argparse
from datetime import date, datetime, timedelta


def first_moment(text: str) -> float:
    """s since the epoch; for a plain day its first moment. For `argparse` (`type=`)."""
    return _moment(text, days=0)


def last_moment(text: str) -> float:
    """s since the epoch; for a plain day its end."""
    return _moment(text, days=1)


def _moment(text: str, days: int) -> float:
    """s since the epoch; for a plain day its local midnight, `days` later."""
    try:
        if len(text) == len("2026-11-24"):
            return datetime.combine(date.fromisoformat(text) + timedelta(days=days), datetime.min.time()).timestamp()
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise argparse.ArgumentTypeError(f"{text!a} is neither a day (2026-11-24) nor a time (2026-11-24T08:00 or 2026-11-24T07:00:00Z)") from error
