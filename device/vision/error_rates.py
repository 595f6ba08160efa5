"""Error rates with exact intervals, the equal error rate, and the trade-off between two kinds of error. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CONFIDENCE = 0.95
STEPS = 60  # of a bisection: finer than a double's digits


@dataclass(frozen=True)
class ErrorRate:
    """A share of independent presentations and its 95 % interval (C. J. Clopper and E. S. Pearson, Biometrika 26, 1934).

    Where nothing or everything was counted, the interval has one end that can be wrong, and all 5 % lie there: 0 of 150 is at most 1.98 %,
    the exact form of the rule of three.
    """

    count: int
    n: int

    @property
    def value(self) -> float | None:
        """None without a presentation."""
        return self.count / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float]:
        if self.n == 0:
            return 0.0, 1.0
        tail = (1 - CONFIDENCE) / (1 if self.count in (0, self.n) else 2)
        low = 0.0 if self.count == 0 else _root(lambda share: 1 - at_most(self.count - 1, self.n, share) - tail)
        high = 1.0 if self.count == self.n else _root(lambda share: tail - at_most(self.count, self.n, share))
        return low, high

    def as_dict(self) -> dict[str, Any]:
        low, high = self.interval
        return {"value": self.value, "low": round(low, 6), "high": round(high, 6), "n": self.n}


def at_most(count: int, n: int, share: float) -> float:
    """Probability of at most `count` events in `n` independent trials, each with the probability `share`."""
    if share <= 0 or share >= 1:
        return 1.0 if share <= 0 or count >= n else 0.0
    odds = (math.log(share), math.log1p(-share))
    whole = math.lgamma(n + 1)
    return math.fsum(math.exp(whole - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * odds[0] + (n - k) * odds[1]) for k in range(count + 1))


def _root(rising: Callable[[float], float]) -> float:
    """Where a function that rises from 0 to 1 crosses zero."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def trade_off(attacks: Sequence[float], bona_fide: Sequence[float]) -> list[tuple[float, float, float]]:
    """(threshold, APCER, BPCER) at every threshold that changes anything, from the lowest; what exceeds the threshold is accepted."""
    thresholds = np.concatenate([[-np.inf], np.unique([*attacks, *bona_fide])])
    refused, missed = (np.searchsorted(np.sort(scores), thresholds, side="right") / len(scores) for scores in (attacks, bona_fide))
    return list(zip(thresholds.tolist(), (1 - refused).tolist(), missed.tolist(), strict=True))


def equal_error_rate(attacks: Sequence[float], bona_fide: Sequence[float]) -> float | None:
    """Mean of both errors at the threshold where they differ least; None without scores of both kinds."""
    if not attacks or not bona_fide:
        return None
    _, apcer, bpcer = min(trade_off(attacks, bona_fide), key=lambda point: (abs(point[1] - point[2]), point[1] + point[2]))
    return (apcer + bpcer) / 2
