"""The parts of a planned day: one for each of its shifts. Moments are minutes since the epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pause:
    """The planned break of a part."""

    minutes: int
    automatic: bool
    paid: bool
    window: tuple[int, int] | None  # moments


@dataclass(frozen=True)
class Part:
    """A shift on one day."""

    title: str
    span: tuple[int, int] | None  # start and end, of a flexible shift its core time; None: a flexible shift without one
    due_minutes: int = 0
    pause: Pause | None = None
    flexible: bool = False
    late_grace_minutes: int = 0
    early_grace_minutes: int = 0

    @property
    def boundaries(self) -> tuple[int, int] | None:
        """When the person is expected to come and to go; None: that is not planned."""
        return None if self.flexible else self.span
