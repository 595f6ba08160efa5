"""Light augmentation of an aligned crop: flip, small affine transform, brightness, blur, low resolution, JPEG.

All random choices come from the generator that is passed in, so that a crop of a run is a function of seed, epoch and position.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from device.contract import CROP_SIZE
from training.config import AugmentSettings

Crop = NDArray[np.uint8]  # (112, 112, 3) RGB
Array = float | NDArray[np.floating]
CENTRE = (CROP_SIZE - 1) / 2  # px
BLUR = (0.4, 1.6)  # sigma, px
SIZES = (28, 81)  # px of the low resolution, and of JPEG the quality: the last is not drawn
QUALITIES = (25, 76)
GREY = 0.05  # share of the crops that lose their colour


def augment(crop: Crop, settings: AugmentSettings, rng: np.random.Generator) -> Crop:
    """(112, 112, 3) uint8 RGB -> a crop of the same form, changed within the limits of `settings`."""
    chance = rng.random(4)
    crop = warp(crop, settings, rng)
    if settings.light > 0:
        crop = relight(crop, settings.light, rng)
    if chance[0] < settings.blur:
        crop = blurred(crop, rng.uniform(*BLUR))
    if chance[1] < settings.low_resolution:
        crop = lower_resolution(crop, int(rng.integers(*SIZES)))
    if chance[2] < settings.jpeg:
        crop = compress(crop, int(rng.integers(*QUALITIES)))
    return crop


def warp(crop: Crop, settings: AugmentSettings, rng: np.random.Generator) -> Crop:
    """Flip, rotate, scale and shift about the centre with one interpolation."""
    angle = np.radians(rng.uniform(-1, 1) * settings.rotation_degrees)
    scale = 1 + rng.uniform(-1, 1) * settings.scale
    shift = rng.uniform(-1, 1, 2) * settings.shift_px
    mirror = -1.0 if rng.random() < settings.flip else 1.0
    return warped(crop, affine(angle, scale, shift, mirror))


def affine(angle: Array, scale: Array, shift: Array, mirror: Array) -> NDArray[np.float64]:
    """Radians (...), factor (...), px (..., 2), 1 or -1 (...) -> (..., 2, 3), which takes a place of the crop to its new place, x then y."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([cos * mirror, -sin], -1), np.stack([sin * mirror, cos], -1)], -2)  # (..., 2, 2)
    offset = CENTRE - linear @ np.full(2, CENTRE) + shift  # (..., 2)
    return np.concatenate([linear, offset[..., None]], -1)


def warped(crop: Crop, matrix: NDArray[np.float64]) -> Crop:
    """The crop with each place moved by the matrix, (2, 3); the edges are continued."""
    return _uint8(cv2.warpAffine(crop, matrix, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def relight(crop: Crop, light: float, rng: np.random.Generator) -> Crop:
    """Change gain, gamma and, slightly, colour; some crops become grey."""
    gain = 1 + rng.uniform(-1, 1) * light
    gamma = 2.0 ** (rng.uniform(-1, 1) * light)
    cast = 1 + rng.uniform(-1, 1, 3) * light / 4
    return relit(crop, gain * cast, gamma, rng.random() < GREY)


def relit(crop: Crop, gain: NDArray[np.float64], gamma: float, grey: bool) -> Crop:
    """One table look-up per channel: 255 gain (x / 255) ^ gamma; gain (3,), red first."""
    ramp = np.linspace(0, 1, 256) ** gamma * 255
    if grey:
        crop = _uint8(cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
    return _uint8(cv2.LUT(crop, np.clip(ramp[:, None] * gain, 0, 255).astype(np.uint8)[None]))  # table (1, 256, 3)


def blurred(crop: Crop, sigma: float) -> Crop:
    """Gaussian blur, sigma in px."""
    return _uint8(cv2.GaussianBlur(crop, (0, 0), sigma))


def lower_resolution(crop: Crop, size: int) -> Crop:
    """Scale down to `size` px and back up, as for a face far from the camera."""
    small = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return _uint8(cv2.resize(small, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR))


def compress(crop: Crop, quality: int) -> Crop:
    """Encode as JPEG and decode, in BGR as OpenCV expects: JPEG stores green more precisely than red and blue."""
    _, data = cv2.imencode(".jpg", crop[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(_uint8(cv2.imdecode(data, cv2.IMREAD_COLOR))[:, :, ::-1])


def _uint8(image: object) -> Crop:
    return np.asarray(image, dtype=np.uint8)
