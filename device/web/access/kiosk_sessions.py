"""Sessions of people who gave code and PIN at the kiosk: they last a minute or two and are kept in memory only."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

IDLE_SECONDS = 90.0  # so that an unattended page closes
MOST = 50  # at a time


class Tickets:
    """`clock` gives s."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, tuple[int, float]] = {}  # token -> person id, when it ends

    def give(self, person_id: int) -> str:
        """Start a session and return the token for the browser's cookie; if there are too many, the oldest one ends."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            while len(self._held) >= MOST:
                del self._held[next(iter(self._held))]
            self._held[token] = person_id, self._clock() + IDLE_SECONDS
        return token

    def find(self, token: str) -> int | None:
        """The person of a token; each call extends the session."""
        with self._lock:
            person_id, ends = self._held.pop(token, (0, float("-inf")))
            now = self._clock()
            if not ends - IDLE_SECONDS - 1 <= now < ends:  # expired, or the clock was set back
                return None
            self._held[token] = person_id, now + IDLE_SECONDS
            return person_id

    def end(self, token: str) -> None:
        with self._lock:
            self._held.pop(token, None)
