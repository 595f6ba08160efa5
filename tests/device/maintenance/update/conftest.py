"""An installation that trusts the tests' key, and the path of its database."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.maintenance.update.releases import Installation
from tests.device.maintenance.update.bundles import trust


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    installation = Installation(tmp_path / "inst")
    trust(installation.trusted)
    return installation


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clockface.db"
