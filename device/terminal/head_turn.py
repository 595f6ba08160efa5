"""A turn of the head that is asked for before a punch: to one side, chosen at random, and back. Pure: what is seen and the clock are passed in.

A print cannot do it: the nose of a turned head is 0.59 to 0.80 eye distances off the middle, that of a bent or tilted print 0.04 to 0.15. A video that
is played may show a turn by chance, but half of the time to the other side, which ends the request.
"""

from __future__ import annotations

import secrets
from typing import Literal

Side = Literal["left", "right"]

TURNED = 0.45  # eye distances that the nose must be off the middle; real heads that look about reach 0.7 and more
FRONT = 0.25  # eye distances at most, of a head that is back


def any_side() -> Side:
    return secrets.choice(("left", "right"))


class HeadTurn:
    """One request.

    Args:
        side: the person's own.
        until: s; from then on it is too late.
        mirrored: whether the picture is, so that the person's left is on its left.
    """

    def __init__(self, side: Side, until: float, mirrored: bool = False) -> None:
        self.side = side
        self.state: Literal["asked", "turned", "passed", "failed"] = "asked"
        self.until = until
        self._sign = 1.0 if (side == "left") != mirrored else -1.0  # of the yaw: the nose goes to the right of the picture for the person's left

    @property
    def open(self) -> bool:
        return self.state in ("asked", "turned")

    def see(self, yaw: float, now: float) -> None:
        """Take in the yaw of one frame, in eye distances as `device.vision.quality.pose` gives it."""
        if self.open and not now < self.until:
            self.state = "failed"
        elif self.state == "asked" and yaw * self._sign >= TURNED:
            self.state = "turned"
        elif self.state == "asked" and -yaw * self._sign >= TURNED:
            self.state = "failed"

    def back(self, yaw: float) -> None:
        """Take in the yaw of a good picture that shows the same person as before the turn."""
        if self.state == "turned" and abs(yaw) <= FRONT:
            self.state = "passed"
