"""The clock state agrees with what the system reports, and has a safe value where the system gives no answer."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from device.config.places import ROOT
from device.system.clock import LARGEST_ERROR_US, iso_utc, kernel_error_us, read_clock_state, to_ms, why_silent


def missing_call() -> int:
    raise OSError(38, "Function not implemented")


@pytest.mark.parametrize(("error_us", "expected"), [(0, True), (LARGEST_ERROR_US - 1, True), (LARGEST_ERROR_US, False), (-1, False)])
def test_synchronised_has_the_meaning_of_timedatectl(error_us: int, expected: bool) -> None:
    assert read_clock_state(error_us=lambda: error_us).synchronised is expected


def test_a_system_that_cannot_be_asked_is_not_synchronised(tmp_path: Path) -> None:
    state = read_clock_state(missing_call, tmp_path / "none")
    assert not state.synchronised
    assert state.boot_id == "unknown"


def test_the_kernel_answers_within_its_limits() -> None:
    assert 0 <= kernel_error_us() <= LARGEST_ERROR_US


def test_the_reason_is_given_where_the_system_cannot_tell() -> None:
    assert why_silent(missing_call) == "[Errno 38] Function not implemented"
    assert why_silent() is None


def test_the_unit_allows_reading_the_clock_state() -> None:
    """systemd counts adjtimex(2) among the calls that set the clock (`systemd-analyze syscall-filter @clock`)."""
    unit = (ROOT / "device/packaging/clockface.service").read_text(encoding="utf-8")
    filters = re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE)
    denied = max(index for index, names in enumerate(filters) if names.startswith("~"))
    assert any({"adjtimex", "clock_adjtime"} <= set(names.split()) for names in filters[denied + 1 :])
    assert not re.search(r"^ProtectClock=", unit, re.MULTILINE)


def test_boot_id_stays_the_same_and_monotonic_time_advances() -> None:
    first = read_clock_state()
    time.sleep(0.02)
    second = read_clock_state()
    assert re.fullmatch(r"[0-9a-f-]{36}", first.boot_id)
    assert second.boot_id == first.boot_id
    assert 20 <= second.monotonic_ms - first.monotonic_ms < 5000


def test_monotonic_time_is_the_uptime_of_the_board() -> None:
    uptime_ms = float(Path("/proc/uptime").read_text().split()[0]) * 1000
    assert abs(read_clock_state().monotonic_ms - uptime_ms) < 5000


def test_iso_utc_keeps_every_millisecond() -> None:
    start = int(datetime(2026, 11, 24, 7, 31, 5, tzinfo=timezone.utc).timestamp())
    for ms in range(1000):
        assert iso_utc((start * 1000 + ms) / 1000) == f"2026-11-24T07:31:05.{ms:03d}Z"


@pytest.mark.parametrize(("seconds", "ms"), [(0.0, 0), (1.0004, 1000), (1.0006, 1001), (-0.0016, -2), (1_795_000_000.1236, 1_795_000_000_124)])
def test_times_are_rounded_to_the_nearest_ms(seconds: float, ms: int) -> None:
    assert to_ms(seconds) == ms and to_ms(ms / 1000) == ms
