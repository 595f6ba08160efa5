"""Worse pictures of a face by a fixed amount, one condition of the camera, the light or the person at a time; `export/spoilt.py` draws the amount instead.

Mask and glasses are drawn by the landmarks: they cover what real ones cover, but are flat and of one colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.contract import CANONICAL_LANDMARKS, similarity_transform
from device.vision.detector import Face
from export.spoilt import Image, smaller
from training.augment import compress

Change = Callable[[Image, Face, np.random.Generator], Image]
Points = Sequence[tuple[float, float]]  # px of the aligned crop

MASK: Points = ((19, 70), (44, 66), (56, 61), (68, 66), (93, 70), (90, 98), (76, 116), (56, 122), (36, 116), (22, 98))
MASK_BGR, GLASSES_BGR = (225, 205, 160), (24, 20, 20)
LENS = (14, 11)  # px of the aligned crop, half axes
BRIDGE: Points = ((14, 47), (98, 47), (98, 50), (14, 50))


def _small(image: Image, face: Face, _: np.random.Generator, eyes: float) -> Image:
    return smaller(image, face, eyes)


def _blurred(image: Image, face: Face, _: np.random.Generator, deviation: float) -> Image:
    """`deviation` of a Gaussian in eye distances."""
    return _uint8(cv2.GaussianBlur(image, (0, 0), deviation * face.eye_distance))


def _moved(image: Image, face: Face, rng: np.random.Generator, length: float) -> Image:
    """Motion in a straight line of `length` eye distances, the direction drawn at random."""
    half, angle = length * face.eye_distance / 2, rng.uniform(0, np.pi)
    side = 2 * int(np.ceil(half)) + 1
    kernel, middle = np.zeros((side, side), np.float32), side // 2
    for step in np.linspace(-half, half, 4 * side):
        kernel[round(middle + step * np.sin(angle)), round(middle + step * np.cos(angle))] += 1
    return _uint8(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def _lit(image: Image, _: Face, __: np.random.Generator, gain: float = 1.0, gamma: float = 1.0, bgr: tuple[float, float, float] = (1, 1, 1)) -> Image:
    return _uint8(255 * (image / 255) ** gamma * gain * np.array(bgr))


def _dark(image: Image, face: Face, rng: np.random.Generator, gain: float, noise: float) -> Image:
    return _noisy(_lit(image, face, rng, gain), face, rng, noise)


def _noisy(image: Image, _: Face, rng: np.random.Generator, deviation: float) -> Image:
    """Noise of each px and colour in grey levels."""
    return _uint8(image + rng.normal(0, deviation, image.shape))


def _side_lit(image: Image, face: Face, rng: np.random.Generator, least: float) -> Image:
    """The light falls from full to `least` across the width of the face, from a side drawn at random."""
    across, _ = _place(image, face)
    ramp = np.clip((across - 25) / 62, 0, 1)
    return _uint8(image * (1 - (1 - least) * (ramp if rng.random() < 0.5 else 1 - ramp))[:, :, None])


def _back_lit(image: Image, face: Face, _: np.random.Generator, face_gain: float, veil: float) -> Image:
    """A dark face before a bright background, with `veil` grey levels of stray light over all."""
    across, down = _place(image, face)
    inside = cv2.GaussianBlur(((across - 56) ** 2 / 44**2 + (down - 66) ** 2 / 62**2 < 1).astype(np.float32), (0, 0), face.eye_distance / 8)[:, :, None]
    return _uint8(image * face_gain * inside + (image * 0.5 + 150) * (1 - inside) + veil)


def _compressed(image: Image, _: Face, __: np.random.Generator, quality: int) -> Image:
    return np.ascontiguousarray(compress(image[:, :, ::-1], quality)[:, :, ::-1])


def _masked(image: Image, face: Face, _: np.random.Generator) -> Image:
    """A surgical mask, drawn."""
    return _filled(image, _on(face, MASK), MASK_BGR)


def _dark_glasses(image: Image, face: Face, _: np.random.Generator) -> Image:
    """Dark glasses, drawn."""
    angles = np.linspace(0, 2 * np.pi, 24)
    for eye in CANONICAL_LANDMARKS[:2]:
        image = _filled(image, _on(face, np.column_stack([eye[0] + LENS[0] * np.cos(angles), eye[1] + 1 + LENS[1] * np.sin(angles)])), GLASSES_BGR)
    return _filled(image, _on(face, BRIDGE), GLASSES_BGR)


def _distant(image: Image, face: Face, rng: np.random.Generator) -> Image:
    """A cheap webcam at some distance: small, noisy and compressed."""
    return _compressed(_noisy(_small(image, face, rng, 24), face, rng, 8), face, rng, 30)


def _on(face: Face, points: Points | NDArray[np.floating]) -> NDArray[np.float64]:
    """(K, 2) px of the aligned crop -> (K, 2) px of the picture."""
    matrix = similarity_transform(CANONICAL_LANDMARKS, face.landmarks)
    return np.asarray(np.asarray(points) @ matrix[:, :2].T + matrix[:, 2])


def _place(image: Image, face: Face) -> NDArray[np.float64]:
    """(2, H, W): where each px lies in the aligned crop, x and y."""
    matrix = similarity_transform(face.landmarks, CANONICAL_LANDMARKS)
    down, across = np.indices(image.shape[:2])
    return np.asarray(np.tensordot(matrix[:, :2], np.stack([across, down]), 1) + matrix[:, 2, None, None])


def _filled(image: Image, outline: NDArray[np.float64], bgr: tuple[int, int, int]) -> Image:
    """An area of one colour with smooth edges."""
    return _uint8(cv2.fillPoly(image.copy(), [np.round(outline * 16).astype(np.int32)], bgr, cv2.LINE_AA, 4))


def _uint8(image: NDArray[Any]) -> Image:
    return np.asarray(np.clip(np.rint(image), 0, 255), np.uint8)


CONDITIONS: dict[str, Change] = {
    "untouched": lambda image, _, __: image,
    "eyes 40 px apart": partial(_small, eyes=40),
    "eyes 24 px apart": partial(_small, eyes=24),
    "eyes 16 px apart": partial(_small, eyes=16),
    "eyes 24 px apart, noise of 8 grey levels, JPEG 30": _distant,
    "out of focus, 0.05 eye distances": partial(_blurred, deviation=0.05),
    "out of focus, 0.1 eye distances": partial(_blurred, deviation=0.1),
    "motion of 0.2 eye distances": partial(_moved, length=0.2),
    "motion of 0.4 eye distances": partial(_moved, length=0.4),
    "twice the light": partial(_lit, gain=2.0),
    "0.4 of the light, noise of 4 grey levels": partial(_dark, gain=0.4, noise=4.0),
    "0.2 of the light, noise of 6 grey levels": partial(_dark, gain=0.2, noise=6.0),
    "gamma 0.5": partial(_lit, gamma=0.5),
    "gamma 2": partial(_lit, gamma=2.0),
    "light from one side, 0.2 on the other": partial(_side_lit, least=0.2),
    "backlight": partial(_back_lit, face_gain=0.3, veil=20.0),
    "warm light": partial(_lit, bgr=(0.55, 0.9, 1.15)),
    "cold light": partial(_lit, bgr=(1.2, 1.0, 0.7)),
    "noise of 10 grey levels": partial(_noisy, deviation=10.0),
    "noise of 25 grey levels": partial(_noisy, deviation=25.0),
    "JPEG 30": partial(_compressed, quality=30),
    "JPEG 10": partial(_compressed, quality=10),
    "mask, drawn": _masked,
    "dark glasses, drawn": _dark_glasses,
}
