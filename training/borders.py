"""Fill the black areas of crops that reach beyond the edges of their photo, by mirroring the photo at its edges."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from device.contract import CROP_SIZE

Crop = NDArray[np.uint8]  # (112, 112, 3) RGB
Points = NDArray[np.float64]  # (P, 2) x, y

BLACK = 20  # largest channel value of a pixel outside the photo; compression makes it differ from 0
EDGE_PX = 2.0  # width of the edge that interpolation and compression darken
LEAST_PX = 12.0  # a shorter edge does not determine the angle


@dataclass(frozen=True)
class Photo:
    """The rotated rectangle that the photo covers: `axes` are its unit vectors, `low` and `high` its extent along them, px."""

    axes: Points  # (2, 2), rows
    low: Points  # (2,)
    high: Points  # (2,)

    def mirrored(self, places: Points) -> Points:
        """(P, 2) -> (P, 2): points outside are mirrored at the nearest edge, points inside stay."""
        along = places @ self.axes.T
        along = along + 2 * np.maximum(self.low - along, 0) - 2 * np.maximum(along - self.high, 0)
        return np.asarray(np.clip(along, self.low, self.high) @ self.axes)


def fill_black(crop: Crop) -> Crop:
    """(112, 112, 3) uint8 RGB -> the crop with each pixel outside the photo taken from its mirror image; without black edges it is returned unchanged."""
    found = photo(crop)
    if found is None:
        return crop
    places = np.stack(np.meshgrid(np.arange(CROP_SIZE), np.arange(CROP_SIZE)), -1).reshape(-1, 2).astype(np.float64)
    mirrored = found.mirrored(places)
    outside = (np.abs(mirrored - places).max(1) > 1e-6).reshape(CROP_SIZE, CROP_SIZE)
    x, y = mirrored.astype(np.float32).reshape(CROP_SIZE, CROP_SIZE, 2).transpose(2, 0, 1)
    filled = cv2.remap(crop, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.where(outside[:, :, None], filled, crop), np.uint8)


def photo(crop: Crop) -> Photo | None:
    """The photo's rectangle, by the convex hull of all pixels that are not black; None if the photo fills the crop or no pixel is bright."""
    bright = cv2.morphologyEx((crop.max(2) > BLACK).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))  # without single bright pixels
    points = cv2.findNonZero(bright)
    if points is None:
        return None
    corners = cv2.approxPolyDP(cv2.convexHull(points), 1.5, True)[:, 0].astype(np.float64)  # (C, 2)
    edge = longest_edge(corners)
    if edge is None:
        return None
    axis = edge / np.linalg.norm(edge)
    axes = np.array([axis, [-axis[1], axis[0]]])
    along = corners @ axes.T
    return Photo(axes, along.min(0) + EDGE_PX, along.max(0) - EDGE_PX)


def longest_edge(corners: Points) -> Points | None:
    """(2,) the longest side of the polygon that is an edge of the photo, not the border of the crop; None if there is none of `LEAST_PX`."""
    following = np.roll(corners, -1, axis=0)
    left_or_top = np.maximum(corners, following) <= 1  # (C, 2) both ends of a side there
    right_or_bottom = np.minimum(corners, following) >= CROP_SIZE - 2
    sides = (following - corners)[~(left_or_top | right_or_bottom).any(axis=1)]
    lengths = np.linalg.norm(sides, axis=1)
    return sides[lengths.argmax()] if len(sides) and lengths.max() >= LEAST_PX else None
