"""`Retry-After` of a target is read and honoured, even if the two clocks disagree."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from device.delivery.connectors.http_exchange import retry_after
from device.delivery.courier import pause_seconds
from device.delivery.outcomes import Failed
from device.system.restart import Backoff

NOW = 1_795_000_000.0


def test_the_pause_is_at_least_what_the_target_asks_for() -> None:
    backoff = Backoff(2.0, 100.0, lambda: 0.0)
    assert pause_seconds(backoff, 1, Failed("busy", retry_after_seconds=30.0)) == 30.0
    assert pause_seconds(backoff, 7, Failed("busy", retry_after_seconds=30.0)) == 50.0
    assert pause_seconds(backoff, 1, Failed("busy", retry_after_seconds=1e9)) == 86400.0
    assert pause_seconds(backoff, 3, Failed("busy")) == 4.0


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
