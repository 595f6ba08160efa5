"""A recording for somebody who watches: each frame when its time has come, and again from the start where that is wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from device.vision.camera.frame import Frame, Source

ROUND_GAP = 0.04  # s between the last frame of a round and the first of the next
SLICE = 1.0  # s; whoever watches over the loop hears that often from a recorder that paused


class PacedRecording(Source):
    """A clip or a folder at its own pace. No frame is dropped: where recognition is slower than the clip, it plays slower.

    Time goes on from round to round, so who is in a looped clip comes again in each round, by the clock, and is recorded again.
    """

    live = False

    def __init__(self, opened: Source, start: float, again: Callable[[float], Source] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            opened: whose first frame has the time `start`, seconds since the epoch.
            again: opens the recording once more, with the time of its first frame; None: it is played once.
            clock: seconds, from anywhere.
        """
        self._source, self._start, self._again, self._clock = opened, start, again, clock
        self._closed = threading.Event()

    def taken(self) -> Iterator[Frame]:
        began, index, last = self._clock(), 0, self._start
        while True:
            for frame in self._source.taken():
                self._wait_until(began + frame.time - self._start)
                if self._closed.is_set():
                    return
                yield replace(frame, index=index)
                index, last = index + 1, frame.time
            if self._again is None or self._closed.is_set():
                return
            self._source.close()
            self._source = self._again(max(last + ROUND_GAP, self._start + self._clock() - began))

    def _wait_until(self, moment: float) -> None:
        while (left := moment - self._clock()) > 0 and not self._closed.wait(min(left, SLICE)):
            self.on_try()

    def describe(self) -> str:
        return f"{self._source.describe()}, {'looped ' if self._again else ''}at its own pace"

    def close(self) -> None:
        self._closed.set()
        self._source.close()
