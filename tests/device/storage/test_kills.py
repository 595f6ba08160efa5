"""A few kills over everything that removes or replaces data; `python -m tests.device.storage.kills` makes many."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_nothing_erased_is_readable_after_kills_and_nothing_kept_is_lost() -> None:
    """In a process of its own, since one with threads, as a test suite has, should not fork."""
    done = subprocess.run([sys.executable, "-m", "tests.device.storage.kills", "--kills", "8"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("8 kills in ")
