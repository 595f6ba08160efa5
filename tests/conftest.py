"""What every test may use: the shared data, skipped by name where it is absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("gate", derandomize=True)  # alike each time; `--hypothesis-profile default` looks further
hypothesis.settings.load_profile("gate")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of its own for the keys of people, for the processes that tests start as well."""
    folder = tmp_path_factory.mktemp("keys")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLOCKFACE_KEYS", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real faces and clips: CLOCKFACE_SHARED, or `../shared` beside the checkout."""
    folder = Path(os.environ.get("CLOCKFACE_SHARED", ROOT.parent / "shared"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no shared data at {folder}; set CLOCKFACE_SHARED")
    return folder
