"""When to try again: doubling waits with jitter, and what the target itself asks for. Pure; clock and chance are handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from device.config import OutboxSettings

LONGEST_ASKED = 86400.0  # s; a target that asks for more is asked again after a day


@dataclass(frozen=True)
class Backoff:
    """Half of each wait is fixed, half is chance: many terminals do not come back in one moment ("equal jitter").

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    settings: OutboxSettings
    chance: Callable[[], float]  # 0 <= x < 1

    def wait(self, failures: int, asked_seconds: float | None = None) -> float:
        """s until the next attempt after so many failures (at least 1); never less than the target asked for."""
        doubled = self.settings.first_retry_seconds * 2.0 ** min(failures - 1, 60)
        longest = min(doubled, self.settings.longest_retry_seconds)
        return max(longest * (0.5 + 0.5 * self.chance()), min(asked_seconds or 0.0, LONGEST_ASKED))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """`Retry-After` (RFC 9110, 10.2.3) in s; None where there is none or it cannot be read.

    A date is compared with the target's own `Date`, so that two clocks that disagree do no harm.
    """
    asked = headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return float(asked[:9])
    try:
        until = parsedate_to_datetime(asked).timestamp()
    except (ValueError, TypeError):
        return None
    with suppress(ValueError, TypeError):
        now = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    return max(0.0, until - now)
