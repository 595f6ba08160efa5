"""What is wrong with a live camera right now: nothing, or one of four troubles, each named within 3 s. Pure; the clock is handed in."""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CameraState = Literal["ok", "lost", "frozen", "black", "slow"]
STATES: tuple[CameraState, ...] = ("ok", "lost", "frozen", "black", "slow")

PATIENCE_SECONDS = 2.0  # without a picture, or a new one, or a light one; with the pages' own tick it stays under 3
DARK = 8.0  # mean grey level of a lens that is covered
SLOWEST = 4.0  # new pictures a second; below it people would wait
SAMPLE = 8  # px: every eighth of every eighth row will do


class Watch:
    """Told of every picture by the thread that reads the camera, asked by any other."""

    def __init__(self, now: float) -> None:
        self._started = self._read = self._new = self._light = now
        self._times: deque[float] = deque(maxlen=240)  # of new pictures

    def took(self, image: NDArray[np.uint8], repeated: bool, now: float) -> None:
        """A picture was read. image: (H, W, 3) uint8 BGR; repeated: it is the one before once more."""
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
