"""A few kills over everything that removes or replaces data; `python -m tests.device.storage.kills` makes many."""

from __future__ import annotations

from pathlib import Path

from tests.device.storage.kills import run


def test_nothing_erased_is_readable_after_kills_and_nothing_kept_is_lost(tmp_path: Path) -> None:
    found = run(tmp_path, kills=8)
    assert found.kept or found.erased
