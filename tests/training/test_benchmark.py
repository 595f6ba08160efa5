"""Public sets in small, against InsightFace's evaluation written out, with sklearn as it uses it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_curve
from sklearn.model_selection import KFold
from sklearn.preprocessing import normalize

from device.contract import CANONICAL_LANDMARKS
from tests.refused import refused
from training import ijb
from training.__main__ import main
from training.benchmark import HOW, as_text, fold_accuracy_in_steps, of_bin, of_templates
from training.synthetic import draw

ROOT = Path(__file__).resolve().parents[2]
MIX = np.random.default_rng(0).normal(size=(2 * 2 * 3, 16))
PEOPLE, SHIFT = 12, (40, 25)  # px from the left and the top to the crop inside its picture


def shown(template: int) -> int:
    """The person whose picture a template has; every fifth template shows another one than its label says, so that some are missed."""
    return (template + int(template % 5 == 0)) % PEOPLE


def embed(crops: np.ndarray) -> np.ndarray:
    """(N, 16) unit: the mean colours of the four quarters of a crop, mixed; a mirror image gives another row."""
    quarters = crops.reshape(len(crops), 2, 56, 2, 56, 3).mean(axis=(2, 4)).reshape(len(crops), -1) - 110.0
    return np.asarray(normalize(quarters @ MIX), np.float32)


def encoded(crop: np.ndarray) -> bytes:
    return cv2.imencode(".png", np.ascontiguousarray(crop[:, :, ::-1]))[1].tobytes()


def write_bin(path: Path, count: int = 103) -> list[np.ndarray]:
    """`.bin` of so many pairs: a mated one, then a non-mated one, and so on; its crops are returned."""
    pairs = [(draw(i, 0), draw(i, 1) if i % 2 == 0 else draw(i + 1000, 1)) for i in range(count)]
    crops = [crop for pair in pairs for crop in pair]
    path.write_bytes(pickle.dumps((list(map(encoded, crops)), [i % 2 == 0 for i in range(count)])))
    return crops


def insightface(first: np.ndarray, second: np.ndarray, same: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of the accuracy over ten folds, as InsightFace computes them from rows of unit length."""
    distance = np.sum(np.square(first - second), 1)
    thresholds, accuracies = np.arange(0, 4, 0.01), []
    for train, test in KFold(n_splits=10, shuffle=False).split(np.arange(len(same))):
        on_train = [np.mean(np.less(distance[train], threshold) == same[train]) for threshold in thresholds]
        accuracies.append(np.mean(np.less(distance[test], thresholds[np.argmax(on_train)]) == same[test]))
    return float(np.mean(accuracies)), float(np.std(accuracies))


def best_tar(same: np.ndarray, scores: np.ndarray, far: float) -> float:
    false, true, _ = roc_curve(same, scores, drop_intermediate=False)
    return float(true[false <= far].max())


