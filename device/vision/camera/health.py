"""The state of a live camera: "ok", or one of four faults, each reported within 3 s. Pure; the time is passed in."""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CameraState = Literal["ok", "lost", "frozen", "black", "slow"]
STATES: tuple[CameraState, ...] = ("ok", "lost", "frozen", "black", "slow")

PATIENCE_SECONDS = 2.0  # without any picture, a new one or a light one; together with the refresh of the pages less than 3 s
DARK = 8.0  # mean grey level; darker pictures come from a covered lens
SLOWEST = 4.0  # new pictures per second; below this people would have to wait
SAMPLE = 8  # px: every eighth pixel of every eighth row is enough


class Watch:
    """Updated with each picture by the thread that reads the camera; any other thread may read the state."""

    def __init__(self, now: float) -> None:
        self._started = self._read = self._new = self._light = now
        self._times: deque[float] = deque(maxlen=240)  # of new pictures

    def took(self, image: NDArray[np.uint8], repeated: bool, now: float) -> None:
        """A picture was read. image: (H, W, 3) uint8 BGR; repeated: it is the same as the one before."""
        self._read = now
        if not repeated:
            self._new = now
            self._times.append(now)
            if float(image[::SAMPLE, ::SAMPLE].mean()) >= DARK:
                self._light = now

    def state(self, now: float) -> CameraState:
        if now - self._read > PATIENCE_SECONDS:
            return "lost"
        if now - self._new > PATIENCE_SECONDS:
            return "frozen"
        if now - self._light > PATIENCE_SECONDS:
            return "black"
        if now - self._started > 2 * PATIENCE_SECONDS and self._rate(now) < SLOWEST:
            return "slow"
        return "ok"

    def _rate(self, now: float) -> float:
        return sum(at > now - PATIENCE_SECONDS for at in tuple(self._times)) / PATIENCE_SECONDS
