"""Scores against a cohort by the formula in plain loops, and cohorts that cannot be used."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import pytest

from device.vision.cohort import FLOOR, Cohort, Statistics
from tests.refused import refused

D = 12


def unit(rows: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, D)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def some(spread: float = 1.0) -> Cohort:
    return Cohort.of(unit(50), unit(30, 1), 8, spread, "simulated")


def statistics_by_hand(strangers: list[list[float]], vector: list[float], highest: int) -> tuple[float, float]:
    top = sorted(sum(a * b for a, b in zip(vector, stranger, strict=True)) for stranger in strangers)[-highest:]
    mean = sum(top) / highest
    return mean, math.sqrt(sum((score - mean) ** 2 for score in top) / highest)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_scores_follow_the_formula(spread: float) -> None:
    cohort, probes, templates = some(spread), unit(6, 2), unit(5, 3)
    strangers = []
    for row in cohort.rows.tolist():
        length = math.sqrt(sum(value**2 for value in row))
        strangers.append([value / length for value in row])
    cosines = (probes @ templates.T).astype(np.float32)
    found = cohort.normalise(cosines, cohort.statistics(probes), cohort.statistics(templates))
    assert found.shape == (6, 5) and found.dtype == np.float32
    for p, probe in enumerate(probes.tolist()):
        for t, template in enumerate(templates.tolist()):
            cosine = sum(a * b for a, b in zip(probe, template, strict=True))
            sides = (statistics_by_hand(strangers, side, 8) for side in (probe, template))
            z = sum((cosine - mean) / max(deviation / cohort.deviation, FLOOR) ** spread for mean, deviation in sides) / 2
            assert found[p, t] == pytest.approx(min(cohort.mean + z, 1.0), abs=1e-4)


def test_the_usual_values_are_those_of_the_embeddings_given() -> None:
    cohort, usual = some(), unit(30, 1)
    strangers = (cohort.rows / np.linalg.norm(cohort.rows, axis=1, keepdims=True)).tolist()
    both = [statistics_by_hand(strangers, row, 8) for row in usual.tolist()]
    assert cohort.mean == pytest.approx(sum(mean for mean, _ in both) / 30, abs=1e-5)
    assert cohort.deviation == pytest.approx(sum(deviation for _, deviation in both) / 30, abs=1e-5)


def test_the_rows_keep_the_directions_of_the_embeddings() -> None:
    cohort, given = some(), unit(50)
    rows = cohort.rows.astype(np.float64)
    cosines = (rows * given).sum(axis=1) / np.linalg.norm(rows, axis=1)
    assert cosines.min() > 0.9999 and (np.abs(rows).max(axis=1) == 127).all()


def test_who_is_alike_to_many_gets_lower_scores() -> None:
    """Somebody near the middle of a crowded cohort against somebody off it, at the same cosine."""
    middle, aside = np.eye(D, dtype=np.float32)[:2]
    crowd = np.random.default_rng(4).normal(size=(200, D)) * 0.3 + middle
    cohort = Cohort.of((crowd / np.linalg.norm(crowd, axis=1, keepdims=True)).astype(np.float32), unit(100, 5), 20, 1.0, "simulated")
    cosine = np.full((1, 1), 0.4, np.float32)
    scores = [cohort.normalise(cosine, cohort.statistics(one[None]), cohort.statistics(one[None]))[0, 0] for one in (middle, aside)]
    assert scores[0] < scores[1]


def test_a_score_is_not_blown_up_by_a_small_deviation_nor_above_one() -> None:
    cohort = some()
    narrow = Statistics(np.array([cohort.mean], np.float32), np.array([1e-9], np.float32))
    by_floor = cohort.mean + (0.01 * cohort.deviation) / FLOOR
    assert cohort.normalise(np.array([[cohort.mean + 0.01 * cohort.deviation]], np.float32), narrow, narrow)[0, 0] == pytest.approx(by_floor, abs=1e-4)
    assert cohort.normalise(np.ones((1, 1), np.float32), narrow, narrow)[0, 0] == 1.0


def test_a_cohort_survives_its_text() -> None:
    cohort = some()
    read = Cohort.from_text(cohort.to_text(), D)
    assert np.array_equal(read.rows, cohort.rows) and read.rows.dtype == np.int8
    assert (read.highest, read.mean, read.deviation, read.data) == (cohort.highest, cohort.mean, cohort.deviation, cohort.data)
    probes = unit(7, 6)
    assert np.array_equal(read.statistics(probes).mean, cohort.statistics(probes).mean)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": "no base64!"},
        {"rows": base64.b64encode(b"short").decode()},
        {"rows": 5},
        {"shape": [50]},
        {"shape": "wide"},
        {"highest": 50},
        {"highest": 1},
        {"highest": "many"},
        {"deviation": 0.0},
        {"deviation": float("nan")},
        {"deviation": "wide"},
        {"mean": float("inf")},
        {"mean": "usual"},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_damaged_cohort_is_refused(change: dict[str, Any]) -> None:
    with refused("contract.card", "cohort"):
        Cohort.from_text(json.dumps({**json.loads(some().to_text()), **change}), D)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "no json"])
def test_what_is_no_cohort_is_refused(text: str) -> None:
    with refused("contract.card", "calibrate"):
        Cohort.from_text(text, D)


def test_rows_that_are_no_directions_are_refused() -> None:
    """A row of zeros would make every score NaN."""
    about = json.loads(some().to_text())
    rows = np.frombuffer(base64.b64decode(about["rows"]), np.int8).reshape(about["shape"]).copy()
    rows[3] = 0
    with refused("contract.card", "cohort"):
        Cohort.from_text(json.dumps({**about, "rows": base64.b64encode(rows.tobytes()).decode()}), D)


def test_a_cohort_of_another_model_is_refused() -> None:
    with refused("contract.card", "16", "12"):
        Cohort.from_text(some().to_text(), 16)
