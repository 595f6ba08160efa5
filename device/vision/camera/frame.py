"""A frame, and the interface of every source of frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType

import cv2
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


TURNED = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}  # degrees clockwise


def turned(image: NDArray[np.uint8], degrees: int, mirrored: bool = False) -> NDArray[np.uint8]:
    """A picture (H, W, 3) turned clockwise by 0, 90, 180 or 270 degrees and then mirrored left to right; the same one where there is nothing to do."""
    if degrees:
        image = cv2.rotate(image, TURNED[degrees])  # type: ignore[assignment]
    return cv2.flip(image, 1) if mirrored else image  # type: ignore[return-value]


class Reader(ABC):
    """One open device; it is opened, read and closed on the same thread."""

    @abstractmethod
    def read(self) -> NDArray[np.uint8] | None:
        """Wait for the next picture, (H, W, 3) uint8 BGR; None when the device has ended."""

    def stamp(self) -> float | None:
        """The device's own time of the picture that was read last, in any unit; None where it tells none."""
        return None

    @abstractmethod
    def describe(self) -> str: ...

    @abstractmethod
    def close(self) -> None: ...


class Source(ABC):
    """A camera, clip or folder: a context manager that is iterated once."""

    live: bool  # True: the camera sets the pace, and only the newest frame is used
    rotate: int = 0  # degrees clockwise by which each picture is turned ...
    mirror: bool = False  # ... and whether it is mirrored then, as in `CameraSettings`
    on_try: Callable[[], None] = staticmethod(lambda: None)  # called before a lost camera is opened again

    @property
    def state(self) -> CameraState:
        """What is wrong with the source at this moment; always "ok" for one that is not live."""
        return "ok"

    def __iter__(self) -> Iterator[Frame]:
        """Every frame as the terminal uses it: turned and mirrored as the settings say, here and nowhere else."""
        for frame in self.taken():
            yield replace(frame, image=turned(frame.image, self.rotate, self.mirror)) if self.rotate or self.mirror else frame

    @abstractmethod
    def taken(self) -> Iterator[Frame]:
        """The frames as the camera took them."""

    @abstractmethod
    def describe(self) -> str:
        """The device and format in use, such as "/dev/video0 1280x720 MJPG 30/s"."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
