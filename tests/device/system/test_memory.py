"""Large blocks still return to the system when they are freed, even after larger ones were freed before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
import numpy as np
from device.system.memory import give_back_large_blocks
set_up = sys.argv[1] == "set up" and give_back_large_blocks()
for _ in range(3):
    np.ones(16 * 2**20, np.uint8)  # freed at once: glibc now takes blocks up to this size from its heap
def resident():
    return int(open("/proc/self/status").read().partition("VmRSS:")[2].split()[0]) / 1024
before = resident()
blocks = [np.ones(2**20, np.uint8) for _ in range(64)]
stays = np.ones(2**17, np.uint8)  # at the end of the heap: what lies before it cannot be trimmed
del blocks
print(set_up, round(resident() - before))
"""


def outcome(mode: str) -> list[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM, mode], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_freed_blocks_return_to_the_system() -> None:
    set_up, kept = outcome("set up")
    if set_up == "False":
        pytest.skip("the C library is not glibc")
    assert int(kept) <= 4 and int(outcome("default")[1]) >= 32  # MB of 64
