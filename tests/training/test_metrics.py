"""Every measure against brute force on small random and hand-made cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training import metrics


def brute_threshold(non_mated: np.ndarray, far: float) -> float:
    """Smallest candidate threshold that lets through at most the share `far`."""
    candidates = sorted({float(v) for v in non_mated} | {float(np.nextafter(v, np.inf)) for v in non_mated} | {-np.inf})
    return min(t for t in candidates if np.mean(non_mated >= t) <= far + 1e-12)


@pytest.mark.parametrize("far", [0.0, 0.01, 0.1, 0.34, 0.5, 1.0])
@pytest.mark.parametrize("rounded", [False, True])
def test_tar_at_far_equals_brute_force(far: float, rounded: bool) -> None:
    rng = np.random.default_rng(3)
    mated, non_mated = rng.normal(1, 1, 150), rng.normal(0, 1, 97)
    if rounded:  # many equal scores
        mated, non_mated = mated.round(1), non_mated.round(1)
    scores = metrics.ComparisonScores(mated, non_mated)
    expected = sum(m >= brute_threshold(non_mated, far) for m in mated) / len(mated)
    assert scores.tar_at(far) == pytest.approx(expected)


def test_too_few_pairs_are_insufficient_data() -> None:
    scores = metrics.ComparisonScores(np.ones(10), np.zeros(299))
    assert scores.tar_interval(0.01) is None
    assert scores.tar_interval(0.1) is not None


def test_wilson_equals_roots_of_its_quadratic() -> None:
    count, total, z = 27, 40, 1.959963984540054
    found = metrics.wilson(count, total)
    share = count / total  # (share - p)^2 = z^2 p (1 - p) / n
    roots = np.roots([1 + z * z / total, -(2 * share + z * z / total), share * share])
    assert [found.low, found.high] == pytest.approx(sorted(roots))


def test_wilson_stays_within_bounds() -> None:
    assert metrics.wilson(0, 5).low == 0.0
    assert metrics.wilson(5, 5).high == 1.0


def test_d_prime_of_two_known_sets() -> None:
    assert metrics.ComparisonScores(np.array([3.0, 5.0]), np.array([-2.0, 0.0, 2.0, 0.0])).d_prime() == pytest.approx(4 / math.sqrt((1 + 2) / 2))
    assert metrics.ComparisonScores(np.ones(2), np.ones(3)).d_prime() == 0.0  # a net that has collapsed
    assert metrics.ComparisonScores(np.ones(2), np.zeros(3)).d_prime() == np.inf


def test_all_pairs_equal_a_double_loop() -> None:
    rows, people = np.random.default_rng(0).normal(size=(7, 3)), np.array([0, 1, 0, 2, 1, 0, 3])
    scores = metrics.all_pairs(rows, people)
    both = [(people[i] == people[j], rows[i] @ rows[j]) for i in range(7) for j in range(i + 1, 7)]
    np.testing.assert_allclose(scores.mated, [value for same, value in both if same])
    np.testing.assert_allclose(scores.non_mated, [value for same, value in both if not same])


def test_equal_error_rate_of_a_known_case() -> None:
    mated, non_mated = np.array([0.2, 0.6, 0.7, 0.8]), np.array([0.1, 0.15, 0.3, 0.65])
    assert metrics.ComparisonScores(mated, non_mated).equal_error_rate() == pytest.approx(0.25)


def test_det_equals_counting() -> None:
    rng = np.random.default_rng(0)
    scores = metrics.ComparisonScores(rng.normal(1, 1, 30).round(1), rng.normal(0, 1, 40).round(1))
    for threshold, far, frr in zip(*scores.det(), strict=True):
        assert far == pytest.approx(np.mean(scores.non_mated >= threshold))
        assert frr == pytest.approx(np.mean(scores.mated < threshold))


def test_best_threshold_equals_brute_force() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        same = rng.random(25) < 0.5
        scores = (rng.normal(0, 1, 25) + same).round(1)
        found = metrics.best_threshold(scores, same)
        values = np.unique(scores)
        candidates = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
        best = max(np.mean((scores >= t) == same) for t in candidates)
        assert np.mean((scores >= found) == same) == pytest.approx(best)


def test_fold_accuracy_takes_each_threshold_from_the_other_folds() -> None:
    scores = np.array([0.9, 0.1, 0.9, 0.1, 0.5, 0.4])  # on the third fold the others' threshold 0.5 rejects nothing it should keep
    same = np.array([True, False, True, False, True, False])
    fold = np.array([0, 0, 1, 1, 2, 2])
    found = metrics.fold_accuracy(scores, same, fold)
    assert found.folds[2] == 1.0
    moved = metrics.fold_accuracy(np.array([0.9, 0.1, 0.9, 0.1, 0.3, 0.2]), same, fold)
    assert moved.folds[2] == 0.5  # 0.3 lies under 0.5, the threshold of the others
    assert moved.mean == pytest.approx(np.mean(moved.folds))


def test_open_set_by_hand() -> None:
    strangers = np.array([0.1, 0.2, 0.3, 0.4])
    mated, first = np.array([0.9, 0.35, 0.5]), np.array([True, True, False])
    found = metrics.open_set(strangers, mated, first, gallery=2, fpir=0.75)
    assert found.threshold is not None and 0.1 < found.threshold <= 0.2
    assert found.fnir == pytest.approx(1 / 3)  # the third probe is somebody else's best
    assert metrics.open_set(strangers, mated, first, 2, 0.01).fnir is None


def test_worst_to_mean() -> None:
    assert metrics.worst_to_mean({"a": 0.01, "b": 0.03}) == pytest.approx(1.5)
    assert np.isnan(metrics.worst_to_mean({"a": 0.0, "b": 0.0}))
