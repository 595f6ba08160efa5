"""Nothing leaves the site: the collection of usage data by the runtime is switched off before it is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.device.vision.test_embedder import tiny

ROOT = Path(__file__).resolve().parents[3]
EMBED = """
import sys
import numpy as np
from pathlib import Path
from device.vision.embedder import Embedder
Embedder(Path(sys.argv[1]), "cpu").embed(np.zeros((1, 112, 112, 3), np.uint8))
"""


def test_the_runtime_writes_nothing_to_the_home_folder(tmp_path: Path) -> None:
    """With telemetry on, onnxruntime 1.32 makes ~/.cache/Microsoft/DeveloperTools with a device id and a queue of events."""
    home, model = tmp_path / "home", tiny(tmp_path / "tiny.onnx")
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    for extra in ({}, {"ORT_DISABLE_TELEMETRY": "0"}):
        command = [sys.executable, "-c", EMBED, str(model)]
        done = subprocess.run(command, cwd=ROOT, env={**environment, "HOME": str(home), **extra}, capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == ""
        assert list(home.rglob("*")) == []
