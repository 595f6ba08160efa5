"""Who has just given code and PIN at the kiosk: for a minute or two, in memory only."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

IDLE_SECONDS = 90.0  # who walks away leaves nobody an open page
MOST = 50  # at a time


class Tickets:
    """`clock` gives s."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, tuple[int, float]] = {}  # token -> person id, when it ends

    def give(self, person_id: int) -> str:
        """A token for the browser's cookie; the oldest ends where there are too many."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            while len(self._held) >= MOST:
                del self._held[next(iter(self._held))]
            self._held[token] = person_id, self._clock() + IDLE_SECONDS
        return token

    def find(self, token: str) -> int | None:
        """Whose it is; each look lets it last longer."""
        with self._lock:
            person_id, ends = self._held.pop(token, (0, float("-inf")))
            now = self._clock()
            if not ends - IDLE_SECONDS - 1 <= now < ends:  # ended, or the clock was set back
                return None
            self._held[token] = person_id, now + IDLE_SECONDS
            return person_id

    def end(self, token: str) -> None:
        with self._lock:
            self._held.pop(token, None)
