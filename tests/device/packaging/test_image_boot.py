"""An image is started, set up by a code before its camera, and its power is cut. It takes minutes, so it is asked for: CLOCKFACE_BOOT=uml (a kernel as a
process), or amd64, arm64 (emulated).

CLOCKFACE_BOOT_WORK names a folder whose base and bundle are used again, CLOCKFACE_BOOT_BASE a base, CLOCKFACE_BOOT_CUTS the number of power cuts (2).
CLOCKFACE_BOOT_LIMIT ends it after so many seconds: skipped where the machine is only slow.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("image.sh")
KIND = os.environ.get("CLOCKFACE_BOOT", "")
EMULATORS = {"uml": "linux.uml", "amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}
SLOW = 75  # exit status
NO_NETWORK = "pip does not deliver the wheels"


@pytest.mark.timeout(7200)
@pytest.mark.skipif(not KIND, reason="starting an image takes minutes: CLOCKFACE_BOOT=uml asks for it")
def test_an_image_starts_is_set_up_and_loses_no_punch_to_a_power_cut(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not all(shutil.which(name) for name in (EMULATORS[KIND], "mmdebstrap", "mcopy")):
        pytest.skip(f"needs root, {EMULATORS[KIND]}, mmdebstrap and mtools")
    if not Path(os.environ.get("CLOCKFACE_BOOT_BASE", SCRIPT)).exists():
        pytest.skip("the base of CLOCKFACE_BOOT_BASE was not made")
    given = {name: os.environ[f"CLOCKFACE_BOOT_{name}"] for name in ("WORK", "BASE", "CUTS", "LIMIT") if f"CLOCKFACE_BOOT_{name}" in os.environ}
    done = subprocess.run([str(SCRIPT), KIND], capture_output=True, text=True, env={**os.environ, "WORK": str(tmp_path), "CUTS": "2", **given})
    if done.returncode == SLOW or NO_NETWORK in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "done: everything as expected" in done.stdout
