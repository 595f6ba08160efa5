"""Which of a person's photos show that person: each is judged against the others. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from device.contract import phrase
from device.vision.cohort import Comparison

ODD = "{source}: shows somebody else than the other photos, or is damaged (score {score:.2f}, threshold {threshold:.2f})"


def agreeing(embeddings: NDArray[np.float32], same: Comparison) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """The photos that show the person whom most of them show.

    The photo that agrees with most others stands for the person; a photo is kept if it is alike enough to the mean of
    those that agree with it. "Alike to any other" would not do: two photos of somebody else are alike.

    Args:
        embeddings: (N, D) float32, unit length, one a photo.
        same: when two photos show one person.

    Returns:
        (N,) bool, all False where no more than half are kept; (N,) float32 scores. One photo alone is kept.
    """
    if len(embeddings) < 2:
        return np.ones(len(embeddings), dtype=np.bool_), np.ones(len(embeddings), dtype=np.float32)
    alike = same.scores(embeddings, embeddings) >= same.threshold  # (N, N)
    group = alike[alike.sum(axis=1).argmax()]  # (N,)
    others = group @ embeddings - group[:, None] * embeddings  # (N, D): the group without the photo itself
    others /= np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-6)
    scores = np.diag(same.scores(embeddings, others))
    kept = scores >= same.threshold
    return kept & (2 * kept.sum() > len(kept)), scores.astype(np.float32)


def odd_ones(sources: Sequence[str], kept: NDArray[np.bool_], scores: NDArray[np.float32], threshold: float) -> list[str]:
    """Words for each photo that is not kept, although most are."""
    return [
        phrase("photo.odd", ODD, source=source, score=float(score), threshold=threshold)
        for source, keep, score in zip(sources, kept, scores, strict=True)
        if not keep
    ]


def no_majority(embeddings: NDArray[np.float32], same: Comparison, sources: Sequence[str]) -> str:
    """Words for photos of which no more than half show one person."""
    best = float(same.scores(embeddings, embeddings)[np.triu_indices(len(embeddings), 1)].max())
    values = {"sources": ", ".join(sources), "best": best, "threshold": same.threshold}
    if len(sources) == 2:
        english = "{sources}: do not show the same person, or one of them is damaged (score {best:.2f}, threshold {threshold:.2f})"
        return phrase("photo.two_people", english, **values)
    found = "no more than half agree, best score {best:.2f}"
    return phrase("photo.people", f"{{sources}}: do not show the same person, or one of them is damaged ({found}, threshold {{threshold:.2f}})", **values)
