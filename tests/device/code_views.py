"""QR codes as a camera sees them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def seen(code: np.ndarray, seed: int) -> np.ndarray:
    """A code as a webcam at 640 x 480 sees it: 300 px wide, at an angle, blurred, grey, with noise."""
    chance = np.random.default_rng(seed)
    size = len(code) * 8
    large = cv2.resize(code, (size, size), interpolation=cv2.INTER_NEAREST)
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    place = corners * (340 / size) + (150, 70) + chance.uniform(-15, 15, (4, 2))
    view = cv2.warpPerspective(large, cv2.getPerspectiveTransform(corners, place.astype(np.float32)), (640, 480), flags=cv2.INTER_AREA, borderValue=120)
    grey = cv2.GaussianBlur(view, (0, 0), 0.6) * 0.7 + 30 + chance.normal(0, 5, view.shape)
    return cv2.cvtColor(np.clip(grey, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)


def two_in_view(codes: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Two codes side by side at 1280 x 720, as on a sheet of paper that is held a little askew."""
    left, right = (seen(code, seed + number) for number, code in enumerate(codes))
    view = np.full((720, 1280, 3), 120, np.uint8)
    view[100:580, :640], view[140:620, 640:] = left, right
    return view
