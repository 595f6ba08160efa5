"""Live cameras: always the newest picture; a lost camera is detected, logged and opened again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.system.restart import Backoff
from device.vision.camera.frame import CameraError, CameraLost, Frame, Reader, Source
from device.vision.camera.health import CameraState, Stillness, Watch

log = logging.getLogger(__name__)

OPEN_SECONDS = 15.0  # the longest a camera may take to its first picture
MAX_HANGING = 3  # readers that never return; each holds a thread and a device
SAMPLE = 8  # px: every eighth pixel of every eighth row is enough to tell a new picture from a repeated one


@dataclass(frozen=True, eq=False)
class _Taken:
    image: NDArray[np.uint8]
    time: float  # seconds since the epoch
    at: float  # seconds, monotonic
    index: int


class _Drain(threading.Thread):
    """Reads the device as fast as it delivers and keeps only the newest picture, so that no queue builds up."""

    def __init__(self, open_reader: Callable[[], Reader], last: _Taken | None, watch: Watch, stillness: Stillness) -> None:
        super().__init__(name="camera", daemon=True)  # a read that hangs must not keep the terminal from ending
        self._open_reader = open_reader
        self._changed = threading.Condition()
        self._watch, self._stillness = watch, stillness
        self._first = last is not None  # the next picture is the first one after a loss
        self.last = last  # the newest picture, also of the reader before this one
        self._index = last.index + 1 if last else 0
        self._stopped = False
        self._error: CameraError | None = None
        self.description = ""

    def run(self) -> None:
        try:
            with closing(self._open_reader()) as reader:
                self.description = reader.describe()
                while not self._stopped:
                    image = reader.read()
                    self._put(image, reader.stamp())
        except Exception as error:  # any error of a driver is passed to the thread that waits in newer()
            with self._changed:
                self._error = error if isinstance(error, CameraError) else CameraLost(f"failed ({error})")
                self._changed.notify_all()

    def _put(self, image: NDArray[np.uint8] | None, stamp: float | None) -> None:
        now, at = time.time(), time.monotonic()
        if image is None:
            raise CameraLost("delivers no more pictures")
        Frame(image, now, self._index, live=True)  # raises where it is not a colour picture: the camera is opened again
        equal = self.last is not None and _same(image, self.last.image)
        if self._first:
            self._stillness.opened_again(equal, at)
        self._first = False
        repeated = self._stillness.frozen(equal, stamp, at)
        self._watch.took(image, repeated, at)
        if not repeated:
            with self._changed:
                self.last = _Taken(image, now, at, self._index)
                self._changed.notify_all()
        self._index += 1

    def newer(self, index: int, seconds: float) -> _Taken:
        """Wait for a picture after `index` and return the newest.

        Raises:
            CameraLost: none came within `seconds`, or the newest is older than that.
            CameraError: the device cannot be opened.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or (self.last and self.last.index > index), seconds)
            if self._error:
                raise self._error
            if self.last is None or self.last.index <= index or time.monotonic() - self.last.at > seconds:
                raise CameraLost(f"delivered no new picture for {seconds:g} s (it hangs, repeats one picture or is covered)")
            return self.last

    def stop(self) -> None:
        self._stopped = True


def _same(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two pictures are the same: a sensor's noise makes them differ, but an encoder may remove it."""
    return np.array_equal(image[::SAMPLE, ::SAMPLE], other[::SAMPLE, ::SAMPLE])


class LiveSource(Source):
    """A camera that is read on a separate thread and opened again when it is lost."""

    live = True

    def __init__(self, name: str, open_reader: Callable[[], Reader], stall_seconds: float, backoff: Backoff | None = None, patient: bool = False) -> None:
        """Open the camera and wait for its first picture.

        Args:
            name: of the camera in messages; it must not contain a password.
            open_reader: opens the device; called again after a loss.
            stall_seconds: after this time without a new picture the camera counts as lost.
            backoff: waits between attempts.
            patient: wait for a camera that is not available yet, as for a lost one.

        Raises:
            CameraError: it cannot be opened or delivers no picture, and `patient` is false.
        """
        self.name = name
        self._open_reader = open_reader
        self._stall_seconds = stall_seconds
        self._backoff, self._failures = backoff or Backoff(), 0
        self._hanging: list[_Drain] = []
        self._closed = threading.Event()
        self._watch, self._stillness = Watch(time.monotonic()), Stillness(time.monotonic())
        self._drain = self._start(None)
        self._first: _Taken | None = None
        if patient:
            return
        try:
            self._first = self._drain.newer(-1, max(OPEN_SECONDS, stall_seconds))
        except CameraLost as error:
            self.close()
            raise CameraError(f"camera {name} {error}; check that it is plugged in and not used by another program", code="camera.fails") from error
        except CameraError:
            self.close()
            raise

    def _start(self, last: _Taken | None) -> _Drain:
        drain = _Drain(self._open_reader, last, self._watch, self._stillness)
        drain.start()
        return drain

    def taken(self) -> Iterator[Frame]:
        """Yield the newest picture at each step, across losses of the camera.

        Raises:
            CameraLost: several readers of the camera hang.
        """
        taken = self._first or self._next(-1)
        while taken and not self._closed.is_set():
            yield Frame(taken.image, taken.time, taken.index, live=True)
            taken = self._next(taken.index)

    def _next(self, index: int) -> _Taken | None:
        """The newest picture after `index`, opening the camera again as often as needed; None once closed."""
        try:
            return self._drain.newer(index, self._stall_seconds if index >= 0 else max(OPEN_SECONDS, self._stall_seconds))
        except CameraError as error:
            self._reopen(error)
        while not self._closed.is_set():
            try:
                taken = self._drain.newer(index, max(OPEN_SECONDS, self._stall_seconds))
            except CameraError as error:
                self._reopen(error)
            else:
                log.warning("camera %s is back: %s", self.name, self.describe())
                self._failures = 0
                return taken
        return None

    def _reopen(self, error: CameraError) -> None:
        self._failures += 1
        wait = self._backoff.wait(self._failures)
        log.warning("camera %s lost: %s; it is opened again in %g s", self.name, error, wait)
        self._drain.stop()
        self.on_try()
        self._closed.wait(wait)
        self._hanging = [drain for drain in [*self._hanging, self._drain] if drain.is_alive()]
        if len(self._hanging) >= MAX_HANGING:
            raise CameraLost(f"camera {self.name} hangs permanently; unplug it, plug it in again and restart the terminal", code="camera.hangs")
        self._drain = self._start(self._drain.last)

    @property
    def state(self) -> CameraState:
        return self._watch.state(time.monotonic())

    def describe(self) -> str:
        return self._drain.description or self.name

    def close(self) -> None:
        self._closed.set()
        self._drain.stop()
        self._drain.join(timeout=2.0)  # so that the device is released, unless the read hangs
