"""Coverings of an aligned face, drawn at random: a mask, dark glasses, or a hat or helmet, of any colour, at the canonical landmarks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from device.contract import CANONICAL_LANDMARKS, CROP_SIZE

Outline = list[tuple[float, float]]  # px of the crop
SHARES = (0.5, 0.3, 0.2)  # of masks, glasses and hats
OPACITY = (0.85, 1.0)


def covering(number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The covering of this number: (112, 112) opacity 0..1, and (112, 112, 3) RGB 0..255, lighter towards one side."""
    rng = np.random.default_rng(number)
    kind = rng.choice(len(SHARES), p=SHARES)
    area = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    for outline in (mask, glasses, hat)[kind](rng):
        cv2.fillPoly(area, [np.rint(np.array(outline) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    colour = rng.uniform(0, 90 if kind == 1 else 255, 3) if rng.random() < 0.7 else np.full(3, rng.uniform(0, 60 if kind == 1 else 255))
    slope, down, across = rng.uniform(-0.4, 0.4, 2), *np.indices((CROP_SIZE, CROP_SIZE)) / CROP_SIZE - 0.5
    shade = 1 + slope[0] * down + slope[1] * across
    fill = np.clip(colour * shade[:, :, None], 0, 255)
    return (area / 255 * rng.uniform(*OPACITY)).astype(np.float32), fill.astype(np.float32)


def mask(rng: np.random.Generator) -> list[Outline]:
    """From somewhere on the nose to the chin or below it."""
    nose, cheeks, jaw, bottom = rng.uniform(56, 76), rng.uniform(62, 80), rng.uniform(90, 104), rng.uniform(108, 124)
    left, right, ridge, chin = rng.uniform(6, 26), rng.uniform(86, 106), rng.uniform(6, 18), rng.uniform(12, 26)
    upper = [(left, cheeks), (56 - ridge, nose + 3), (56, nose), (56 + ridge, nose + 3), (right, cheeks)]
    return [[*upper, (right - 4, jaw), (56 + chin, bottom), (56 - chin, bottom), (left + 4, jaw)]]


def glasses(rng: np.random.Generator) -> list[Outline]:
    """Two lenses between round and rectangular, the bridge and the temples."""
    wide, high, lower, power = rng.uniform(10, 19), rng.uniform(7, 14), rng.uniform(-2, 4), rng.uniform(0.4, 1.0)
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    across, down = (np.sign(wave) * np.abs(wave) ** power for wave in (np.cos(angles), np.sin(angles)))
    lenses = [[*zip(x + wide * across, y + lower + high * down, strict=True)] for x, y in CANONICAL_LANDMARKS[:2]]
    top, thick = float(CANONICAL_LANDMARKS[:2, 1].mean()) + lower - rng.uniform(0, 5), rng.uniform(2, 5)
    return [*lenses, [(0, top), (CROP_SIZE, top), (CROP_SIZE, top + thick), (0, top + thick)]]


def hat(rng: np.random.Generator) -> list[Outline]:
    """From above down to the forehead, or to the brows."""
    left, middle, right = rng.uniform(14, 40), rng.uniform(14, 36), rng.uniform(14, 40)
    return [[(0, 0), (CROP_SIZE, 0), (CROP_SIZE, right), (56, middle), (0, left)]]
