"""Worse pictures of the same face, as a terminal sees them: from afar, moving, in the dark, turned away."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from device.vision.detector import Face

Image = NDArray[np.uint8]  # (H, W, 3) BGR

KINDS = ("small", "blurred", "dark", "turned")
EYES_PX = (16.0, 24.0)  # px between the eyes of a small face
BLUR = (0.03, 0.12)  # standard deviation of the blur in eye distances, across and down on their own
LIGHT, NOISE = (0.1, 0.4), (2.0, 6.0)  # share of the light that is left, and the noise in grey levels
TURN = (0.1, 0.35)  # how far the nose moves to the side, in eye distances
BULGE = 0.6  # standard deviation of the part of the face that moves with it, in eye distances


def spoilt(image: Image, face: Face, kind: str, rng: np.random.Generator) -> Image:
    """A worse picture of one kind; how much worse is drawn at random."""
    if kind == "small":
        return smaller(image, face, rng.uniform(*EYES_PX))
    if kind == "blurred":
        across, down = rng.uniform(*BLUR, 2) * face.eye_distance
        return np.asarray(cv2.GaussianBlur(image, (0, 0), across, sigmaY=down), np.uint8)
    if kind == "dark":
        return np.clip(image * rng.uniform(*LIGHT) + rng.normal(0, rng.uniform(*NOISE), image.shape), 0, 255).astype(np.uint8)
    return turned(image, face, rng.choice([-1, 1]) * rng.uniform(*TURN) * face.eye_distance)


def smaller(image: Image, face: Face, eyes: float) -> Image:
    """The picture scaled so that the eyes are at most this many px apart."""
    scale = min(1.0, eyes / face.eye_distance)
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def turned(image: Image, face: Face, shift: float) -> Image:
    """The nose and what is around it, nearest to the camera, move by `shift` px to the right, as when the head turns."""
    grid = np.indices(image.shape[:2]).astype(np.float32)
    y, x = grid[0], grid[1]
    nose = face.landmarks[2]
    near = np.exp(-((x - nose[0]) ** 2 + (y - nose[1]) ** 2) / (2 * (BULGE * face.eye_distance) ** 2))
    source = (x - shift * near).astype(np.float32)  # column that each px is taken from
    return np.asarray(cv2.remap(image, source, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)
