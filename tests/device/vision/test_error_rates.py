"""Intervals against scipy and closed forms, the equal error rate and the trade-off against scores counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from device.vision.error_rates import ErrorRate, at_most, equal_error_rate, trade_off


@pytest.mark.parametrize(("count", "n"), [(1, 8), (3, 10), (9, 10), (1, 150), (8, 200), (6, 152), (500, 1000), (1, 2)])
def test_intervals_are_those_of_clopper_and_pearson(count: int, n: int) -> None:
    expected = stats.binomtest(count, n).proportion_ci(0.95, method="exact")
    assert ErrorRate(count, n).interval == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("n", [1, 5, 10, 50, 150, 300, 3000])
def test_nothing_counted_is_the_rule_of_three(n: int) -> None:
    high = 1 - 0.05 ** (1 / n)
    assert ErrorRate(0, n).interval == pytest.approx((0.0, high), abs=1e-9)
    assert ErrorRate(n, n).interval == pytest.approx((1 - high, 1.0), abs=1e-9)
    assert n < 10 or high == pytest.approx(3 / n, rel=0.15)


def test_150_presentations_without_an_error_are_at_most_2_percent() -> None:
    assert ErrorRate(0, 150).interval[1] < 0.02 < ErrorRate(0, 147).interval[1]


def test_nothing_presented_says_nothing() -> None:
    assert ErrorRate(0, 0).as_dict() == {"value": None, "low": 0.0, "high": 1.0, "n": 0}


@pytest.mark.parametrize(("count", "n", "share"), [(0, 5, 0.3), (4, 9, 0.5), (2, 700, 0.001), (690, 700, 0.99), (3, 3, 0.2)])
def test_probabilities_are_those_of_the_binomial_distribution(count: int, n: int, share: float) -> None:
    assert at_most(count, n, share) == pytest.approx(sum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(count + 1)), rel=1e-9)


def test_probabilities_at_the_ends() -> None:
    assert (at_most(0, 4, 0.0), at_most(3, 4, 1.0), at_most(4, 4, 1.0)) == (1.0, 0.0, 1.0)


def test_the_trade_off_by_hand() -> None:
    attacks, bona_fide = [0.1, 0.2, 0.6, 0.3], [0.5, 0.9, 0.7]
    assert trade_off(attacks, bona_fide) == [
        (-math.inf, 1.0, 0.0),
        (0.1, 0.75, 0.0),
        (0.2, 0.5, 0.0),
        (0.3, 0.25, 0.0),
        (0.5, 0.25, pytest.approx(1 / 3)),
        (0.6, 0.0, pytest.approx(1 / 3)),
        (0.7, 0.0, pytest.approx(2 / 3)),
        (0.9, 0.0, 1.0),
    ]


def test_a_score_at_the_threshold_is_refused() -> None:
    assert trade_off([0.5], [0.5]) == [(-math.inf, 1.0, 0.0), (0.5, 0.0, 1.0)]


def test_the_equal_error_rate_by_hand() -> None:
    assert equal_error_rate([0.1, 0.2, 0.6, 0.3], [0.5, 0.9, 0.7]) == pytest.approx((0.25 + 1 / 3) / 2)
    assert equal_error_rate([0.1, 0.2], [0.8, 0.9]) == 0.0
    assert equal_error_rate([0.8, 0.9], [0.1, 0.2]) == 1.0
    assert equal_error_rate([0.5], []) is None and equal_error_rate([], [0.5]) is None


def test_the_equal_error_rate_of_two_normal_distributions() -> None:
    """With means two deviations apart both errors are equal halfway: Phi(-1)."""
    random = np.random.default_rng(1)
    found = equal_error_rate(random.normal(0, 1, 20_000).tolist(), random.normal(2, 1, 20_000).tolist())
    assert found == pytest.approx(stats.norm.cdf(-1), abs=0.005)
