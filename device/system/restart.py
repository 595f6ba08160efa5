"""Parts that start again alone, with growing pauses."""

from __future__ import annotations

import threading
from collections.abc import Callable

Say = Callable[[str], None]


class Backoff:
    """How long to wait before the next try: 1, 2, 4 .. seconds up to a limit, until something works again."""

    def __init__(self, first_seconds: float = 1.0, limit_seconds: float = 30.0) -> None:
        self._first = first_seconds
        self._limit = limit_seconds
        self.reset()

    def reset(self) -> None:
        self._next = self._first

    def next_seconds(self) -> float:
        seconds = self._next
        self._next = min(2 * seconds, self._limit)
        return seconds


def kept_running(name: str, work: Callable[[], None], stop: threading.Event, say: Say, backoff: Backoff | None = None) -> None:
    """Do the work on this thread; where it fails, say so and begin anew, until it ends by itself or `stop` is set."""
    backoff = backoff or Backoff()
    while not stop.is_set():
        try:
            work()
            return
        except Exception as error:  # whatever it is: the other parts go on, and this one comes back
            seconds = backoff.next_seconds()
            say(f"{name} failed ({in_words(error)}); it starts again in {seconds:g} s")
            stop.wait(seconds)


def in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
