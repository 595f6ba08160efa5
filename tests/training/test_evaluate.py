"""Evaluation end to end, and its parts against brute force."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.refused import refused
from training import checkpoint, evaluate
from training.__main__ import main
from training.config import BackboneSettings, Recipe
from training.model import EmbedderNet
from training.synthetic import draw


def fake_embed(crops: np.ndarray) -> np.ndarray:
    """(N, 8): mean colour of eight rows of the crop."""
    rows = crops.reshape(len(crops), 8, -1).astype(np.float64).mean(2) - 128 + np.arange(8)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    recipe = Recipe(backbone=BackboneSettings("edge", 24))
    checkpoint.save(tmp_path / "m.pt", {"embedder": EmbedderNet(recipe.backbone).state_dict()}, recipe)
    return tmp_path / "m.pt"


def write_people(folder: Path) -> Path:
    for person in range(4):
        for shot in (1, 2):
            file = folder / f"p{person}" / f"p{person}_{shot:04d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), draw(person, shot)[:, :, ::-1])
    mated = ["p0 1 2", "p1 1 2"], ["p2 1 2", "p3 1 2"]
    other = ["p0 1 p1 1", "p0 2 p1 2"], ["p2 1 p3 1", "p2 2 p3 2"]
    (folder / "pairs.txt").write_text("\n".join(["2 2", *mated[0], *other[0], *mated[1], *other[1]]))
    return folder


def test_json_has_the_agreed_form(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_people(tmp_path / "people")
    code = main(["evaluate", str(model), "--pairs", str(folder / "pairs.txt"), "--images", str(folder), "--out", str(tmp_path / "plots"), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert {"accuracy_mean", "accuracy_std", "threshold", "eer", "tar_at_far", "pairs", "embedding_size", "ms_per_crop"} <= set(report)
    assert report["pairs"] == 8
    assert report["embedding_size"] == 24
    assert report["tar_at_far"]["0.001"] is None  # 4 non-mated pairs cannot show it
    assert sorted(p.name for p in (tmp_path / "plots").iterdir()) == ["det.png", "scores.png"]


def test_search_equals_brute_force() -> None:
    rng = np.random.default_rng(1)
    people = np.repeat(np.arange(30), 3)
    rows = rng.normal(0, 1, (30, 6))[people] + rng.normal(0, 0.6, (90, 6))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    (found, _) = evaluate.evaluate_search(rows, people, (5,), seed=4, rounds=1)
    enrolled = np.random.default_rng((4, 5, 0)).choice(30, 5, replace=False)
    templates = {int(p): rows[3 * p] for p in enrolled}
    strangers = [max(float(row @ t) for t in templates.values()) for row, p in zip(rows, people, strict=True) if p not in templates]
    assert found.threshold is not None
    assert np.mean(np.array(strangers) >= found.threshold) <= 0.1
    hits = 0
    for person in templates:
        for row in (rows[3 * person + 1], rows[3 * person + 2]):
            scores = {p: float(row @ t) for p, t in templates.items()}
            hits += max(scores, key=lambda p: scores[p]) == person and scores[person] >= found.threshold
    assert found.fnir == pytest.approx(1 - hits / 10)


def test_groups_equal_brute_force(tmp_path: Path) -> None:
    lines = ["file\trace\tgender"]
    for i in range(8):
        cv2.imwrite(str(tmp_path / f"{i}.png"), draw(i, 0)[:, :, ::-1])
        lines.append(f"{i}.png\t{'ab'[i // 4]}\tx")
    (tmp_path / "groups.tsv").write_text("\n".join(lines) + "\n")
    rows = fake_embed(np.stack([draw(i, 0) for i in range(8)]))
    scores = {g: [float(rows[i] @ rows[j]) for i in range(k, k + 4) for j in range(i + 1, k + 4)] for g, k in (("a", 0), ("b", 4))}
    threshold = float(np.median(scores["a"] + scores["b"]))
    report = evaluate.evaluate_groups(fake_embed, tmp_path, threshold)
    expected = {g: float(np.mean([s >= threshold for s in v])) for g, v in scores.items()}
    assert report["fmr"] == pytest.approx(expected)
    assert report["worst_to_mean"] == pytest.approx(max(expected.values()) / np.mean(list(expected.values())))


def test_pairs_need_images(model: Path) -> None:
    assert main(["evaluate", str(model), "--pairs", "pairs.txt"]) == 1


def test_a_missing_model_says_so(tmp_path: Path) -> None:
    with refused("clockface", "does not exist"):
        evaluate.open_model(tmp_path / "no.pt")
