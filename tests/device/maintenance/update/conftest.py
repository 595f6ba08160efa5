"""A folder to install into, whose key is trusted, and the place of its database."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.maintenance.update.releases import Installation
from tests.device.maintenance.update.bundles import trust


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made_here = Installation(tmp_path / "inst")
    trust(made_here.trusted)
    return made_here


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clockface.db"
