"""Attacks made from pictures of living faces: shown on a screen or printed, held in front of another scene and photographed again.

They are for training only. Error rates are measured on attacks that somebody made in front of a camera, never on these.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.augment import compress

Image = NDArray[np.uint8]  # (H, W, 3) BGR
Box = tuple[float, float, float, float]  # x, y, width, height, px

SHAPES = (9 / 16, 3 / 4, 1.0, 4 / 3, 16 / 9)  # width to height of what is shown
SHOWN = (1.4, 4.0)  # width of what is shown in widths of the face
FACE = (0.16, 0.4)  # width of the face in the result in widths of the scene


@dataclass(frozen=True)
class FacePicture:
    """A face with its surroundings."""

    image: Image
    box: Box


def recapture(shown: FacePicture, scene: Image, rng: np.random.Generator) -> FacePicture:
    """An attack: `shown` on a screen or on paper in front of `scene`.

    Args:
        shown: a living face.
        scene: what lies behind the screen or sheet; the result has its size.
        rng: all random choices.
    """
    part = cut(shown, rng)
    on_screen = rng.random() < 0.6
    image = displayed(part.image, rng) if on_screen else printed(part.image, rng)
    return hold(framed(FacePicture(image, part.box), on_screen, rng), scene, rng)


def cut(shown: FacePicture, rng: np.random.Generator) -> FacePicture:
    """A rectangle around the face, as somebody frames it for a screen or a print."""
    x, y, w, h = shown.box
    height, width = shown.image.shape[:2]
    wide = w * rng.uniform(*SHOWN)
    tall = max(wide / rng.choice(SHAPES), 1.2 * h)
    left, top = x + w / 2 - wide * rng.uniform(0.4, 0.6), y + h / 2 - tall * rng.uniform(0.35, 0.55)
    x0, y0 = max(0, int(left)), max(0, int(top))
    x1, y1 = min(width, int(left + wide) + 1), min(height, int(top + tall) + 1)
    return FacePicture(shown.image[y0:y1, x0:x1], (x - x0, y - y0, w, h))


def displayed(image: Image, rng: np.random.Generator) -> Image:
    """As a screen shows it: its own gamma, white and brightness, the grid of its pixels against the camera's (moire), bands of its refresh."""
    values = (image / 255.0) ** rng.uniform(0.6, 1.5) * rng.uniform(0.8, 1.25)
    values = values * (1 + rng.uniform(-1, 1, 3) * (0.15, 0.05, 0.1)) + rng.uniform(0, 0.08)  # a black that shines
    for amplitude, shortest, longest in ((0.08, 2.2, 8.0), (0.06, 8.0, 60.0)):
        if rng.random() < 0.6:
            values = values * (1 + waves(image.shape[:2], amplitude, shortest, longest, rng))
    return as_bytes(values * 255)


def waves(size: tuple[int, ...], amplitude: float, shortest: float, longest: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(H, W, 3) interference of two grids, of random direction, period (px) and strength, in phase or not between the colours."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(shortest, longest)
    y, x = np.mgrid[: size[0], : size[1]]
    along = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period
    phases = rng.uniform(0, 2 * np.pi) + rng.choice((0.0, 2.0)) * np.arange(3)
    return np.asarray(rng.uniform(0.2, 1) * amplitude * np.cos(along[:, :, None] + phases))


def printed(image: Image, rng: np.random.Generator) -> Image:
    """As paper shows it: less contrast and colour, the grain of the print, a shade across a bent sheet."""
    grey = image.mean(2, keepdims=True)
    values = grey + (image - grey) * rng.uniform(0.4, 1.0)
    low, high = rng.uniform(10, 60), rng.uniform(180, 245)
    values = low + values * (high - low) / 255
    height, width = image.shape[:2]
    grain = cv2.resize(rng.normal(0, rng.uniform(1, 9), (height // 2 + 1, width // 2 + 1)), (width, height))
    bent = 1 + rng.uniform(-0.2, 0.2) * np.cos(np.linspace(0, np.pi, width) * rng.uniform(0.5, 2) + rng.uniform(0, 6))
    return as_bytes((values + grain[:, :, None]) * bent[None, :, None])


def framed(part: FacePicture, on_screen: bool, rng: np.random.Generator) -> FacePicture:
    """With the border of the device or the margin of the sheet, or without."""
    height, width = part.image.shape[:2]
    sides = [int(side) for side in rng.uniform(0, 0.12 if on_screen else 0.2, 4) * max(height, width) * (rng.random() < 0.85)]
    colour = rng.uniform(0, 45, 3) if on_screen else rng.uniform(150, 255) * np.ones(3)
    top, bottom, left, right = sides
    image = cv2.copyMakeBorder(part.image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=[float(value) for value in colour])
    x, y, w, h = part.box
    return FacePicture(np.asarray(image, np.uint8), (x + left, y + top, w, h))


def hold(sheet: FacePicture, scene: Image, rng: np.random.Generator) -> FacePicture:
    """The screen or sheet in front of the scene, tilted and turned a little, with light reflected on it."""
    height, width = scene.shape[:2]
    tall, wide = sheet.image.shape[:2]
    x, y, w, h = sheet.box
    scale = width * rng.uniform(*FACE) / w
    angle = np.radians(rng.normal(0, 6))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[0, 0], [wide, 0], [wide, tall], [0, tall]], float)
    middle = np.array([width * rng.uniform(0.4, 0.6), height * rng.uniform(0.4, 0.6)])
    placed = (corners - (x + w / 2, y + h / 2)) @ turn.T + middle + rng.uniform(-0.05, 0.05, (4, 2)) * scale * min(wide, tall)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), placed.astype(np.float32))
    lit = glare(sheet.image, rng) if rng.random() < 0.4 else sheet.image
    image = np.array(cv2.warpPerspective(lit, matrix, (width, height), flags=cv2.INTER_AREA), np.uint8)
    mask = cv2.warpPerspective(np.full((tall, wide), 255, np.uint8), matrix, (width, height))
    image = as_bytes(scene + (image.astype(float) - scene) * (mask / 255.0)[:, :, None])
    face = cv2.perspectiveTransform(np.array([[[x, y], [x + w, y], [x + w, y + h], [x, y + h]]], np.float32), matrix)[0]
    (left, top), (right, bottom) = face.min(0), face.max(0)
    return FacePicture(image, (float(left), float(top), float(right - left), float(bottom - top)))


