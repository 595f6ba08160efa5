"""A frame, and the interface of every source of frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from device.vision.camera.health import CameraState


class CameraError(ClockfaceError):
    """A source cannot be opened or delivers nothing usable; the message says what to do."""

    code = "camera"


class CameraLost(CameraError):
    """A live camera that worked has ended, hangs or repeats one picture."""

    code = "camera.lost"


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and when it was taken."""

    image: NDArray[np.uint8]  # (H, W, 3) uint8 BGR
    time: float  # seconds since the epoch, UTC
    index: int  # counts the pictures that the source read, from 0; a gap means dropped frames
    live: bool
    name: str | None = None  # file name of the picture where the source is a folder

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.size == 0:
            raise CameraError(f"frame: expected (H, W, 3) uint8 BGR, got {self.image.shape} {self.image.dtype}", code="camera.frame")


class Source(ABC):
    """A camera, clip or folder: a context manager that is iterated once."""

    live: bool  # True: the camera sets the pace, and only the newest frame is used
    on_try: Callable[[], None] = staticmethod(lambda: None)  # called before a lost camera is opened again

    @property
    def state(self) -> CameraState:
        """What is wrong with the source at this moment; always "ok" for one that is not live."""
        return "ok"

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]: ...

    @abstractmethod
    def describe(self) -> str:
        """The device and format in use, such as "/dev/video0 1280x720 MJPG 30/s"."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
