"""When a board gets slow (thermal throttling, other work), faces are searched at a smaller width before frames are lost. Pure; times are passed in.

What decides is the share of its time that the camera loop works: near 1 the next frame is late. A smaller width finds
people a little later, when they are nearer; a lost frame is lost.
"""

from __future__ import annotations

COARSER = (1.0, 4 / 3, 5 / 3)  # times the smallest face searched for: 256, 192 and 160 px wide for a frame of 640 and eyes 24 px apart
BUSY, IDLE = 0.75, 0.35  # shares of the time; between them nothing changes
BUSY_SECONDS, IDLE_SECONDS = 2.0, 30.0  # how long before the width changes


class Pace:
    """Called for every frame of a live camera."""

    def __init__(self) -> None:
        self.level = 0  # index into COARSER
        self._begun: float | None = None  # monotonic s, of the frame before
        self._worked = self._passed = 0.0  # s, since the last decision
        self._idle_since: float | None = None

    @property
    def coarser(self) -> float:
        return COARSER[self.level]

    @property
    def words(self) -> str:
        """The present search width, for the log."""
        if self.level == 0:
            return "the board keeps up again: faces are searched at the full width"
        return f"the board is slow: faces are searched at {100 / self.coarser:.0f} % of the width, people are found {self.coarser:.1f} times as near"

    def frame(self, begun: float, done: float) -> bool:
        """Report the start and end of a frame (monotonic s). Returns True if the width changed."""
        if self._begun is not None:
            self._passed += begun - self._begun
        self._begun = begun
        self._worked += done - begun
        if self._passed < BUSY_SECONDS:
            return False
        share, self._worked, self._passed = self._worked / self._passed, 0.0, 0.0
        if share >= BUSY:
            self._idle_since = None
            return self._change(min(self.level + 1, len(COARSER) - 1))
        if share > IDLE:
            self._idle_since = None
            return False
        self._idle_since = begun if self._idle_since is None else self._idle_since
        if begun - self._idle_since < IDLE_SECONDS:
            return False
        self._idle_since = None
        return self._change(max(self.level - 1, 0))

    def _change(self, level: int) -> bool:
        changed, self.level = level != self.level, level
        return changed
