"""`python -m tests.device.packaging.instructions`: instructions a crop and a frame cost on the cores of a Raspberry Pi 4 and 5, counted under qemu-user.

A count is no time: cores differ in how many they do at once, and memory is left out. It compares models on one core. One thread; start-up drops out as
the difference of two runs, each the smaller count of two: what a start does varies. As root; needs tests/device/packaging/arm64-root.sh first,
qemu-user and gcc.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.device.packaging.test_arm64 import BOARD, emulated

CORES = {"cortex-a72": "Raspberry Pi 4", "cortex-a76": "Raspberry Pi 5"}
EMBEDDERS = ("clockface-edge", "clockface-edge-int8", "sface")
FEW, MANY = 1, 10
PROGRAM = """
import sys
import cv2, numpy as np
from device.config import Settings
from device.config.places import ROOT
from device.vision.catalogue import path
name, times = sys.argv[1], int(sys.argv[2])
cv2.setNumThreads(1)
picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
if name == "yunet":
    from device.vision.detector import Detector
    detector = Detector(path(name), Settings().detector)
    work = lambda: detector.detect(picture, 24.0)
else:
    from device.vision.embedder import Embedder
    embedder = Embedder(path(name), "cpu", threads=1)
    crop = picture[None, :112, :112].copy()
    work = lambda: embedder.embed(crop)
for _ in range(times):
    work()
"""


def emulator(place: Path) -> list[str]:
    """qemu-user with the plugin and its libraries, in a folder of the root: the one without libraries takes no plugins."""
    qemu = shutil.which("qemu-aarch64")
    if qemu is None or shutil.which("gcc") is None:
        raise SystemExit("error: qemu-user and gcc are needed: apt install qemu-user gcc libc6-dev")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", place / "count.so", Path(__file__).with_suffix(".c")], check=True)
    shutil.copy(qemu, place / "qemu")
    for library in re.findall(r"(/\S+)", subprocess.run(["ldd", qemu], capture_output=True, text=True, check=True).stdout):
        shutil.copy(library, place)
    inside = f"/{place.name}"
    return [f"{inside}/ld-linux-x86-64.so.2", "--library-path", inside, f"{inside}/qemu", "-plugin", f"{inside}/count.so"]


def counted(board: list[str], qemu: list[str], core: str, name: str, times: int) -> int:
    command = [*board[:2], *qemu, "-cpu", core, *board[3:], "-c", PROGRAM, name, str(times)]
    run = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": "/srv:/wheels", "HOME": "/", "PATH": os.environ["PATH"]})
    if run.returncode:
        raise SystemExit(f"error: {run.stderr[-2000:]}")
    return int(re.findall(r"^instructions (\d+)$", run.stderr, re.MULTILINE)[-1])


def table(board: list[str], qemu: list[str]) -> None:
    print("| | " + " | ".join(f"{core} ({name})" for core, name in CORES.items()) + " |")
    print("|---" * (1 + len(CORES)) + "|")
    for name in ("yunet", *EMBEDDERS):
        least = {(core, times): min(counted(board, qemu, core, name, times) for _ in range(2)) for core in CORES for times in (FEW, MANY)}
        cells = [(least[core, MANY] - least[core, FEW]) / (MANY - FEW) for core in CORES]
        print(f"| {name} | " + " | ".join(f"{cell / 1e6:,.1f} million" for cell in cells) + " |", flush=True)


def main() -> None:
    board = emulated(BOARD)
    with tempfile.TemporaryDirectory(dir=BOARD) as place:
        table(board, emulator(Path(place)))


if __name__ == "__main__":
    main()
