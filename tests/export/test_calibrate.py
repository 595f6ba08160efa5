"""Thresholds of open-set search against a law that is known: cosines of random directions follow a beta distribution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from export.calibrate import FEWEST, SIZES, false_match_rate, operating_points, read_pairs, repeated, thresholds

D = 16


def directions(people: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(people, D))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def true_threshold(rate: float) -> float:
    return float(2 * stats.beta.isf(rate, (D - 1) / 2, (D - 1) / 2) - 1)


@pytest.mark.parametrize(("size", "fpir"), [(1, 0.5), (10, 0.1), (50_000, 0.001)])
def test_false_match_rate_inverts_the_search(size: int, fpir: float) -> None:
    assert 1 - (1 - false_match_rate(size, fpir)) ** size == pytest.approx(fpir, rel=1e-6)


def test_the_interval_holds_the_true_threshold_as_often_as_it_says() -> None:
    rates = [0.01, 0.001]
    truth = np.array([true_threshold(rate) for rate in rates])
    rows = np.array([thresholds(directions(300, seed), rates, seed) for seed in range(20)])  # (20, 2, 3)
    held = (rows[:, :, 1] <= truth) & (truth <= rows[:, :, 2])
    assert held.mean() >= 0.85
    np.testing.assert_allclose(rows[:, :, 0].mean(axis=0), truth, atol=0.01)


def test_strangers_are_accepted_as_often_as_the_threshold_says() -> None:
    (point,) = (p for p in operating_points(directions(1000, 1), [0.1], "simulated") if p.gallery_size == 100)
    gallery, strangers = directions(100 * 50, 2).reshape(50, 100, D), directions(2000, 3)
    best = np.concatenate([(strangers @ people.T).max(axis=1) for people in gallery])  # 100,000 searches
    assert point.threshold is not None and point.low is not None and point.high is not None
    assert (best > point.high).mean() <= 0.1 <= (best > point.low).mean()
    assert (best > point.threshold).mean() == pytest.approx(0.1, rel=0.2)


def test_what_the_data_cannot_carry_is_said_not_guessed() -> None:
    people = 100
    points = operating_points(directions(people, 4), [0.1, 0.001], "simulated")
    assert [(p.fpir, p.gallery_size) for p in points] == [(fpir, size) for fpir in (0.1, 0.001) for size in SIZES]
    for point in points:
        carried = false_match_rate(point.gallery_size, point.fpir) * people * (people - 1) / 2 >= FEWEST
        assert (point.threshold is not None) == carried
        assert point.method == ("measured" if carried else "insufficient data")


def test_who_is_shown_twice_is_left_out_once() -> None:
    people = directions(5, 5)
    shown = np.concatenate([people, people[[1, 3]]])
    assert repeated(shown, 0.99).tolist() == [False] * 5 + [True, True]


def test_pairs_give_each_person_once(shared: Path) -> None:
    verify = shared / "faces/verify"
    people = {line.split()[0] for line in (verify / "pairs.txt").read_text().splitlines()[1:]}
    people |= {words[2] for line in (verify / "pairs.txt").read_text().splitlines()[1:] if len(words := line.split()) == 4}
    crops = read_pairs(verify / "pairs.txt", verify)
    assert crops.shape == (len(people), 112, 112, 3) and crops.dtype == np.uint8
    assert len(np.unique(crops.reshape(len(crops), -1), axis=0)) == len(people)
