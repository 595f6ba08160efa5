"""Find crops of the same photo, by difference hashes that are nearly equal."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

NEAR_BITS = 5  # of 128
FLAT = 3  # grey levels; a smaller difference sets no bit, so that noise in even areas has no effect


def difference_hash(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(112, 112, 3) uint8 RGB -> (16,) uint8: for 8 x 8 cells, whether the next cell to the right is clearly brighter, then the next below."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (9, 9), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = np.concatenate([(small[:8, 1:] > small[:8, :8] + FLAT).ravel(), (small[1:, :8] > small[:8, :8] + FLAT).ravel()])
    return np.packbits(bits)


def near_pairs(hashes: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Pairs of (N, 16) hashes that differ in at most 5 of 128 bits."""
    pairs = []
    for i in range(len(hashes) - 1):
        distance = np.unpackbits(hashes[i + 1 :] ^ hashes[i], axis=1).sum(1)  # bitwise_count needs numpy 2
        pairs += [(i, i + 1 + int(j)) for j in np.flatnonzero(distance <= NEAR_BITS)]
    return pairs
