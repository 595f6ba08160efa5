"""A frame and what every source of frames keeps to."""

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
    """A source that cannot be opened or gives nothing that can be used; the message says what to do."""

    code = "camera"


class CameraLost(CameraError):
    """A live camera that worked and then ended, hung or repeated itself."""

    code = "camera.lost"


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and when it was taken."""

    image: NDArray[np.uint8]  # (H, W, 3) uint8 BGR
    time: float  # seconds since the epoch, UTC
    index: int  # counts what the source took, from 0; a gap means frames that nobody had time for
    live: bool
    name: str | None = None  # the file's name where frames are pictures of a folder

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.size == 0:
            raise CameraError(f"frame: expected (H, W, 3) uint8 BGR, got {self.image.shape} {self.image.dtype}", code="camera.frame")


class Source(ABC):
    """A camera, clip or folder: a context manager that is iterated once."""

    live: bool  # True: frames come by themselves and only the newest counts
    on_try: Callable[[], None] = staticmethod(lambda: None)  # called before a lost camera is opened again

    @property
    def state(self) -> CameraState:
        """What is wrong with it right now; nothing, where frames do not come by themselves."""
        return "ok"

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]: ...

    @abstractmethod
    def describe(self) -> str:
        """What is really open, such as "/dev/video0 1280x720 MJPG 30/s"."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
