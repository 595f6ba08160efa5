"""Waits double within their bounds and honour what the target asks for, whatever the two clocks say."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from device.config import OutboxSettings
from device.delivery.backoff import Backoff, retry_after

SETTINGS = OutboxSettings(first_retry_seconds=2.0, longest_retry_seconds=100.0)
NOW = 1_795_000_000.0


@pytest.mark.parametrize(("failures", "longest"), [(1, 2.0), (2, 4.0), (3, 8.0), (6, 64.0), (7, 100.0), (1000, 100.0)])
def test_waits_double_up_to_the_longest(failures: int, longest: float) -> None:
    assert Backoff(SETTINGS, lambda: 0.0).wait(failures) == longest / 2
    assert Backoff(SETTINGS, lambda: 0.5).wait(failures) == longest * 0.75
    assert Backoff(SETTINGS, lambda: 1.0).wait(failures) == longest


def test_what_the_target_asks_for_is_the_least() -> None:
    backoff = Backoff(SETTINGS, lambda: 0.0)
    assert backoff.wait(1, 30.0) == 30.0
    assert backoff.wait(7, 30.0) == 50.0
    assert backoff.wait(1, 1e9) == 86400.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 400}, 999999999.0),
        ({"Retry-After": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"Retry-After": formatdate(NOW - 90, usegmt=True)}, 0.0),
        # the target's clock is an hour ahead, or a year behind: only its own two times count
        ({"Retry-After": formatdate(NOW + 3690, usegmt=True), "Date": formatdate(NOW + 3600, usegmt=True)}, 90.0),
        ({"Retry-After": formatdate(NOW - 3e7 + 90, usegmt=True), "Date": formatdate(NOW - 3e7, usegmt=True)}, 90.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds
