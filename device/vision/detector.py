"""Detection of faces in a frame: OpenCV's YuNet, at the smallest input size that still finds the smallest face wanted.

ONNX Runtime runs the net in less than half of the time that OpenCV's own FaceDetectorYN takes (docs/experiments-device.md); the candidates are the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.config import DetectorSettings
from device.contract import ClockfaceError
from device.vision.embedder import EmbedderError, open_session

# Measured on 200 portraits scaled down: YuNet finds 97 % of faces whose eyes are 10 px apart at its input, 90 % at 8 px,
# and loses faces again beyond 200 px, or gives parts of them as faces (docs/experiments-device.md).
SMALLEST_EYE_PX, LARGEST_EYE_PX = 10.0, 200.0
SURE_EYE_PX = 16.0  # a face that is this large at an input is found there
STRIDE = 32  # px; the net's coarsest grid
COARSE_SIDE = 256  # px, the longer side; a second pass for faces too large for a large input
LARGE_INPUT = 480  # px; an input with a longer side needs the second pass, whether it is wide or tall
WINDOW, WINDOW_EYE_PX = 1.6, 32.0  # window for reading landmarks again: its side in sides of the face's box, and px between the eyes
THREADS = 2  # at most: more are of no use for so small a net
STRIDES = (8, 16, 32)  # px between the cells of the net's grids
OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
CANDIDATES = 200  # of the net's for one picture, the best
SAME_FACE, SAME_PLACE = 0.3, 0.5  # overlap from which a weaker candidate is the same face, and from which it counts in the mean


class DetectorError(ClockfaceError):
    """The detector cannot be loaded."""

    code = "detector"


@dataclass(frozen=True)
class Face:
    """One detected face, in pixels of the frame."""

    box: tuple[float, float, float, float]  # x, y, width, height
    landmarks: NDArray[np.float32]  # (5, 2) x, y: left eye of the image, right eye, nose, left and right mouth corner
    score: float  # 0..1, YuNet

    @property
    def eye_distance(self) -> float:
        """Pixels between the eyes."""
        return float(np.hypot(*(self.landmarks[1] - self.landmarks[0])))

    @property
    def centre(self) -> tuple[float, float]:
        x, y, width, height = self.box
        return x + width / 2, y + height / 2


class Detector:
    """YuNet (https://doi.org/10.1007/s11633-023-1423-y) on the CPU.

    Args:
        model: verified YuNet file as `python -m export yunet` writes it, see `device.vision.catalogue.path`.
        settings: the smallest face to find and the lowest score.

    Raises:
        DetectorError: the file is missing or is another net.
    """

    def __init__(self, model: Path, settings: DetectorSettings) -> None:
        self.settings = settings
        self.coarser = 1.0  # factor on the smallest face searched for, raised where the board is slow (`device/terminal/throttle.py`)
        remedy = f"{model} is not a YuNet model; run `python -m device models pull`"
        try:
            self._net = open_session(model, min(THREADS, max(1, (os.cpu_count() or 1) // 2)))  # where two cores decode and recognise, one thread is faster
        except EmbedderError as error:
            raise DetectorError(remedy) from error
        if [value.name for value in self._net.get_outputs()] != OUTPUTS or isinstance(self._net.get_inputs()[0].shape[2], int):
            raise DetectorError(remedy)
        self._input = self._net.get_inputs()[0].name

    def input_size(self, width: int, height: int, min_eye_distance: float) -> tuple[int, int]:
        """Network input (width, height) in px for a frame of this size: multiples of STRIDE, to which the net would pad anyway."""
        scale = min(1.0, SMALLEST_EYE_PX / min_eye_distance)
        return whole_strides(width * scale), whole_strides(height * scale)

    def detect(self, image: NDArray[np.uint8], min_eye_distance: float | None = None, agreed: bool = False) -> list[Face]:
        """All faces of a frame, the largest first.

        Args:
            image: (H, W, 3) uint8 BGR.
            min_eye_distance: px between the eyes of the smallest face to find; None: as in the settings.
            agreed: of two searches at different sizes, keep only faces that each search finds that must see them; for stills, where there is no next frame.
        """
        height, width = image.shape[:2]
        size = self.input_size(width, height, min_eye_distance or self.settings.min_eye_distance * self.coarser)
        faces = self.find(image, size)
        if max(size) > LARGE_INPUT:
            scale = COARSE_SIDE / max(width, height)
            coarse = self.find(image, (whole_strides(width * scale), whole_strides(height * scale)))
            faces = joined(faces, coarse, size[0] / width, scale, agreed)
        return sorted(faces, key=lambda face: -face.box[2] * face.box[3])

    def refine(self, image: NDArray[np.uint8], face: Face) -> Face:
        """Read the landmarks of one face again from a window around it, at a resolution that is good enough for alignment.

        Returns:
            The face as found in the window, or the given face where the window shows none at its place.
        """
        height, width = image.shape[:2]
        x, y = face.centre
        half = max(face.box[2], face.box[3]) * WINDOW / 2
        left, top = max(0, round(x - half)), max(0, round(y - half))
        window = image[top : min(height, round(y + half)), left : min(width, round(x + half))]
        scale = min(1.0, WINDOW_EYE_PX / max(face.eye_distance, 1.0))
        size = whole_strides(window.shape[1] * scale), whole_strides(window.shape[0] * scale)
        faces = [shifted(f, left, top) for f in self.find(window, size)]
        nearest = max(faces, key=lambda f: overlap(f.box, face.box), default=face)
        return nearest if overlap(nearest.box, face.box) > 0.4 else face

    def find(self, image: NDArray[Any], size: tuple[int, int]) -> list[Face]:
        """All faces of an image (H, W, 3) uint8 BGR, searched at one network input size (width, height) in px."""
        height, width = image.shape[:2]
        if (width, height) != size:
            image = resized(image, size)
        ratio = np.array([width / size[0], height / size[1]], dtype=np.float32)
        return [_face(row, ratio) for row in merged(self._candidates(image))]

    def _candidates(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """(H, W, 3) uint8 BGR -> (N, 15) the candidates with at least the lowest score: box x, y, width, height, ten of landmarks, score."""
        below, right = (-side % STRIDE for side in image.shape[:2])
        if below or right:
            image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT)
        outputs = self._net.run(None, {self._input: np.array([cv2.split(image)], np.float32)})
        classes, objects, boxes, points = (np.concatenate(outputs[at : at + 3], axis=1)[0] for at in (0, 3, 6, 9))  # (cells, 1), (cells, 1), ...
        scores = np.sqrt(classes * objects)[:, 0]
        found = np.flatnonzero(scores >= self.settings.min_score)
        found = found[np.argsort(-scores[found], kind="stable")[:CANDIDATES]]
        corner, stride = cells(image.shape[1], image.shape[0])
        corner, stride, box = corner[found], stride[found], boxes[found]
        size = np.exp(box[:, 2:]) * stride
        landmarks = (points[found].reshape(-1, 5, 2) + corner[:, None]) * stride[:, None]
        return np.hstack([(corner + box[:, :2]) * stride - size / 2, size, landmarks.reshape(-1, 10), scores[found, None]])


@lru_cache(maxsize=64)
def cells(width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The cells of the net's grids for an input of this size, in the order of its outputs: (cells, 2) column and row, (cells, 1) px between them."""
    grids = [np.indices((height // stride, width // stride), np.float32).reshape(2, -1)[::-1].T for stride in STRIDES]
    return np.concatenate(grids), np.concatenate([np.full((len(grid), 1), stride, np.float32) for grid, stride in zip(grids, STRIDES, strict=True)])


def joined(wide: Sequence[Face], coarse: Sequence[Face], wide_scale: float, coarse_scale: float, agreed: bool) -> list[Face]:
    """The faces of two searches of one frame, each once, without those that are too large for the wide input.

    Args:
        wide_scale, coarse_scale: px of the net's input in each search per px of the frame.
        agreed: leave out a face that the other search misses although its size must be seen there; unless none would be left.
    """
    seen = [face for face in wide if face.eye_distance * wide_scale <= LARGEST_EYE_PX]
    missed = [face for face in coarse if not _among(face, seen)]
    sure = [face for face in seen if face.eye_distance * coarse_scale < SURE_EYE_PX or _among(face, coarse)]
    sure += [face for face in missed if face.eye_distance * wide_scale > LARGEST_EYE_PX / 2]
    return sure if agreed and sure else seen + missed


def _among(face: Face, others: Sequence[Face]) -> bool:
    return any(overlap(face.box, other.box) >= SAME_FACE for other in others)


def whole_strides(side: float) -> int:
    """The nearest side of an input, in px, that needs no padding."""
    return max(STRIDE, STRIDE * round(side / STRIDE))


def resized(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """(H, W, 3) -> (height, width, 3) for size (width, height): averaged by a whole factor, then linear; 5 times faster than INTER_AREA in one step."""
    factor = min(image.shape[1] // size[0], image.shape[0] // size[1])
    if factor > 1:
        image = cv2.resize(image, (image.shape[1] // factor, image.shape[0] // factor), interpolation=cv2.INTER_AREA)
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


def merged(rows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """One row per face: YuNet gives about nine candidates for each, and their mean is steadier than the best of them (docs/experiments-device.md).

    Args:
        rows: (N, 15) box x, y, width, height, ten of landmarks, score; the net's candidates.

    Returns:
        One row per face, the best score first; box and landmarks are means over the candidates at its place, weighted with their scores.
    """
    rows = rows[np.isfinite(rows).all(axis=1) & (rows[:, 2:4] > 0).all(axis=1)]
    rows = rows[np.argsort(-rows[:, 14], kind="stable")]
    boxes, remaining = rows[:, :4].tolist(), list(range(len(rows)))
    faces = []
    while remaining:
        best = remaining[0]
        overlaps = {index: overlap(boxes[best], boxes[index]) for index in remaining}
        place = rows[[index for index in remaining if overlaps[index] > SAME_PLACE]]
        faces.append(np.append(place[:, 14] @ place[:, :14] / place[:, 14].sum(), rows[best, 14]))
        remaining = [index for index in remaining if overlaps[index] <= SAME_FACE]
    return faces


def _face(row: NDArray[np.float32], ratio: NDArray[np.float32]) -> Face:
    x, y, width, height = (row[:4] * np.tile(ratio, 2)).tolist()
    return Face((x, y, width, height), row[4:14].reshape(5, 2) * ratio, float(row[14]))


def shifted(face: Face, left: float, top: float) -> Face:
    """A face found in a window, in the coordinates of the frame; the window's corner is at (left, top)."""
    x, y, width, height = face.box
    return Face((x + left, y + top, width, height), face.landmarks + np.array([left, top], dtype=np.float32), face.score)


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (x, y, width, height), 0..1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)
