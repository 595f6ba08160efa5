"""The breaker: a refusal that hits everybody is the target's fault, and makes it wait instead of making dead letters.

Pure: it is told of outcomes in their order and is given the clock. A refusal that may lie with the target names its cause
(`Refused.cause`). The same cause for several people in a row, with nothing accepted in between, trips the breaker: their
events go back to waiting. An event that was refused earlier, while the target has since accepted another one, is at fault
itself and does not count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from device.delivery.outcomes import Delivered, Outcome, Refused
from device.storage.outbox_rows import Waiting

PEOPLE = 3  # so many different people in a row


class Breaker:
    """The refusals of one target in a row. `take` may be called from several threads."""

    def __init__(self, clock: Callable[[], float], accepted_at: float | None) -> None:
        self._clock = clock
        self._accepted_at = accepted_at  # s since the epoch
        self.streak: list[tuple[Waiting, Refused]] = []
        self._open: str | None = None  # the cause it tripped for, until something is accepted
        self._lock = threading.Lock()

    @property
    def tripped(self) -> bool:
        people = {waiting.event.person_id for waiting, _ in self.streak}
        return len(people) >= PEOPLE or (bool(people) and self.cause == self._open)

    @property
    def cause(self) -> str | None:
        return self.streak[0][1].cause if self.streak else None

    def trip(self) -> list[tuple[Waiting, Refused]]:
        """The refusals that are taken back; further ones of their cause follow them until something is accepted."""
        with self._lock:
            given_back, self._open = list(self.streak), self.cause
            self.streak.clear()
        return given_back

    def ordered(self, due: list[Waiting]) -> list[Waiting]:
        """While it is tripped, people whose events were not refused yet come first: they show whether the target still refuses everybody."""
        tried = {waiting.event.person_id for waiting in due if waiting.tried_at is not None}
        return sorted(due, key=lambda waiting: waiting.event.person_id in tried) if self._open else due

    def take(self, waiting: Waiting, outcome: Outcome) -> None:
        """One outcome, in its order."""
        with self._lock:
            if isinstance(outcome, Delivered):
                self.streak.clear()
                self._open, self._accepted_at = None, self._clock()
            elif isinstance(outcome, Refused) and outcome.cause is not None and not self._at_fault(waiting):
                if outcome.cause != self.cause:
                    self.streak.clear()
                self.streak.append((waiting, outcome))

    def _at_fault(self, waiting: Waiting) -> bool:
        """Whether the target has accepted something since it refused this event."""
        return waiting.tried_at is not None and self._accepted_at is not None and self._accepted_at >= waiting.tried_at
