"""Who of a test set seems to be in a training set too.

A good score alone says little: among 50,000 strangers the most alike one scores high. So each person's best score is held against the tail of that
person's own scores with the whole training set. Scores with strangers fall off like a normal distribution; who is there in person stands outside of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError

OWN = 30  # the highest scores are left out of the fit: they may be the person's own
TAIL = 1500  # scores that the tail is fitted to
BY_CHANCE = 0.05  # false warnings expected for a whole test set


@dataclass(frozen=True)
class Overlap:
    """A person of the test set and the training record most alike."""

    person: str
    record: str
    score: float
    by_chance: float  # how many of the test set's people are expected to score so high with strangers


def overlap(embeddings: NDArray[np.float32], people: Sequence[str], training: NDArray[np.float32], records: Sequence[str]) -> list[Overlap]:
    """People whose best training record cannot be explained by chance, the plainest first.

    Args:
        embeddings: (N, D) unit rows of the test set, by the same embedder as `training`.
        people: (N,) who each row shows; a person's rows are averaged.
        training: (T, D) unit rows.
        records: (T,) what to call them.

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
    """How many of (T,) scores with strangers reach `score`, by a normal distribution laid through their tail."""
    ranked = np.sort(np.partition(scores, -TAIL)[-TAIL:])[::-1].astype(np.float64)
    ranks = np.unique(np.geomspace(OWN, TAIL - 1, 40).astype(int))
    normal = NormalDist()
    z = [-normal.inv_cdf((rank + 0.5) / len(scores)) for rank in ranks]
    slope, offset = np.polyfit(ranked[ranks], z, 1)
    return len(scores) * 0.5 * math.erfc((slope * score + offset) / math.sqrt(2))
