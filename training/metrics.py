"""Measures of verification and identification from scores alone; numpy only.

A score is a cosine, higher is more alike; a pair is accepted when its score is at least the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Interval:
    """A measured share with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    """Scores of mated pairs (same person) and non-mated pairs (different people)."""

    mated: Array  # (M,)
    non_mated: Array  # (N,)

    def threshold_at(self, far: float) -> float:
        """The smallest threshold that accepts at most a share `far` of the non-mated pairs."""
        allowed = math.floor(far * len(self.non_mated) + 1e-9)
        if allowed >= len(self.non_mated):
            return float("-inf")
        place = len(self.non_mated) - 1 - allowed
        return float(np.nextafter(np.partition(self.non_mated, place)[place], np.inf, dtype=self.non_mated.dtype))

    def tar_at(self, far: float) -> float:
        """Share of mated pairs accepted at the threshold for `far`."""
        return float(np.mean(self.mated >= self.threshold_at(far)))