def test_pairs_give_what_insightface_computes(tmp_path: Path) -> None:
    crops = np.stack(write_bin(tmp_path / "lfw.bin"))
    same = np.arange(len(crops) // 2) % 2 == 0
    plain = embed(crops).astype(np.float64)
    both = normalize(plain + embed(crops[:, :, ::-1]))
    found = of_bin("net", embed, tmp_path / "lfw.bin", "LFW")
    assert [row.how for row in found] == list(HOW) and {row.comparisons for row in found} == {103}
    for row, rows in zip(found, (plain, both), strict=True):
        assert (row.accuracy, row.accuracy_std) == pytest.approx(insightface(rows[0::2], rows[1::2], same))
        assert row.tar_at_far["0.001"] is None  # 51 non-mated pairs cannot show it
    assert 0.6 < (found[0].accuracy or 0) < 1


def test_folds_of_unequal_size_are_those_of_insightface() -> None:
    random = np.random.default_rng(3)
    first, second = (normalize(random.normal(size=(97, 4))) for _ in range(2))
    same = random.random(97) < 0.5
    found = fold_accuracy_in_steps((first * second).sum(1), same)
    assert (found.mean, found.std) == pytest.approx(insightface(first, second, same))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """IJB-C in small: 12 people, two templates each of two media; one medium has two pictures."""
    folder = tmp_path_factory.mktemp("ijb")
    (folder / "loose_crop").mkdir()
    (folder / "meta").mkdir()
    points, media = [], []
    landmarks = " ".join(f"{value:.3f}" for point in CANONICAL_LANDMARKS + SHIFT for value in point)
    for template in range(1, 2 * PEOPLE + 1):
        for shot, medium in enumerate((10, 10, 11)):
            name = f"{len(points) + 1}.png"
            picture = np.full((200, 220, 3), 90, np.uint8)
            picture[SHIFT[1] : SHIFT[1] + 112, SHIFT[0] : SHIFT[0] + 112] = draw(shown(template), 10 * template + shot)[:, :, ::-1]
            cv2.imwrite(str(folder / "loose_crop" / name), picture)
            points.append(f"{name} {landmarks} {0.5 + 0.01 * (len(points) % 50):.2f}")
            media.append(f"{name} {template} {medium}")
    every = [(a, b) for a in range(1, 2 * PEOPLE + 1) for b in range(a + 1, 2 * PEOPLE + 1)]
    (folder / "meta" / "ijbc_name_5pts_score.txt").write_text("\n".join(points) + "\n")
    (folder / "meta" / "ijbc_face_tid_mid.txt").write_text("\n".join(media) + "\n")
    (folder / "meta" / "ijbc_template_pair_label.txt").write_text("".join(f"{a} {b} {int(a % PEOPLE == b % PEOPLE)}\n" for a, b in every))
    return folder


def template_of(features: np.ndarray, media: np.ndarray) -> np.ndarray:
    """As InsightFace makes it: the mean of each medium, their sum, unit length."""
    means = [features[media == medium].mean(axis=0) for medium in np.unique(media)]
    total = np.sum(means, axis=0)
    return total / np.linalg.norm(total)


def test_templates_give_what_insightface_computes(release: Path) -> None:
    crops = np.stack([draw(shown(template), 10 * template + shot) for template in range(1, 2 * PEOPLE + 1) for shot in range(3)])
    weights = 0.5 + 0.01 * (np.arange(len(crops)) % 50)
    plain = embed(crops).astype(np.float64)
    both = normalize(plain + embed(crops[:, :, ::-1]))
    listed = np.loadtxt(release / "meta" / "ijbc_template_pair_label.txt", dtype=int)
    for row, rows in zip(of_templates("net", embed, release, "ijbc", "IJB-C"), (plain, both), strict=True):
        features = rows * weights[:, None]
        templates = {t: template_of(features[3 * t - 3 : 3 * t], np.array([10, 10, 11])) for t in range(1, 2 * PEOPLE + 1)}
        scores = np.array([float(templates[a] @ templates[b]) for a, b, _ in listed])
        found = row.tar_at_far["0.1"]
        assert found is not None and found.value == pytest.approx(best_tar(listed[:, 2], scores, 0.1))
        assert row.tar_at_far["1e-06"] is None and row.comparisons == 276 and row.accuracy is None
        assert 0 < found.value < 1


def test_scores_are_those_of_the_aligned_pictures(release: Path) -> None:
    protocol = ijb.read(release, "ijbc")
    plain, _ = ijb.embed_images(embed, protocol)
    np.testing.assert_allclose(plain[:3], embed(np.stack([draw(1, 10 + shot) for shot in range(3)])), atol=1e-3)


def test_the_table_is_that_of_papers(release: Path, tmp_path: Path) -> None:
    write_bin(tmp_path / "lfw.bin")
    listed = [row for title in ("LFW", "AgeDB-30") for row in of_bin("net", embed, tmp_path / "lfw.bin", title)]
    rows = [*listed, *of_templates("net", embed, release, "ijbc", "IJB-C")]
    pairs, templates = as_text(rows).split("\n\n")
    assert pairs.splitlines()[0].startswith("| model |  | LFW, accuracy % | LFW, TAR % at FAR 0.01 |") and "AgeDB-30, accuracy %" in pairs
    assert [line.split(" | ")[1] for line in pairs.splitlines()[2:]] == list(HOW)
    assert "| IJB-C, TAR % at FAR 1e-06 |" in templates and "insufficient data" in templates


def test_the_command_measures_shipped_weights_on_real_pairs(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lfw.bin").symlink_to(shared / "faces" / "verify_400.bin")
    assert main(["benchmark", "lfw", str(tmp_path), "--model", str(ROOT / "models" / "clockface-edge-int8.onnx"), "--json"]) == 0
    without, mirrored = json.loads(capsys.readouterr().out)
    assert (without["set"], without["how"], without["comparisons"]) == ("LFW", "without mirror", 400)
    assert 0.9 < without["accuracy"] < 1 and 0.9 < mirrored["accuracy"] < 1
    assert without["tar_at_far"] == {"0.01": None, "0.001": None}  # 200 non-mated pairs cannot show them


WRONG: dict[str, tuple[str, str]] = {  # file of meta -> what stands in it, words of the answer
    "ijbc_face_tid_mid.txt": ("1.png 1 10\n", "same pictures"),
    "ijbc_name_5pts_score.txt": ("1.png 1 2 3\n", "line 1"),
    "ijbc_template_pair_label.txt": ("1 2 1\n1 99 0\n", "template 99"),
}


@pytest.mark.parametrize("file", WRONG)
def test_another_form_is_refused(file: str, release: Path, tmp_path: Path) -> None:
    content, words = WRONG[file]
    (tmp_path / "loose_crop").mkdir()
    (tmp_path / "meta").mkdir()
    for path in (release / "meta").iterdir():
        (tmp_path / "meta" / path.name).write_text(content if path.name == file else path.read_text())
    with refused("ijb", words):
        ijb.read(tmp_path, "ijbc")


@pytest.mark.parametrize(("name", "words"), [("lfw", "lfw.bin"), ("ijb-c", "loose_crop")])
def test_what_is_missing_is_told_before_the_work(name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments: list[Any] = ["benchmark", name, str(tmp_path), "--model", str(tmp_path / "nothing.pt")]
    assert main(arguments) == 1
    assert words in capsys.readouterr().err
