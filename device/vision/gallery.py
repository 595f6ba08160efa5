"""Exact search over everybody enrolled: one row per person, one matrix product per probe.

A person is the mean of their templates. Brute force is right for a terminal: 50,000 people take milliseconds, lose no recall and need no index to keep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from device.vision.cohort import Cohort, Statistics


class GalleryError(ClockfaceError):
    """A template or probe that does not belong to this gallery."""

    code = "gallery"


@dataclass(frozen=True)
class Match:
    """The best person for one probe."""

    person_id: int
    score: float  # cosine, or normalised with the model's cohort, -1..1
    lead: float | None  # score minus the best score of another person; None where nobody else is enrolled
    pair_score: float = -1.0  # score of these two people's means with each other


class Gallery:
    """Mean templates of one model; people come and go while it is searched.

    Args:
        model_id: the only model whose templates may be added.
        size: embedding size D.
        cohort: of the model; None: scores are cosines.
        earlier: a gallery of the same cohort, whose statistics are taken over for people who are the same in both.
    """

    def __init__(self, model_id: str, size: int, cohort: Cohort | None = None, earlier: Gallery | None = None) -> None:
        self.model_id = model_id
        self.size = size
        self.cohort = cohort
        self._earlier = earlier if earlier is not None and earlier.cohort is cohort else None
        self._ids = np.zeros(0, np.int64)  # (P,) ascending
        self._sums = np.zeros((0, size), np.float32)  # (P, D) of each person's templates
        self._means = np.zeros((0, size), np.float32)  # (P, D) unit length
        self._statistics = Statistics.none()  # of the means, against the cohort

    def __len__(self) -> int:
        """People: the N that thresholds depend on."""
        return len(self._ids)

    def add(self, person_ids: NDArray[np.int64], templates: NDArray[np.float32], model_id: str) -> None:
        """Add templates.

        Args:
            person_ids: (K,) int64.
            templates: (K, D) float32, unit length.
            model_id: of the model that made them.

        Raises:
            GalleryError: they are of another model, shape or length.
        """
        if model_id != self.model_id:
            raise GalleryError(
                f"templates of model {model_id:.12} cannot be searched with {self.model_id:.12}; enrol these people again", code="model.mismatch"
            )
        if templates.shape != (len(person_ids), self.size) or templates.dtype != np.float32:
            raise GalleryError(
                f"templates: expected ({len(person_ids)}, {self.size}) float32, got {templates.shape} {templates.dtype}", code="gallery.templates"
            )
        if not np.allclose(np.linalg.norm(templates, axis=1), 1.0, atol=1e-3):
            raise GalleryError("templates: expected unit length; the database may be damaged, run `python -m device doctor`", code="gallery.templates")
        ids, rows = np.unique(np.concatenate([self._ids, person_ids]), return_inverse=True)
        sums = np.zeros((len(ids), self.size), np.float32)
        np.add.at(sums, rows, np.concatenate([self._sums, templates]))
        self._take(ids, sums, self if len(self) else self._earlier)
        self._earlier = None  # it may hold people who have been erased since

    def remove(self, person_id: int) -> bool:
        """Forget one person; whether there was one."""
        gone = self._ids == person_id
        ids, sums = self._ids[~gone], self._sums[~gone]
        self._sums[gone] = 0.0  # nothing of them stays in memory
        self._means[gone] = 0.0
        self._take(ids, sums, self)
        return bool(gone.any())

    def search(self, probe: NDArray[np.float32], without: int | None = None) -> Match | None:
        """The person most like a probe, or None in an empty gallery.

        Args:
            probe: (D,) float32, unit length.
            without: a person who does not count, as if not enrolled.
        """
        if probe.shape != (self.size,):
            raise GalleryError(f"probe: expected ({self.size},), got {probe.shape}", code="gallery.probe")
        scores = self.scores(probe[None])[0]
        scores[self._ids == without] = -np.inf
        return self._best(scores) if np.isfinite(scores).any() else None

    def nearest(self, person_id: int) -> Match | None:
        """The other person most like an enrolled one; None where there is no other, or they are not in the gallery."""
        (place,) = np.nonzero(self._ids == person_id)
        return self.search(self._means[place[0]], without=person_id) if len(place) else None

    def scores(self, probes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(P, D) unit length -> (P, N), people by ascending id."""
        cosines = np.asarray(probes @ self._means.T, np.float32)
        if self.cohort is None:
            return cosines
        return self.cohort.normalise(cosines, self.cohort.statistics(probes), self._statistics)

    def _best(self, scores: NDArray[np.float32]) -> Match:
        best = int(np.argmax(scores))
        score, others = float(scores[best]), scores.copy()
        others[best] = -np.inf
        second = int(np.argmax(others))
        if not np.isfinite(others[second]):
            return Match(int(self._ids[best]), score, None)
        return Match(int(self._ids[best]), score, score - float(scores[second]), self._pair_score(best, second))

    def _pair_score(self, one: int, other: int) -> float:
        """Score of two enrolled people's means; their statistics are known, so that this costs a search nothing."""
        cosine = np.asarray(self._means[[one]] @ self._means[[other]].T, np.float32)
        if self.cohort is None:
            return float(cosine[0, 0])
        sides = (Statistics(self._statistics.mean[[place]], self._statistics.deviation[[place]]) for place in (one, other))
        return float(self.cohort.normalise(cosine, *sides)[0, 0])

    def _take(self, ids: NDArray[np.int64], sums: NDArray[np.float32], before: Gallery | None) -> None:
        """Replace everybody; cohort statistics are calculated for those who are not the same in `before`."""
        means = np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6), np.float32)
        if self.cohort is not None:
            self._statistics = self._measured(self.cohort, ids, means, before)
        self._ids, self._sums, self._means = ids, sums, means

    @staticmethod
    def _measured(cohort: Cohort, ids: NDArray[np.int64], means: NDArray[np.float32], before: Gallery | None) -> Statistics:
        found = Statistics.none(len(ids))
        missing = np.ones(len(ids), np.bool_)
        if before is not None and len(before):
            at = np.minimum(np.searchsorted(before._ids, ids), len(before) - 1)
            missing = (before._ids[at] != ids) | (before._means[at] != means).any(axis=1)
            found.mean[~missing], found.deviation[~missing] = before._statistics.mean[at[~missing]], before._statistics.deviation[at[~missing]]
        for rows in np.array_split(np.flatnonzero(missing), missing.sum() // 1000 + 1):  # in parts, for the memory
            part = cohort.statistics(means[rows])
            found.mean[rows], found.deviation[rows] = part.mean, part.deviation
        return found
