"""The far tail of non-mated scores: a generalised Pareto distribution fitted to the highest, for thresholds that no comparison reached.

Its results lie beyond the data. They are therefore marked "extrapolated" everywhere, have their own interval, and are refused if the fit contradicts
the observed scores or would reach too far beyond them.

Sources: J. Pickands, "Statistical inference using extreme order statistics", Ann. Stat. 3, 1975; the fit by probability-weighted moments, J. Hosking and
J. Wallis, "Parameter and quantile estimation for the generalized Pareto distribution", Technometrics 29, 1987.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tail:
    """P(score > x) = share * (1 + shape (x - start) / scale) ** (-1 / shape) for x >= start."""

    start: float  # score from which the fit holds
    share: float  # share of all comparisons above `start`
    scale: float
    shape: float  # below 0 if scores have a largest value, as cosines do

    def score(self, rate: Array) -> Array:
        """The score that a share `rate` of all comparisons exceeds."""
        beyond = np.asarray(rate) / self.share
        if abs(self.shape) < 1e-6:
            return self.start - self.scale * np.log(beyond)
        return np.asarray(self.start + self.scale / self.shape * (beyond**-self.shape - 1))

    def rate(self, score: Array) -> Array:
        """The share of all comparisons that exceeds a score."""
        steps = (np.asarray(score) - self.start) / self.scale
        if abs(self.shape) < 1e-6:
            return self.share * np.exp(-steps)
        return np.asarray(np.minimum(self.share * np.maximum(1 + self.shape * steps, 1e-12) ** (-1 / self.shape), 1.0))


def fit(scores: Array, weights: Array, start: float, total: float) -> Tail:
    """Fit the scores above `start`.

    Args:
        scores: (K,) in descending order, all above `start`.
        weights: (K,) how often each score counts.
        total: weight of all comparisons, including those below `start`.
    """
    inside = float(weights.sum())
    excess = scores - start
    exceeded = (np.cumsum(weights) - 0.65 * weights) / inside  # (K,) share of the tail at or above: 1 - (i - 0.35) / K in ascending order
    first = float((weights * excess).sum()) / inside
    second = float((weights * excess * exceeded).sum()) / inside
    ratio = first / (first - 2 * second)
    return Tail(start, inside / total, 2 * ratio * second, 2 - ratio)
