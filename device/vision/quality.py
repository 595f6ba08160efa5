"""Is this crop good enough to enrol or to recognise, and if not, what should the person do?

The gate fails closed: a measure that is not finite makes the crop unacceptable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.config import QualitySettings
from device.contract import phrase
from device.vision.detector import Face

USUAL_NOSE_HEIGHT = 0.57  # nose between eyes (0) and mouth (1): the median of frontal portraits
ENOUGH_DETAIL = 0.10  # sharpness above which more of it foretells no better score (docs/experiments-device.md)

DIRECTIONS = 8  # in which detail is measured
SMEARED = 0.55  # a crop is smeared by motion if detail in one direction is less than this share of `min_sharpness` and of the detail in another direction

NOT_UPRIGHT = "not_upright"  # given by `device.vision.recogniser`, which looks at the four turns

GUIDANCE = {  # reason -> instruction for the person in front of the terminal
    "too_small": phrase("advice.too_small", "come closer"),
    "not_sure": phrase("advice.not_sure", "show your whole face"),
    "turned": phrase("advice.turned", "look at the camera"),
    "nodding": phrase("advice.nodding", "hold your head level"),
    "tilted": phrase("advice.tilted", "hold your head straight"),
    "blurred": phrase("advice.blurred", "hold still"),
    "too_dark": phrase("advice.too_dark", "too dark"),
    "too_bright": phrase("advice.too_bright", "too bright"),
    "flat": phrase("advice.flat", "more light from the front"),
    NOT_UPRIGHT: phrase("advice.not_upright", "hold your head upright"),
}


@dataclass(frozen=True)
class Quality:
    """Measures of one crop; `reasons` is empty where the crop may be used."""

    score: float  # 0..1, to choose among crops and to weight them in a mean
    reasons: tuple[str, ...]  # keys of GUIDANCE, the most useful first
    eye_distance: float  # px of the frame
    yaw: float  # -0.5 (looks to the left of the image) .. 0.5, in eye distances
    pitch: float  # 0 level, positive looks down
    roll_degrees: float
    sharpness: float  # 0..1
    brightness: float  # 0..255
    contrast: float  # grey levels

    @property
    def acceptable(self) -> bool:
        return not self.reasons

    @property
    def guidance(self) -> str:
        """The instruction for the person, or an empty text."""
        return GUIDANCE[self.reasons[0]] if self.reasons else ""


def assess(face: Face, crop: NDArray[np.uint8], settings: QualitySettings, quick: bool = False) -> Quality:
    """Measure one face and its aligned crop.

    Args:
        face: in pixels of the frame.
        crop: (112, 112, 3) uint8 RGB from `device.contract.align`.
        quick: only to choose among frames; whether motion has smeared the face is not measured.
    """
    yaw, pitch, roll = pose(face.landmarks)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[24:104, 16:96]  # brow to chin, without background
    brightness, contrast = float(grey.mean()), float(grey.std())
    sharpness = detail(grey)
    limits = settings
    checks = {
        "not_sure": face.score >= limits.min_score,
        "too_small": face.eye_distance >= limits.min_eye_distance,
        "too_dark": brightness >= limits.min_brightness,
        "too_bright": brightness <= limits.max_brightness,
        "flat": contrast >= limits.min_contrast,
        "turned": abs(yaw) <= limits.max_yaw,
        "nodding": abs(pitch) <= limits.max_pitch,
        "tilted": abs(roll) <= limits.max_roll_degrees,
        "blurred": sharpness >= limits.min_sharpness and (quick or not smeared(grey, limits.min_sharpness)),
    }
    score = max(0.0, 2 * face.score - 1) ** 2 * min(1.0, sharpness / ENOUGH_DETAIL)
    reasons = tuple(reason for reason, passed in checks.items() if not passed)
    return Quality(float(score), reasons, face.eye_distance, yaw, pitch, roll, sharpness, brightness, contrast)


def pose(landmarks: NDArray[np.float32]) -> tuple[float, float, float]:
    """Head pose from five landmarks: (yaw in eye distances, pitch in eye-to-mouth distances, roll in degrees).

    Yaw and pitch are not angles but offsets of the nose in the plane of the face: monotonic in the angle, and no camera model is needed.
    """
    left, right, nose = (landmarks[i].astype(np.float64) for i in range(3))
    mouth = landmarks[3:5].astype(np.float64).mean(axis=0)
    eyes = right - left
    distance = max(float(np.hypot(*eyes)), 1e-6)
    middle = (left + right) / 2
    down = np.array([-eyes[1], eyes[0]]) / distance
    mouth_height = float((mouth - middle) @ down)
    if mouth_height <= 0:  # the mouth is above the eyes: this face cannot be aligned
        return 1.0, 1.0, 180.0
    yaw = float((nose - middle) @ eyes) / distance**2
    pitch = float((nose - middle) @ down) / mouth_height - USUAL_NOSE_HEIGHT
    return yaw, pitch, float(np.degrees(np.arctan2(eyes[1], eyes[0])))


def smeared(grey: NDArray[Any], min_sharpness: float) -> bool:
    """Whether motion has taken the detail along its direction, which the mean over all directions does not show."""
    pixels = grey.astype(np.float32)
    along = [float(np.abs(pixels - cv2.filter2D(pixels, -1, line)).mean()) for line in _LINES]
    least = min(along) / max(float(grey.std()), 1.0)
    return least < SMEARED * min_sharpness and min(along) < SMEARED * max(along)


def _line(angle: float) -> NDArray[np.float32]:
    """(9, 9) weights that sum to 1: a Gaussian of 1.5 px along a line through the middle."""
    kernel = np.zeros((9, 9), np.float32)
    for step in np.linspace(-4, 4, 33):
        kernel[round(4 + step * np.sin(angle)), round(4 + step * np.cos(angle))] += np.exp(-(step**2) / (2 * 1.5**2))
    return np.asarray(kernel / kernel.sum(), np.float32)


_LINES = [_line(angle) for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS]


def detail(grey: NDArray[Any]) -> float:
    """Sharpness 0..1: mean fine detail (finer than a Gaussian of 2 px) over contrast, so that it does not depend on the light."""
    fine = np.abs(grey.astype(np.float32) - cv2.GaussianBlur(grey, (0, 0), 2).astype(np.float32))
    return float(fine.mean() / max(float(grey.std()), 1.0))
