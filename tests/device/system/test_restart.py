"""Waits double up to a limit; jitter removes up to half of each."""

from __future__ import annotations

import pytest

from device.system.restart import Backoff


@pytest.mark.parametrize(("failures", "longest"), [(1, 2.0), (2, 4.0), (3, 8.0), (6, 64.0), (7, 100.0), (1000, 100.0)])
def test_waits_double_up_to_the_longest(failures: int, longest: float) -> None:
    assert Backoff(2.0, 100.0, lambda: 0.0).wait(failures) == longest / 2
    assert Backoff(2.0, 100.0, lambda: 0.5).wait(failures) == longest * 0.75
    assert Backoff(2.0, 100.0, lambda: 1.0).wait(failures) == longest


def test_without_jitter_the_waits_are_exact() -> None:
    backoff = Backoff(1.0, 30.0)
    assert [backoff.wait(failures) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert backoff == Backoff() and backoff.wait(1) == 1
