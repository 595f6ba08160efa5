"""Overlap with the training set: planted people are found, strangers are not, and chance is what simulation says."""

from __future__ import annotations

import numpy as np
import pytest

from tests.refused import refused
from training.overlap import BY_CHANCE, expected_above, overlap


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_planted_people_are_named_and_strangers_are_not() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (60, 64))
    training = rng.normal(0, 1, (8000, 64))
    for person in range(5):  # one picture each
        training[1000 * person] = centres[person] + rng.normal(0, 0.7, 64)
    people = np.repeat(np.arange(60), 4)
    rows = unit(centres[people] + rng.normal(0, 0.7, (240, 64)))
    found = overlap(rows, [f"p{i:02d}" for i in people], unit(training), [f"record {i}" for i in range(8000)])
    assert {(one.person, one.record) for one in found} == {(f"p0{i}", f"record {1000 * i}") for i in range(5)}
    assert all(one.by_chance < BY_CHANCE for one in found)


def test_a_whole_set_that_was_trained_on_is_found() -> None:
    """No person serves as the measure of another, so a large overlap does not hide itself."""
    rng = np.random.default_rng(1)
    centres = unit(rng.normal(0, 1, (40, 64)))
    training = np.concatenate([centres, unit(rng.normal(0, 1, (6000, 64)))])
    assert len(overlap(centres, [str(i) for i in range(40)], training, [str(i) for i in range(len(training))])) == 40


def test_the_chance_is_the_one_that_happens() -> None:
    """Over many people who are not there, the best score is beyond the one expected once in k about once in k."""
    rng = np.random.default_rng(2)
    training = unit(rng.normal(0, 1, (6000, 192)))
    expected = [expected_above(scores, float(scores.max())) for scores in unit(rng.normal(0, 1, (400, 192))) @ training.T]
    for level in (0.1, 0.5):
        share = np.mean(np.array(expected) < -np.log1p(-level))  # P(no score beyond) = exp(-expected)
        assert share == pytest.approx(level, abs=0.08)


def test_too_few_records_are_refused() -> None:
    with refused("clockface", "too few"):
        overlap(np.eye(3, dtype=np.float32), ["a", "b", "c"], np.eye(3, dtype=np.float32), ["x"] * 3)
