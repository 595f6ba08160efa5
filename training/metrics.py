"""Metrics of verification and identification, computed from scores with numpy only.

A score is a cosine, higher is more alike; a pair is accepted if its score is at least the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Interval:
    """A measured proportion with its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ComparisonScores:
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

    def tar_interval(self, far: float) -> Interval | None:
        """TAR at FAR with Wilson's interval; None if fewer than 3 non-mated pairs could be accepted (insufficient data)."""
        if far * len(self.non_mated) < 3 - 1e-9:
            return None
        accepted = int(np.sum(self.mated >= self.threshold_at(far)))
        return wilson(accepted, len(self.mated))

    def d_prime(self) -> float:
        """Separation of mated and non-mated scores: difference of the means divided by the root of the mean variance (J. Daugman, ICASSP 2000).

        0 where all scores are equal, as those of a net that has collapsed.
        """
        spread = math.sqrt((float(np.var(self.mated)) + float(np.var(self.non_mated))) / 2)
        difference = float(np.mean(self.mated) - np.mean(self.non_mated))
        if spread == 0.0:
            return math.copysign(math.inf, difference) if difference else 0.0
        return difference / spread

    def equal_error_rate(self) -> float:
        """Mean of FAR and FRR at the threshold at which they differ least."""
        far, frr = self.det()[1:]
        nearest = int(np.argmin(np.abs(far - frr)))
        return float((far[nearest] + frr[nearest]) / 2)

    def det(self) -> tuple[Array, Array, Array]:
        """(thresholds, FAR, FRR), each (K,), thresholds ascending over all distinct scores and one above."""
        values = np.unique(np.concatenate([self.mated, self.non_mated]))
        thresholds = np.append(values, np.nextafter(values[-1], np.inf, dtype=values.dtype))
        mated, non_mated = np.sort(self.mated), np.sort(self.non_mated)
        far = 1 - np.searchsorted(non_mated, thresholds) / len(non_mated)
        frr = np.searchsorted(mated, thresholds) / len(mated)
        return thresholds, far, frr


def all_pairs(rows: Array, people: NDArray[np.int64]) -> ComparisonScores:
    """Scores of all pairs of embeddings, (N, D) unit rows; people: (N,) person of each row."""
    first, second = np.triu_indices(len(rows), 1)
    scores = (rows @ rows.T)[first, second]
    same = people[first] == people[second]
    return ComparisonScores(scores[same], scores[~same])


def wilson(count: int, total: int, z: float = 1.959963984540054) -> Interval:
    """Wilson's score interval of a proportion. Source: E. B. Wilson, J. Am. Stat. Assoc. 22, 1927."""
    share = count / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return Interval(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))


@dataclass(frozen=True)
class FoldAccuracy:
    """Accuracy over folds, each at the threshold that is best on the others."""

    mean: float
    std: float  # over folds
    threshold: float  # mean over folds
    folds: tuple[float, ...]


def fold_accuracy(scores: Array, same: NDArray[np.bool_], fold: NDArray[np.int64]) -> FoldAccuracy:
    """LFW's protocol (view 2).

    Args:
        scores: (P,) one per pair.
        same: (P,) whether the pair is mated.
        fold: (P,) which fold the pair belongs to.

    Source: G. Huang et al., "Labeled Faces in the Wild", UMass Amherst technical report 07-49, 2007.
    """
    accuracies, thresholds = [], []
    for number in np.unique(fold):
        inside = fold == number
        threshold = best_threshold(scores[~inside], same[~inside])
        accuracies.append(float(np.mean((scores[inside] >= threshold) == same[inside])))
        thresholds.append(threshold)
    return FoldAccuracy(float(np.mean(accuracies)), float(np.std(accuracies)), float(np.mean(thresholds)), tuple(accuracies))


def best_threshold(scores: Array, same: NDArray[np.bool_]) -> float:
    """The threshold of highest accuracy, halfway between two neighbouring scores; the lowest if several are equal."""
    order = np.argsort(scores, kind="stable")
    ranked, mated = scores[order].astype(np.float64), same[order]
    below = np.concatenate([[0], np.cumsum(~mated)])  # non-mated pairs rejected when the k lowest are
    above = np.concatenate([np.cumsum(mated[::-1])[::-1], [0]])
    allowed = np.concatenate([[True], np.diff(ranked) > 0, [True]])  # no cut between equal scores
    cut = int(np.argmax(np.where(allowed, below + above, -1)))
    edges = np.concatenate([[ranked[0] - 1], (ranked[1:] + ranked[:-1]) / 2, [ranked[-1] + 1]])
    return float(edges[cut])


@dataclass(frozen=True)
class Identification:
    """Open-set search at one gallery size."""

    gallery: int  # people
    fpir: float  # target
    fnir: float | None  # None: insufficient data
    threshold: float | None
    searches: int  # non-mated searches behind the threshold


def open_set(best_non_mated: Array, mated: Array, lead_holds: NDArray[np.bool_], gallery: int, fpir: float) -> Identification:
    """FNIR at FPIR.

    Args:
        best_non_mated: (S,) highest score of each search of a person who is not enrolled.
        mated: (M,) score of each probe of an enrolled person with that person's template.
        lead_holds: (M,) whether that template also has the highest score.
        gallery: people enrolled.
        fpir: target share of the non-mated searches that may reach the threshold.

    Source: ISO/IEC 19795-1, and P. Grother et al., NIST FRVT part 2 (identification).
    """
    if fpir * len(best_non_mated) < 3 - 1e-9:
        return Identification(gallery, fpir, None, None, len(best_non_mated))
    threshold = ComparisonScores(mated, best_non_mated).threshold_at(fpir)
    return Identification(gallery, fpir, float(np.mean(~((mated >= threshold) & lead_holds))), threshold, len(best_non_mated))


def worst_to_mean(rates: dict[str, float]) -> float:
    """Ratio of the highest false match rate of a group to the mean over the groups; NaN if there are no false matches."""
    mean = float(np.mean(list(rates.values())))
    return max(rates.values()) / mean if mean > 0 else float("nan")
