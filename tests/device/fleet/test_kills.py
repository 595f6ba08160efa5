"""A small round of `tests.device.fleet.kills`; the large one is run by hand (docs/fleet.md)."""

from __future__ import annotations

from pathlib import Path

from tests.device.fleet.cluster import Cluster
from tests.device.fleet.kills import trial


def test_nothing_is_lost_or_twice_whatever_is_killed(postgres: Cluster, tmp_path: Path) -> None:
    found = trial(postgres, tmp_path, terminals=3, punches=150, kills=12, seed=4)
    assert (found.recorded, found.arrived, found.distinct, found.broken) == (450, 450, 450, [])
