"""The state of a live camera: "ok", or one of six faults, each reported within 3 s; and whether equal pictures are a fault. Pure; the time is passed in."""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CameraState = Literal["ok", "lost", "frozen", "black", "dark", "bright", "slow"]
STATES: tuple[CameraState, ...] = ("ok", "lost", "frozen", "black", "dark", "bright", "slow")

PATIENCE_SECONDS = 2.0  # without any picture, a new one or a light one; together with the refresh of the pages less than 3 s
BLACK = 8.0  # mean grey level; darker pictures come from a covered lens
DARK, BRIGHT = 13.0, 232.0  # mean grey level; beyond them the detector misses most faces (docs/experiments-device.md)
SLOWEST = 4.0  # new pictures per second; below this people would have to wait
SAMPLE = 8  # px: every eighth pixel of every eighth row is enough


class Watch:
    """Updated with each picture by the thread that reads the camera; any other thread may read the state."""

    def __init__(self, now: float) -> None:
        self._started = self._read = self._new = now
        self._above = {level: now for level in (BLACK, DARK)}  # when the mean grey level was last above these ...
        self._below = now  # ... and below BRIGHT
        self._times: deque[float] = deque(maxlen=240)  # of new pictures

    def took(self, image: NDArray[np.uint8], repeated: bool, now: float) -> None:
        """A picture was read. image: (H, W, 3) uint8 BGR; repeated: it is the same as the one before."""
        self._read = now
        if not repeated:
            self._new = now
            self._times.append(now)
            grey = float(image[::SAMPLE, ::SAMPLE].mean())
            self._above |= {level: now for level in self._above if grey >= level}
            self._below = now if grey <= BRIGHT else self._below

    def state(self, now: float) -> CameraState:
        if now - self._read > PATIENCE_SECONDS:
            return "lost"
        if now - self._new > PATIENCE_SECONDS:
            return "frozen"
        if now - self._above[BLACK] > PATIENCE_SECONDS:
            return "black"
        if now - self._above[DARK] > PATIENCE_SECONDS:
            return "dark"
        if now - self._below > PATIENCE_SECONDS:
            return "bright"
        if now - self._started > 2 * PATIENCE_SECONDS and self._rate(now) < SLOWEST:
            return "slow"
        return "ok"

    def _rate(self, now: float) -> float:
        return sum(at > now - PATIENCE_SECONDS for at in tuple(self._times)) / PATIENCE_SECONDS


STILL_SECONDS = 60.0  # an encoder without noise may show a still scene so long in equal pictures, before anything is known of this camera
NOISY_SECONDS = 600.0  # after so long without equal pictures, a camera is known for noise that makes each one differ
NOISY_PATIENCE = 2.0  # s of equal pictures from such a camera
MEMORY_SECONDS = 3600.0
SHORTEST_RUN = 0.5  # s; a single equal picture says nothing


class Stillness:
    """Tells a camera that looks at a still scene from a driver that has frozen, when a picture equals the one before it.

    A frozen driver hands out an old buffer, with its old time stamp. With new time stamps it may still be the device that has frozen: what the last hour
    of this camera looked like decides. One whose noise made every picture differ is frozen soon; one that has shown equal pictures which ended by
    themselves, as encoders of video do, may do so again, for twice as long as before.
    """

    def __init__(self, now: float) -> None:
        self._watched = now
        self._stamp: float | None = None
        self._since: float | None = None  # begin of the present run of equal pictures
        self._runs: deque[tuple[float, float]] = deque(maxlen=1000)  # end and length of those that a new picture has ended

    def frozen(self, equal: bool, stamp: float | None, now: float) -> bool:
        """Whether this picture shows no sign of life.

        Args:
            equal: it equals the one before it.
            stamp: the device's own time of the picture, in any unit; None where it has none.
            now: s, monotonic.
        """
        stamped, self._stamp = stamp is not None and stamp != self._stamp, stamp
        if not equal:
            self._end_run(now)
            return False
        self._since = now if self._since is None else self._since
        return not stamped or now - self._since > self._patience(now)

    def opened_again(self, equal: bool, now: float) -> None:
        """The first picture after the device was opened again: one that is equal shows the scene to be still, another one that the device had frozen."""
        if equal and self._since is not None:
            self._runs.append((now, now - self._since))
        self._since = None

    def _end_run(self, now: float) -> None:
        if self._since is not None and now - self._since >= SHORTEST_RUN:
            self._runs.append((now, now - self._since))
        self._since = None

    def _patience(self, now: float) -> float:
        longest = max((length for end, length in self._runs if end > now - MEMORY_SECONDS), default=0.0)
        if not longest and (self._since or now) - self._watched > NOISY_SECONDS:
            return NOISY_PATIENCE
        return max(STILL_SECONDS, 2 * longest)
