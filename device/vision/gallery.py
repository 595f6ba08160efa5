"""Exact search over everybody enrolled: one row per person, one matrix product per probe.

A person is the mean of their templates. Brute force is right for a terminal: 50,000 people take milliseconds, lose no recall and need no index to keep.
"""

from __future__ import annotations

from collections.abc import Collection
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


@dataclass(frozen=True)
class _People:
    """Everybody in a gallery at one moment, by ascending id."""

    ids: NDArray[np.int64]  # (P,)
    sums: NDArray[np.float32]  # (P, D) of each person's templates
    means: NDArray[np.float32]  # (P, D) unit length
    statistics: Statistics  # of the means, against the cohort


class Gallery:
    """Mean templates of one model; people come and go while other threads search it.

    Args:
        model_id: the only model whose templates may be added.
        size: embedding size D.
        cohort: of the model; None: scores are cosines.
    """

    def __init__(self, model_id: str, size: int, cohort: Cohort | None = None) -> None:
        self.model_id = model_id
        self.size = size
        self.cohort = cohort
        nobody = np.zeros((0, size), np.float32)
        self._people = _People(np.zeros(0, np.int64), nobody, nobody, Statistics.none())

    def __len__(self) -> int:
        """People: the N that thresholds depend on."""
        return len(self._people.ids)

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
        ids, rows = np.unique(np.concatenate([self._people.ids, person_ids]), return_inverse=True)
        sums = np.zeros((len(ids), self.size), np.float32)
        np.add.at(sums, rows, np.concatenate([self._people.sums, templates]))
        self._take(ids, sums)

    def remove(self, person_ids: Collection[int]) -> int:
        """Forget people; returns how many of them there were."""
        people = self._people
        gone = np.isin(people.ids, list(person_ids))
        self._take(people.ids[~gone], people.sums[~gone])
        people.sums[gone] = people.means[gone] = 0.0  # nothing of them stays in memory
        return int(gone.sum())

    def search(self, probe: NDArray[np.float32], without: int | None = None) -> Match | None:
        """The person most like a probe, or None in an empty gallery.

        Args:
            probe: (D,) float32, unit length.
            without: a person who does not count, as if not enrolled.
        """
        if probe.shape != (self.size,):
            raise GalleryError(f"probe: expected ({self.size},), got {probe.shape}", code="gallery.probe")
        people = self._people
        scores = self._scores(people, probe[None])[0]
        scores[people.ids == without] = -np.inf
        return self._best(people, scores) if np.isfinite(scores).any() else None

    def nearest(self, person_id: int) -> Match | None:
        """The other person most like an enrolled one; None where there is no other, or they are not in the gallery."""
        people = self._people
        (place,) = np.nonzero(people.ids == person_id)
        return self.search(people.means[place[0]], without=person_id) if len(place) else None

    def scores(self, probes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(P, D) unit length -> (P, N), people by ascending id."""
        return self._scores(self._people, probes)

    def _scores(self, people: _People, probes: NDArray[np.float32]) -> NDArray[np.float32]:
        cosines = np.asarray(probes @ people.means.T, np.float32)
        return cosines if self.cohort is None else self.cohort.normalise(cosines, self.cohort.statistics(probes), people.statistics)

    def _best(self, people: _People, scores: NDArray[np.float32]) -> Match:
        best = int(np.argmax(scores))
        score, others = float(scores[best]), scores.copy()
        others[best] = -np.inf
        second = int(np.argmax(others))
        if not np.isfinite(others[second]):
            return Match(int(people.ids[best]), score, None)
        return Match(int(people.ids[best]), score, score - float(scores[second]), self._pair_score(people, best, second))

    def _pair_score(self, people: _People, one: int, other: int) -> float:
        """Score of two enrolled people's means; their statistics are known, so that this costs a search nothing."""
        cosine = np.asarray(people.means[[one]] @ people.means[[other]].T, np.float32)
        if self.cohort is None:
            return float(cosine[0, 0])
        sides = (Statistics(people.statistics.mean[[place]], people.statistics.deviation[[place]]) for place in (one, other))
        return float(self.cohort.normalise(cosine, *sides)[0, 0])

    def _take(self, ids: NDArray[np.int64], sums: NDArray[np.float32]) -> None:
        """Replace everybody at once; cohort statistics are calculated for those whose mean is another one now."""
        means = np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6), np.float32)
        statistics = Statistics.none() if self.cohort is None else self._measured(self.cohort, ids, means)
        self._people = _People(ids, sums, means, statistics)

    def _measured(self, cohort: Cohort, ids: NDArray[np.int64], means: NDArray[np.float32]) -> Statistics:
        found, before = Statistics.none(len(ids)), self._people
        missing = np.ones(len(ids), np.bool_)
        if len(before.ids):
            at = np.minimum(np.searchsorted(before.ids, ids), len(before.ids) - 1)
            missing = (before.ids[at] != ids) | (before.means[at] != means).any(axis=1)
            found.mean[~missing], found.deviation[~missing] = before.statistics.mean[at[~missing]], before.statistics.deviation[at[~missing]]
        for rows in np.array_split(np.flatnonzero(missing), missing.sum() // 1000 + 1):  # in parts, for the memory
            part = cohort.statistics(means[rows])
            found.mean[rows], found.deviation[rows] = part.mean, part.deviation
        return found
