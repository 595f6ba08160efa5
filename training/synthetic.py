"""Synthetic faces, drawn by a procedure, with which training can be tested without photos."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from device.contract import CANONICAL_LANDMARKS, CROP_SIZE, ClockfaceError


class SyntheticReader:
    """Synthetic faces, given as `"people x crops"`, e.g. `"40 x 12"`; crop i has the label i // crops."""

    def __init__(self, size: str) -> None:
        try:
            people, crops = (int(part) for part in size.split("x"))
        except ValueError as error:
            raise ClockfaceError(f"source of kind drawn, path {size!r}: expected people x crops, such as '40 x 12'") from error
        self._crops = crops
        self.names = [f"drawn person {i // crops}, crop {i % crops}" for i in range(people * crops)]
        self.labels = np.arange(people * crops, dtype=np.int64) // crops

    def crop(self, position: int) -> NDArray[np.uint8]:
        return draw(position // self._crops, position % self._crops)


def draw(person: int, shot: int) -> NDArray[np.uint8]:
    """-> (112, 112, 3) uint8 RGB; the person determines shape and colours, the shot brightness, shift and noise."""
    own, now = np.random.default_rng((7, person)), np.random.default_rng((8, person, shot))
    skin, hair, iris, lips, back = (own.integers(30, 230, 3) for _ in range(5))
    points = CANONICAL_LANDMARKS + own.normal(0, 2.0, (5, 2)) + now.normal(0, 0.8, (5, 2))
    axes, eye, brow, mouth = (int(own.integers(*bounds)) for bounds in ((34, 48), (3, 8), (6, 13), (2, 8)))
    image = np.empty((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    image[:] = np.clip(back + now.normal(0, 15, 3), 0, 255)
    _ellipse(image, (56, 52), (axes + 8, 58), hair)
    _ellipse(image, (56, 66), (axes, 50), skin)
    for x, y in points[:2]:
        _ellipse(image, (x, y), (eye + 4, eye), (240, 240, 240))
        _ellipse(image, (x, y), (eye, eye), iris)
        cv2.line(image, (int(x) - 9, int(y) - brow), (int(x) + 9, int(y) - brow), hair.tolist(), 3)
    cv2.line(image, (56, 52), _pixel(points[2]), (skin * 0.7).tolist(), 3)
    centre = (points[3] + points[4]) / 2
    _ellipse(image, centre, ((points[4] - points[3])[0] / 2, mouth), lips)
    light = now.uniform(0.7, 1.3)
    return np.clip(image * light + now.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def _pixel(point: object) -> tuple[int, int]:
    x, y = np.asarray(point, dtype=np.float64)
    return int(x), int(y)


def _ellipse(image: NDArray[np.uint8], centre: object, axes: object, colour: object) -> None:
    cv2.ellipse(image, _pixel(centre), _pixel(axes), 0, 0, 360, np.asarray(colour, dtype=np.float64).tolist(), -1)
