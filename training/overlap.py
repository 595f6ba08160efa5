"""Find people of a test set who also seem to be in the training set.

A high score alone is no evidence: the highest of 50,000 non-mated scores is high, too. Each person's best score is therefore compared with the tail of that
person's scores with the whole training set. The tail of non-mated scores is that of a normal distribution; a mated score lies outside of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError

OWN = 30  # number of highest scores left out of the fit, because they may be mated
TAIL = 1500  # number of highest scores that make the tail
BY_CHANCE = 0.05  # false warnings expected per test set


@dataclass(frozen=True)
class Overlap:
    """A person of the test set and the most similar training record."""

    person: str
    record: str
    score: float
    by_chance: float  # expected number of test people with a non-mated score as high


def overlap(embeddings: NDArray[np.float32], people: Sequence[str], training: NDArray[np.float32], records: Sequence[str]) -> list[Overlap]:
    """People whose best score with a training record cannot be explained by chance, the least likely first.

    Args:
        embeddings: (N, D) unit rows of the test set, by the same embedder as `training`.
        people: (N,) person of each row; the rows of a person are averaged.
        training: (T, D) unit rows.
        records: (T,) their names.

    Raises:
        ClockfaceError: too few training records to judge the tail.
    """
    if len(training) < 2 * TAIL:
        raise ClockfaceError(f"{len(training)} training records are too few to tell chance from overlap; at least {2 * TAIL} are needed")
    names, owner = np.unique(people, return_inverse=True)
    means = np.zeros((len(names), embeddings.shape[1]), np.float32)
    np.add.at(means, owner, embeddings)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    found = []
    for name, mean in zip(names, means, strict=True):
        scores = training @ mean  # (T,)
        best = int(scores.argmax())
        expected = len(names) * expected_above(scores, float(scores[best]))
        if expected < BY_CHANCE:
            found.append(Overlap(str(name), records[best], round(float(scores[best]), 4), expected))
    return sorted(found, key=lambda one: one.by_chance)


def expected_above(scores: NDArray[np.float32], score: float) -> float:
    """Expected number of (T,) non-mated scores that reach `score`, by a normal distribution fitted to their tail."""
    ranked = np.sort(np.partition(scores, -TAIL)[-TAIL:])[::-1].astype(np.float64)
    ranks = np.unique(np.geomspace(OWN, TAIL - 1, 40).astype(int))
    normal = NormalDist()
    z = [-normal.inv_cdf((rank + 0.5) / len(scores)) for rank in ranks]
    slope, offset = np.polyfit(ranked[ranks], z, 1)
    return len(scores) * 0.5 * math.erfc((slope * score + offset) / math.sqrt(2))
