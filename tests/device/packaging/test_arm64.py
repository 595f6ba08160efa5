"""The board's program under arm64, emulated by qemu-user: it imports, its models load, one picture gives what it gives here.

tests/device/packaging/arm64-root.sh makes the root that this needs; the whole way of a bundle is tests/device/packaging/run.sh.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
BOARD = Path(os.environ.get("CLOCKFACE_ARM64_ROOT", ROOT / "runs/arm64"))
SECONDS = 850  # emulated, on a busy machine; an idle one takes a twentieth of it
FLOAT, INT8 = 1e-3, 5e-3  # largest distance in cosine between the two machines

NAMES = ("clockface-edge", "clockface-edge-int8")
PICTURE = "models/astronaut.png"

PROGRAM = """
import json, platform, sys
import cv2
import numpy as np
from device import contract
from device.config import Settings
from device.config.places import ROOT
from device.vision.detector import Detector
from device.vision.embedder import Embedder
from device.vision.catalogue import path

image = cv2.imread(str(ROOT / sys.argv[1]))
(face,) = Detector(path("yunet"), Settings().detector).detect(image)
given = json.loads(sys.argv[2])
crop = contract.align(image, np.float32(given or face.landmarks))  # the same crop on both machines
embeddings = {name: Embedder(path(name), "cpu").embed(crop[None])[0].tolist() for name in sys.argv[3:]}
print(json.dumps({"machine": platform.machine(), "landmarks": face.landmarks.tolist(), "embeddings": embeddings}))
"""


def answer(command: list[str], environment: dict[str, str], landmarks: list[list[float]] | None = None) -> dict[str, Any]:
    words = [*command, "-c", PROGRAM, PICTURE, json.dumps(landmarks), *NAMES]
    run = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=SECONDS)
    assert run.returncode == 0, run.stderr[-3000:]
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def emulated(root: Path) -> list[str]:
    """Python in the root, with this checkout at /srv: chroot, since the runtime does not like this machine's /proc and /sys."""
    interpreter = next((root / "usr/bin").glob("python3.[0-9]*"), None)
    if interpreter is None or not (root / "wheels").is_dir():
        pytest.skip("no root for arm64: sudo tests/device/packaging/arm64-root.sh makes one")
    qemu = shutil.which("qemu-aarch64-static")
    if qemu is None or os.geteuid() != 0:
        pytest.skip("needs root, for chroot, and qemu-aarch64-static: apt install qemu-user-static")
    shutil.copy(qemu, root / "qemu")
    for folder in ("device", "models"):
        shutil.rmtree(root / "srv" / folder, ignore_errors=True)
        shutil.copytree(ROOT / folder, root / "srv" / folder, ignore=shutil.ignore_patterns("__pycache__", "*.pt"))
    return ["chroot", str(root), "/qemu", f"/usr/bin/{interpreter.name}", "-S"]


@pytest.mark.timeout(2 * SECONDS)
def test_a_picture_gives_the_same_on_both_machines() -> None:
    board = emulated(BOARD)
    here = answer([sys.executable], dict(os.environ))
    there = answer(board, {"PYTHONPATH": "/srv:/wheels", "HOME": "/", "PATH": os.environ["PATH"]}, here["landmarks"])
    assert there["machine"] == "aarch64" != here["machine"]
    assert np.abs(np.subtract(there["landmarks"], here["landmarks"])).max() < 0.5  # px
    for name in NAMES:
        cosine = float(np.dot(there["embeddings"][name], here["embeddings"][name]))
        assert 1 - cosine < (INT8 if name.endswith("int8") else FLOAT), (name, cosine)
