"""What every test may use: the shared data, skipped by name where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real faces and clips: CLOCKFACE_SHARED, or `../shared` beside the checkout."""
    folder = Path(os.environ.get("CLOCKFACE_SHARED", ROOT.parent / "shared"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no shared data at {folder}; set CLOCKFACE_SHARED")
    return folder
