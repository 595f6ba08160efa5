"""The shipped weights as a float model, and a verification set of synthetic faces; neither needs shared data."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from device.vision.embedder import Embedder
from export.__main__ import main
from training.synthetic import draw

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "models" / "clockface-edge.pt"
PEOPLE, SHOTS = 20, 4


@pytest.fixture(scope="session")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    assert main(["build", str(WEIGHTS), "--out", str(path), "--name", "net", "--licence", "MIT", "--training-data", "drawn"]) == 0
    assert Embedder(path, "cpu").card.precision == "float32"
    return path


@pytest.fixture(scope="session")
def drawn_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pairs.txt in LFW's format: 4 folds of 15 mated and 15 non-mated pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    for person in range(PEOPLE):
        (folder / f"p{person}").mkdir()
        for shot in range(1, SHOTS + 1):
            cv2.imwrite(str(folder / f"p{person}" / f"p{person}_{shot:04d}.png"), draw(person, shot)[:, :, ::-1])
    lines = ["4\t15"]
    for fold in range(4):
        people = range(5 * fold, 5 * fold + 5)
        lines += [f"p{person}\t{a}\t{b}" for person in people for a, b in ((1, 2), (1, 3), (2, 4))]
        lines += [f"p{person}\t{shot}\tp{5 * fold + (person + step) % 5}\t{shot}" for person in people for step, shot in ((1, 1), (2, 2), (3, 3))]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    return folder
