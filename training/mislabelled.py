"""Find crops that are more alike to another person than to their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAD = 0.1  # least difference of the two mean scores


def mislabelled(embeddings: NDArray[np.float32], people: NDArray[np.str_]) -> list[tuple[int, str]]:
    """(number of the crop, other person) where the mean score with another person's crops exceeds that with the other crops of its own person.

    Args:
        embeddings: (N, D) unit rows.
        people: (N,) names; a person with one crop is skipped.
    """
    names, owner, counts = np.unique(people, return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), embeddings.shape[1]), np.float32)
    np.add.at(sums, owner, embeddings)
    scores = embeddings @ sums.T / counts  # (N, P) mean score with each person
    rows = np.arange(len(people))
    own = (scores[rows, owner] * counts[owner] - 1) / np.maximum(counts[owner] - 1, 1)  # without the score with itself
    scores[rows, owner] = -np.inf
    other = scores.argmax(1)
    found = np.flatnonzero((counts[owner] > 1) & (scores[rows, other] > own + LEAD))
    return [(int(i), str(names[other[i]])) for i in found]
