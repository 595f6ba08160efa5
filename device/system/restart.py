"""Restart of failed parts, with growing waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

Say = Callable[[str], None]


def no_jitter() -> float:
    return 1.0


@dataclass(frozen=True)
class Backoff:
    """How long to wait before the next attempt: 1, 2, 4 .. seconds up to a limit. Pure: the caller counts the failures and passes chance in.

    With jitter, half of each wait is fixed and half is random, so that many terminals do not return at the same moment ("equal jitter").

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    first_seconds: float = 1.0
    limit_seconds: float = 30.0
    chance: Callable[[], float] = no_jitter  # 0 <= x <= 1, such as random.random

    def wait(self, failures: int) -> float:
        """s until the next attempt after this many failures in a row (at least 1)."""
        doubled = self.first_seconds * 2.0 ** min(failures - 1, 60)
        return min(doubled, self.limit_seconds) * (0.5 + 0.5 * self.chance())


def kept_running(name: str, work: Callable[[], None], stop: threading.Event, say: Say, backoff: Backoff | None = None) -> None:
    """Do the work on this thread; report each failure and start again, until the work ends by itself or `stop` is set."""
    backoff, failures = backoff or Backoff(), 0
    while not stop.is_set():
        try:
            work()
            return
        except Exception as error:  # any error: the other parts go on, and this one is restarted
            failures += 1
            seconds = backoff.wait(failures)
            say(f"{name} failed ({in_words(error)}); it starts again in {seconds:g} s")
            stop.wait(seconds)


def in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
