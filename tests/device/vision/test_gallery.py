"""Search against brute force in pure Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from device.vision.cohort import FLOOR, Cohort
from device.vision.gallery import Gallery
from tests.refused import refused

Vector = list[float]


def unit(rows: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, 16)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def cohort(seed: int = 9) -> Cohort:
    return Cohort.of(unit(60, seed), unit(40, seed + 1), 10, 1.0, "simulated")


def dot(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def to_length_one(vector: Vector) -> Vector:
    return [value / math.sqrt(dot(vector, vector)) for value in vector]


class BruteForce:
    """Means and scores by loops over Python's own numbers."""

    def __init__(self, ids: list[int], templates: np.ndarray, cohort: Cohort | None) -> None:
        self.cohort = cohort
        self.strangers = [to_length_one(list(map(float, row))) for row in cohort.rows] if cohort else []
        own: dict[int, list[Vector]] = {}
        for person, template in zip(ids, templates.tolist(), strict=True):
            own.setdefault(person, []).append(template)
        self.means = {person: to_length_one([sum(column) for column in zip(*rows, strict=True)]) for person, rows in own.items()}

    def highest(self, vector: Vector) -> tuple[float, float]:
        """Mean and deviation of the highest cohort scores."""
        assert self.cohort is not None
        top = sorted((dot(vector, stranger) for stranger in self.strangers), reverse=True)[: self.cohort.highest]
        mean = sum(top) / len(top)
        return mean, max(math.sqrt(sum((score - mean) ** 2 for score in top) / len(top)), FLOOR * self.cohort.deviation)

    def score(self, one: Vector, other: Vector) -> float:
        cosine = dot(one, other)
        if self.cohort is None:
            return cosine
        sides = [(cosine - mean) / deviation for mean, deviation in (self.highest(one), self.highest(other))]
        return min(self.cohort.mean + self.cohort.deviation * sum(sides) / 2, 1.0)

    def ranked(self, probe: Vector, without: int | None = None) -> list[tuple[float, int]]:
        return sorted(((self.score(probe, mean), person) for person, mean in self.means.items() if person != without), reverse=True)

    def agrees(self, found: Any, probe: Vector, without: int | None = None) -> None:
        (score, person), (second, other) = self.ranked(probe, without)[:2]
        assert (found.person_id, found.score, found.lead) == (person, pytest.approx(score, abs=1e-4), pytest.approx(score - second, abs=1e-4))
        assert found.pair_score == pytest.approx(self.score(self.means[person], self.means[other]), abs=1e-4)


@pytest.mark.parametrize("against", [None, cohort()], ids=["cosines", "cohort"])
def test_search_agrees_with_brute_force(against: Cohort | None) -> None:
    ids = np.random.default_rng(3).permutation(np.repeat(np.arange(1, 41), 3)).astype(np.int64)  # templates of a person come apart
    templates = unit(120)
    gallery = Gallery("m", 16, against)
    for start in range(0, 120, 50):  # grows twice
        gallery.add(ids[start : start + 50], templates[start : start + 50], "m")
    brute = BruteForce(ids.tolist(), templates, against)
    assert len(gallery) == 40
    for probe in unit(30, seed=1):
        brute.agrees(gallery.search(probe), probe.tolist())
        brute.agrees(gallery.search(probe, without=7), probe.tolist(), without=7)
    for person in range(1, 41):
        brute.agrees(gallery.nearest(person), brute.means[person], without=person)


def test_a_score_is_the_same_from_either_side() -> None:
    people = unit(20)
    gallery = Gallery("m", 16, cohort())
    gallery.add(np.arange(20, dtype=np.int64), people, "m")
    scores = gallery.scores(people)
    assert np.allclose(scores, scores.T, atol=1e-5) and scores.shape == (20, 20)


