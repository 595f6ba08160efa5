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
    scores = embeddings @ _sums(embeddings, owner).T / counts  # (N, P) mean score with each person
    own = own_scores(embeddings, people)
    scores[np.arange(len(people)), owner] = -np.inf
    other = scores.argmax(1)
    found = np.flatnonzero((counts[owner] > 1) & (scores[np.arange(len(people)), other] > own + LEAD))
    return [(int(i), str(names[other[i]])) for i in found]


def own_scores(embeddings: NDArray[np.float32], people: NDArray[np.str_]) -> NDArray[np.float32]:
    """(N,) mean score of each crop with the other crops of its person; 0 where there are none."""
    _, owner, counts = np.unique(people, return_inverse=True, return_counts=True)
    with_itself = np.einsum("nd,nd->n", embeddings, _sums(embeddings, owner)[owner])
    return np.asarray((with_itself - 1) / np.maximum(counts[owner] - 1, 1) * (counts[owner] > 1), np.float32)


def _sums(embeddings: NDArray[np.float32], owner: NDArray[np.int64]) -> NDArray[np.float32]:
    sums = np.zeros((int(owner.max()) + 1, embeddings.shape[1]), np.float32)  # (P, D)
    np.add.at(sums, owner, embeddings)
    return sums
