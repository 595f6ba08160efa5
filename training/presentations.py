"""Pictures of living faces and of attacks, with their surroundings, out of clips and stills in the form of a liveness trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from device.config import CameraSettings, DetectorSettings
from device.contract import ClockfaceError
from device.vision import catalogue
from device.vision.camera.source import open_source
from device.vision.detector import Detector
from device.vision.liveness import context
from device.vision.trial_files import TrialFile, listed
from training.recapture import FacePicture

AROUND = 5.0  # sides of what is kept, in sides of the face: more than the widest crop needs
FACE_PX = 96.0  # width of the face in what is kept, at most; a crop of 80 px at scale 2.7 has a face of 30 px


class PresentationsError(ClockfaceError):
    """The recordings cannot be trained on."""

    code = "presentations"


@dataclass(frozen=True)
class Shown:
    """One clip or still: its pictures in order of time."""

    file: TrialFile
    pictures: tuple[FacePicture, ...]

    @property
    def source(self) -> str:
        """Who recorded it; recordings of one source are never on both sides of a test."""
        return self.file.source or Path(self.file.name).stem


def read(folder: Path, table: Path | None, min_context: float, interval: float = 0.3) -> list[Shown]:
    """The recordings of a folder, those without a face that can be judged left out.

    Args:
        folder: sub-folders `real` and one for each species of attack, see `device.vision.trial_files.listed`.
        table: the species of each file, instead of sub-folders.
        min_context: of the model, see `device.contract.LivenessCard`.
        interval: s between two pictures of a clip.

    Raises:
        TrialError: there is no such folder or table, or nothing in it.
        PresentationsError: no living face is among them.
    """
    detector = Detector(catalogue.path("yunet"), DetectorSettings())
    found = [Shown(file, tuple(pictures(file, detector, min_context, interval))) for file in listed(folder, table)[0]]
    shown = [one for one in found if one.pictures]
    if not any(not one.file.attack for one in shown):
        raise PresentationsError(f"{folder}: no living face is in `real`, or its surroundings are not in the frame; record people as the terminal sees them")
    return shown


def pictures(file: TrialFile, detector: Detector, min_context: float, interval: float) -> Iterator[FacePicture]:
    """The largest face of each picture, with its surroundings."""
    last = float("-inf")
    with open_source(str(file.path), CameraSettings(), once=True, start=0.0) as source:
        for frame in source:
            if frame.time - last < interval:
                continue
            last = frame.time
            height, width = frame.image.shape[:2]
            faces = detector.detect(frame.image)
            if faces and context(faces[0].box, width, height) >= min_context:
                yield kept(frame.image, faces[0].box)


def kept(image: NDArray[np.uint8], box: tuple[float, float, float, float]) -> FacePicture:
    """The face and what lies around it within the frame, made smaller where it is larger than any crop needs."""
    x, y, w, h = box
    height, width = image.shape[:2]
    left, right = max(0, int(x + w / 2 - w * AROUND / 2)), min(width, int(x + w / 2 + w * AROUND / 2))
    top, bottom = max(0, int(y + h / 2 - h * AROUND / 2)), min(height, int(y + h / 2 + h * AROUND / 2))
    scale = min(1.0, FACE_PX / w)
    part = image[top:bottom, left:right]
    size = round(part.shape[1] * scale), round(part.shape[0] * scale)
    smaller = np.ascontiguousarray(part if scale == 1 else cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    return FacePicture(smaller, ((x - left) * scale, (y - top) * scale, w * scale, h * scale))
