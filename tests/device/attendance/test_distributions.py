"""Histograms of liveness scores, against counts by hand."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from device.attendance.distributions import LivenessScores, liveness_scores
from device.attendance.timesheet.worksite import Site
from device.storage.store import PunchDraft, Store
from device.system.clock import ClockState

DAY, SITE = date(2026, 11, 18), Site("Europe/Berlin")
NOON = SITE.begins(DAY) * 60.0 + 12 * 3600


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Punches that were judged with 0.03, 0.5, 0.51 and 1, one by PIN, one of the day before; refused attempts with 0, 0.019, 0.02 and without a score."""
    with Store.open(tmp_path / "a.db") as store:
        store.add_person("Ann")
        clock = ClockState(True, "b", 1)
        for at, score in ((NOON - 86_400, 0.9), *((NOON, score) for score in (0.03, 0.5, 0.51, 1.0))):
            store.record_punch(PunchDraft(1, at, "in", "door", "face", clock, 0.6, None, 0.4, score, "m"))
        store.record_punch(PunchDraft(1, NOON, "in", "door", "pin", clock))
        for score in (0.0, 0.019, 0.02):
            store.add_refusal(NOON, "picture", score, 5)
        store.add_refusal(NOON, "not_judged", None, 0)
        store.add_refusal(NOON - 86_400, "picture", 0.5, 5)
    return tmp_path / "a.db"


@pytest.mark.parametrize(("threshold", "below"), [(0.5, 2), (0.505, 2), (0.0, 0), (None, 0)])
def test_scores_of_a_day(database: Path, threshold: float | None, below: int) -> None:
    with Store.open(database) as store:
        found = liveness_scores(store, DAY, DAY, SITE, threshold)
    assert found == LivenessScores({1: 1, 25: 2, 50: 1}, below, {0: 2, 1: 1}, 1)  # 0.02 wide


def test_nothing_was_stored(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        assert liveness_scores(store, DAY, DAY, SITE, 0.5) == LivenessScores({}, 0, {}, 0)