def glare(image: Image, rng: np.random.Generator) -> Image:
    """A lamp or a window reflected on glass or glossy paper."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    spread = rng.uniform(0.05, 0.4, 2) * (height, width)
    spot = np.exp(-(((y - rng.uniform(0, height)) / spread[0]) ** 2) - ((x - rng.uniform(0, width)) / spread[1]) ** 2)
    return as_bytes(image + (rng.uniform(30, 200) * spot)[:, :, None])


def photographed(picture: FacePicture, rng: np.random.Generator) -> FacePicture:
    """As one camera or another sees it, living face and attack alike: distance, resolution, exposure, colour, sharpness, noise, compression."""
    picture = resized(closer(picture, rng), rng)
    values = 255 * (picture.image / 255.0) ** rng.uniform(0.6, 1.6) * rng.uniform(0.7, 1.3) * (1 + rng.uniform(-0.12, 0.12, 3))
    if rng.random() < 0.4:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), rng.uniform(0.4, 1.5)))
    image = as_bytes(values + rng.normal(0, rng.uniform(0, 5), values.shape))
    if rng.random() < 0.5:
        image = compress(image[:, :, ::-1], int(rng.integers(40, 95)))[:, :, ::-1]
    x, y, w, h = picture.box
    if rng.random() < 0.5:
        return FacePicture(np.ascontiguousarray(image[:, ::-1]), (image.shape[1] - x - w, y, w, h))
    return FacePicture(np.ascontiguousarray(image), picture.box)


def closer(picture: FacePicture, rng: np.random.Generator) -> FacePicture:
    """Half of the pictures as by somebody so near that the frame ends close to the face."""
    if rng.random() < 0.5:
        return picture
    x, y, w, h = picture.box
    height, width = picture.image.shape[:2]
    left, right = (int(max(1.25, reach) * w / 2) for reach in rng.uniform(1.2, 4, 2))
    top, bottom = (int(max(1.25, reach) * h / 2) for reach in rng.uniform(1.2, 4, 2))
    x0, y0 = max(0, int(x + w / 2) - left), max(0, int(y + h / 2) - top)
    x1, y1 = min(width, int(x + w / 2) + right), min(height, int(y + h / 2) + bottom)
    return FacePicture(picture.image[y0:y1, x0:x1], (x - x0, y - y0, w, h))


def resized(picture: FacePicture, rng: np.random.Generator) -> FacePicture:
    """Of another resolution, so that scaling itself says nothing."""
    scale = rng.uniform(0.5, 1.3)
    height, width = (max(8, round(side * scale)) for side in picture.image.shape[:2])
    image = np.asarray(cv2.resize(picture.image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8)
    across, down = width / picture.image.shape[1], height / picture.image.shape[0]
    x, y, w, h = picture.box
    return FacePicture(image, (x * across, y * down, w * across, h * down))


def as_bytes(values: NDArray[np.floating]) -> Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
