"""Clips and pictures: every frame in order, as fast as the caller takes them, and the same each time."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from device.vision.camera.frame import CameraError, Frame, Source
from device.vision.images import IMAGE_SUFFIXES, ImageError, read_image

log = logging.getLogger(__name__)

USUAL_RATE = 25.0  # frames per second, where a clip states no valid rate
AHEAD, AHEAD_BYTES = 16, 16 << 20  # frames decoded in advance, and bytes they may take: enough for the time that one recognition takes
LONGEST_PAUSE_SECONDS = 86_400.0  # of a recorder; a larger step is a damaged time stamp, and would put punches into another year
COUNT_SLACK = 2  # frames: for a container without a count it is estimated from the duration


class Clip(Source):
    """A video file."""

    live = False

    def __init__(self, path: Path, start: float) -> None:
        """Open the clip and decode its first frame.

        Args:
            path: mp4, mkv, avi, gif or another format that this machine's OpenCV decodes.
            start: the first frame's capture time, seconds since the epoch; the others follow by the clip's own time stamps: a recorder may pause.

        Raises:
            CameraError: not a video, or no frame of it can be decoded.
        """
        self.path = path
        self._start = start
        # One FFmpeg thread: the decoder thread works ahead of the loop anyway; more threads take a quarter more CPU time and are no faster.
        self._reading = threading.Lock()  # the decoder may be ahead when the clip is closed, and OpenCV crashes when a capture is released while it reads
        self._capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_ANY, [cv2.CAP_PROP_N_THREADS, 1])
        first = self._read()
        if first is None:
            self.close()
            raise CameraError(f"{path}: no frame can be decoded; copy the clip again or convert it to mp4 (H.264)", code="camera.no_picture")
        self._first, self._began = first
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0.1 <= rate <= 1000 else USUAL_RATE
        self.announced = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)  # frames, as the container states; an estimate

    def _read(self) -> tuple[NDArray[np.uint8], float] | None:
        """The next frame (H, W, 3) uint8 BGR and its time stamp in ms; None after the last one."""
        with self._reading:
            good, image = self._capture.read()  # a released capture reads nothing
            stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) if good else 0.0
        return (image, stamp) if good else None  # type: ignore[return-value]  # uint8 BGR by default

    def taken(self) -> Iterator[Frame]:
        """Yield every frame; where a time stamp is missing, goes back or jumps too far, the clip's rate takes its place."""
        read: tuple[NDArray[np.uint8], float] | None = (self._first, self._began)
        ahead = max(2, min(AHEAD, AHEAD_BYTES // self._first.nbytes))
        index, elapsed = 0, 0.0  # s
        with ThreadPoolExecutor(1, "decoder") as decoder:  # decodes the next frames while this one is processed
            following = deque(decoder.submit(self._read) for _ in range(ahead))
            while read is not None:
                image, stamp = read
                since = (stamp - self._began) / 1000
                trusted = index == 0 or 0 < since - elapsed < LONGEST_PAUSE_SECONDS
                elapsed = since if trusted else elapsed + 1 / self.rate
                yield Frame(image, self._start + elapsed, index, live=False)
                read = following.popleft().result()
                following.append(decoder.submit(self._read))
                index += 1
        if index < self.announced - COUNT_SLACK and elapsed < (self.announced - 1 - COUNT_SLACK) / self.rate:
            log.warning("%s ends early: %.0f of about %.0f s could be decoded (%d frames)", self.path, elapsed, self.announced / self.rate, index)

    def describe(self) -> str:
        height, width = self._first.shape[:2]
        return f"{self.path} {width}x{height} {self.rate:g}/s"

    def close(self) -> None:
        with self._reading:
            self._capture.release()


class Pictures(Source):
    """The pictures of a folder in the order of their names, or a single picture."""

    live = False

    def __init__(self, path: Path, paths: Sequence[Path], start: float, rate: float) -> None:
        """
        Args:
            path: the folder or file that was requested.
            paths: the picture files.
            start: the first picture's capture time, seconds since the epoch.
            rate: pictures per second.
        """
        self.path = path
        self._paths = paths
        self._start = start
        self._rate = rate

    def taken(self) -> Iterator[Frame]:
        """Yield one frame per picture; pictures that cannot be read are skipped and named in the log.

        Raises:
            CameraError: no picture could be read.
        """
        unreadable = 0
        for index, path in enumerate(self._paths):
            try:
                image = read_image(path)
            except ImageError as error:
                unreadable += 1
                log.warning("skipped: %s", error)
                continue
            yield Frame(image, self._start + index / self._rate, index, live=False, name=path.name)
        if unreadable == len(self._paths):
            raise CameraError(f"{self.path}: none of {unreadable} pictures could be read; the log names each with its reason", code="camera.no_picture")

    def describe(self) -> str:
        count = len(self._paths)
        return f"{self.path} {count} picture{'s' * (count != 1)}"

    def close(self) -> None:
        pass  # nothing is held: each picture is closed once it is read


def open_file(path: Path, start: float, rate: float) -> Source:
    """A clip, a picture or a folder of pictures.

    Raises:
        CameraError: it does not exist, contains no picture, or is not a video.
    """
    try:
        if path.is_dir():
            paths = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
            if not paths:
                raise CameraError(
                    f"{path}: no pictures in this folder ({', '.join(sorted(IMAGE_SUFFIXES))}); give one with pictures, or a clip", code="camera.no_picture"
                )
            return Pictures(path, paths, start, rate)
        exists = path.is_file()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise CameraError(f"{str(path)!r:.200} cannot be read ({reason}); check the name given to --source", code="camera.unreadable") from error
    if not exists:
        raise CameraError(f"{str(path)!r:.200} does not exist; --source takes a camera, a clip, a folder, rtsp://.. or demo", code="camera.missing")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return Pictures(path, [path], start, rate)
    return Clip(path, start)
