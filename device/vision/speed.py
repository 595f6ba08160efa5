"""How fast this machine finds, recognises and judges a face: for `bench`, and in a few seconds for a new terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.contract import CROP_SIZE
from device.vision.detector import Face
from device.vision.liveness import LivenessModel
from device.vision.recogniser import Recogniser

WARM = 3  # rounds that are not counted


@dataclass(frozen=True)
class Quick:
    """Of a few seconds; ms, the median and the 95th of a hundred."""

    search: tuple[float, float]  # of one picture for faces
    face: tuple[float, float]  # of one face: embedded, and judged for liveness where a model is in force
    rounds: int

    @property
    def visit_ms(self) -> float:
        """Of a picture with one new face, at worst."""
        return self.search[1] + self.face[1]


def quick(recogniser: Recogniser, image: NDArray[np.uint8], seconds: float) -> Quick:
    """Search one picture and recognise one face, again and again for so long.

    Args:
        recogniser: of this thread alone.
        image: (H, W, 3) uint8 BGR, as the camera gives it.
    """
    crop, face = np.zeros((1, CROP_SIZE, CROP_SIZE, 3), np.uint8), middle_face(image)
    searched, recognised = list[float](), list[float]()
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(searched) <= WARM:
        begin = time.perf_counter()
        recogniser.detector.detect(image)
        middle = time.perf_counter()
        recogniser.embedder.embed(crop)
        if recogniser.liveness is not None:
            recogniser.liveness.judge(image, face)
        searched.append((middle - begin) * 1000)
        recognised.append((time.perf_counter() - middle) * 1000)
    return Quick(ends(searched[WARM:]), ends(recognised[WARM:]), len(searched) - WARM)


def judged_ms(model: LivenessModel | None, rounds: int = 30) -> tuple[float, float] | None:
    """p50 and p95 of one picture of 640 x 480 with a face in its middle, its crops cut and judged; None without a model."""
    if model is None:
        return None
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    return percentiles(lambda number: model.judge(image, middle_face(image)), rounds)


def middle_face(image: NDArray[np.uint8]) -> Face:
    """A face of 100 x 120 px in the middle of a picture, or as large as there is room."""
    height, width = image.shape[:2]
    w, h = min(100.0, width / 2), min(120.0, height / 2)
    return Face(((width - w) / 2, (height - h) / 2, w, h), np.zeros((5, 2), np.float32), 1.0)


def percentiles(work: Callable[[int], object], rounds: int) -> tuple[float, float]:
    """p50 and p95 in ms of some work, after WARM rounds."""
    taken = []
    for number in range(rounds + WARM):
        start = time.perf_counter()
        work(number)
        taken.append((time.perf_counter() - start) * 1000)
    return ends(taken[WARM:])


def ends(taken: list[float]) -> tuple[float, float]:
    return float(np.percentile(taken, 50)), float(np.percentile(taken, 95))


def chose(recogniser: Recogniser, width: int = 640, height: int = 480) -> tuple[str, ...]:
    """What runs on this machine, as text: the artefact of the model's family, its provider, the detector's input for a frame of that size."""
    size = recogniser.detector.input_size(width, height, recogniser.settings.detector.min_eye_distance)
    provider = recogniser.embedder.provider
    return (f"artefact {recogniser.choice}", f"provider {provider}", f"detector {size[0]} x {size[1]} for a frame of {width} x {height}")
