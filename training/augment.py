"""Augmentation of an aligned crop: covering, flip, small affine transform, light, blur, motion, low resolution, noise, JPEG.

All random choices come from the generator that is passed in, so that a crop of a run is a function of seed, epoch and position.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from device.contract import CROP_SIZE
from training.config import AugmentSettings
from training.covering import covering

Crop = NDArray[np.uint8]  # (112, 112, 3) RGB
Array = float | NDArray[np.floating]
CENTRE = (CROP_SIZE - 1) / 2  # px
LEAST_BLUR = 0.4  # sigma, px
MOTION = (3.0, 14.0)  # px
NOISE = (2.0, 25.0)  # standard deviation in grey levels
TILES = 64  # of noise, drawn once: a crop gets one of them
EXPOSURE = (-2.3, 1.0)  # as a power of two: a fifth to twice the light
COVERINGS = 2**31
SIZES = (28, 81)  # px of the low resolution, and of JPEG the quality: the last is not drawn
QUALITIES = (25, 76)
GREY = 0.05  # share of the crops that lose their colour


def augment(crop: Crop, settings: AugmentSettings, rng: np.random.Generator) -> Crop:
    """(112, 112, 3) uint8 RGB -> a crop of the same form, changed within the limits of `settings`."""
    chance = rng.random(7)
    if chance[0] < settings.covered:
        crop = covered(crop, int(rng.integers(1, COVERINGS)))
    crop = warp(crop, settings, rng)
    if settings.light > 0 or settings.exposure > 0:
        crop = relight(crop, settings.light, 2.0 ** rng.uniform(*EXPOSURE) if chance[1] < settings.exposure else 1.0, rng)
    if chance[2] < settings.blur:
        crop = blurred(crop, rng.uniform(LEAST_BLUR, settings.blur_px))
    if chance[3] < settings.motion:
        crop = moved(crop, motion(rng.uniform(*MOTION), rng.uniform(0, np.pi)))
    if chance[4] < settings.low_resolution:
        crop = lower_resolution(crop, int(rng.integers(*SIZES)))
    if chance[5] < settings.noise:
        crop = noisy(crop, rng.uniform(*NOISE), int(rng.integers(TILES)))
    if chance[6] < settings.jpeg:
        crop = compress(crop, int(rng.integers(*QUALITIES)))
    return crop


def covered(crop: Crop, number: int) -> Crop:
    """With a covering, by its number."""
    opacity, colour = covering(number)
    return _uint8(np.rint(crop + opacity[:, :, None] * (colour - crop)))


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


def relight(crop: Crop, light: float, exposure: float, rng: np.random.Generator) -> Crop:
    """Change gain, gamma and, slightly, colour; some crops become grey. `exposure` is a further gain."""
    gain = exposure * (1 + rng.uniform(-1, 1) * light)
    gamma = 2.0 ** (rng.uniform(-1, 1) * light)
    cast = 1 + rng.uniform(-1, 1, 3) * light / 4
    return relit(crop, gain * cast, gamma, rng.random() < (GREY if light > 0 else 0))


def relit(crop: Crop, gain: NDArray[np.float64], gamma: float, grey: bool) -> Crop:
    """One table look-up per channel: 255 gain (x / 255) ^ gamma; gain (3,), red first."""
    ramp = np.linspace(0, 1, 256) ** gamma * 255
    if grey:
        crop = _uint8(cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
    return _uint8(cv2.LUT(crop, np.clip(ramp[:, None] * gain, 0, 255).astype(np.uint8)[None]))  # table (1, 256, 3)


def blurred(crop: Crop, sigma: float) -> Crop:
    """Gaussian blur, sigma in px."""
    return _uint8(cv2.GaussianBlur(crop, (0, 0), sigma))


def motion(length: Array, angle: Array) -> NDArray[np.float64]:
    """px (...) and radians (...) -> (2, ...) px, across and down, that a place moves while the shutter is open."""
    return length * np.array([np.cos(angle), np.sin(angle)])


def moved(crop: Crop, path: NDArray[np.floating]) -> Crop:
    """Smeared along a straight path, (2,) px."""
    return _uint8(cv2.filter2D(crop, -1, trace(path), borderType=cv2.BORDER_REPLICATE))


def trace(path: NDArray[np.floating]) -> NDArray[np.float32]:
    """(15, 15) mean over a straight path about the middle; each of its points is shared by the four px around it."""
    middle = int(np.ceil(MOTION[1] / 2))
    across, down = (middle + np.linspace(-0.5, 0.5, 64) * step for step in path)
    lines = np.arange(2 * middle + 1)
    rows, columns = (np.clip(1 - np.abs(lines - place[:, None]), 0, None) for place in (down, across))  # (64, 15)
    return np.asarray(rows.T @ columns / len(across), np.float32)


def lower_resolution(crop: Crop, size: int) -> Crop:
    """Scale down to `size` px and back up, as for a face far from the camera."""
    small = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return _uint8(cv2.resize(small, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR))


def noisy(crop: Crop, deviation: float, tile: int) -> Crop:
    """With noise of each px and colour, in grey levels."""
    return _uint8(np.clip(np.rint(crop + deviation * noise()[tile]), 0, 255))


@functools.cache
def noise() -> NDArray[np.float32]:
    """(64, 112, 112, 3) of standard deviation 1, the same in every run."""
    return np.random.default_rng(0).standard_normal((TILES, CROP_SIZE, CROP_SIZE, 3), np.float32)


def compress(crop: Crop, quality: int) -> Crop:
    """Encode as JPEG and decode, in BGR as OpenCV expects: JPEG stores green more precisely than red and blue."""
    _, data = cv2.imencode(".jpg", crop[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(_uint8(cv2.imdecode(data, cv2.IMREAD_COLOR))[:, :, ::-1])


def _uint8(image: object) -> Crop:
    return np.asarray(image, dtype=np.uint8)