def test_people_come_and_go() -> None:
    templates = unit(4)
    gallery = Gallery("m", 16)
    assert gallery.search(templates[0]) is None
    gallery.add(np.array([7, 7]), templates[:2], "m")
    match = gallery.search(templates[1])
    assert match is not None and match.lead is None  # nobody else is enrolled
    assert gallery.search(templates[1], without=7) is None and gallery.nearest(7) is None
    gallery.add(np.array([8]), templates[2:3], "m")
    near = gallery.nearest(7)
    assert near is not None and (near.person_id, near.lead) == (8, None) and gallery.nearest(9) is None
    assert gallery.remove([7]) == 1 and gallery.remove([7]) == 0
    match = gallery.search(templates[0])
    assert match is not None and match.person_id == 8 and len(gallery) == 1
    assert gallery.remove([8]) and gallery.search(templates[0]) is None


@pytest.mark.parametrize("against", [None, cohort()], ids=["cosines", "cohort"])
def test_whoever_came_and_went_leaves_the_scores_of_all_others_as_they_were(against: Cohort | None) -> None:
    """By one step at a time, or all at once."""
    ids, templates, probes = np.repeat(np.arange(1, 13), 2).astype(np.int64), unit(24), unit(9, seed=1)
    whole = Gallery("m", 16, against)
    whole.add(ids, templates, "m")
    steps = Gallery("m", 16, against)
    for row in np.random.default_rng(4).permutation(24):
        steps.add(ids[row : row + 1], templates[row : row + 1], "m")
    steps.add(np.array([99, 0]), unit(2, seed=2), "m")
    steps.remove([99, 0])
    assert np.allclose(steps.scores(probes), whole.scores(probes), atol=1e-5)
    changed_ids, changed_templates = np.where(ids == 12, 50, ids), np.concatenate([unit(2, seed=5), templates[2:]])
    anew = Gallery("m", 16, against)
    anew.add(changed_ids, changed_templates, "m")
    whole.remove([1, 12])  # the first has other templates now, the last is gone, one is new
    whole.add(np.repeat([1, 50], 2), np.concatenate([changed_templates[:2], changed_templates[22:]]), "m")
    assert np.allclose(whole.scores(probes), anew.scores(probes), atol=1e-5)


class Counting(Cohort):
    """Notes how many embeddings it was asked about."""

    def statistics(self, embeddings: Any) -> Any:
        COUNTED.append(len(embeddings))
        return super().statistics(embeddings)


COUNTED: list[int] = []


def test_only_who_is_new_is_compared_with_the_cohort_again() -> None:
    plain = cohort()
    counting = Counting(plain.rows, plain.highest, plain.spread, plain.mean, plain.deviation, plain.data)
    COUNTED.clear()
    gallery = Gallery("m", 16, counting)
    gallery.add(np.arange(20, dtype=np.int64), unit(20), "m")
    gallery.remove([3, 19])
    gallery.add(np.array([19]), unit(1, seed=7), "m")
    assert sum(COUNTED) == 20 + 1


def test_nothing_of_somebody_removed_stays_in_memory() -> None:
    """A search that began before may still use the arrays of then."""
    gallery = Gallery("m", 16)
    gallery.add(np.array([1, 2]), unit(2), "m")
    before = gallery._people
    gallery.remove([1])
    assert not before.sums[0].any() and not before.means[0].any() and before.means[1].any()


@pytest.mark.parametrize(
    ("templates", "model", "code", "word"),
    [
        (unit(1), "other", "model.mismatch", "other"),
        (unit(1) * 2, "m", "gallery.templates", "unit length"),
        (unit(1)[:, :8], "m", "gallery.templates", "(1, 8)"),
        (unit(1).astype(np.float64), "m", "gallery.templates", "float32"),
    ],
)
def test_what_does_not_belong_is_refused(templates: np.ndarray, model: str, code: str, word: str) -> None:
    with refused(code, word):
        Gallery("m", 16).add(np.array([1]), templates, model)


def test_a_probe_of_another_size_is_refused() -> None:
    with refused("gallery.probe", "(8,)"):
        Gallery("m", 16).search(unit(1)[0, :8])
