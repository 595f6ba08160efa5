"""The pictures of the losses: measures against brute force, images read from IDX files, and the command on a small run."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.refused import refused
from training.__main__ import main
from training.losses import LOSSES
from training.visualize import argument
from training.visualize.digits import idx_folder, read_idx, sklearn_digits, split
from training.visualize.entries import ANIMATED, ENTRIES
from training.visualize.study import PanelEntry, Snapshot, angles, train, true_accept_rate


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as the command does: threads only get in the way of a net this small
    yield
    torch.set_num_threads(before)


def write_idx(path: Path, array: np.ndarray) -> None:
    data = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def test_the_panel_shows_every_loss() -> None:
    assert {entry.loss for entry in ENTRIES} == set(LOSSES)
    assert len({entry.title for entry in ENTRIES}) == len(ENTRIES)
    assert set(ANIMATED) <= {entry.title for entry in ENTRIES}


def test_angles_of_a_hand_made_plane() -> None:
    turns = np.radians([10, -10, 100, 80, 95])
    embeddings = np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32) * np.array([[1], [5], [2], [3], [1]], dtype=np.float32)
    frame = Snapshot(0, embeddings, np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32))
    accuracy, within, between = angles(frame, np.array([0, 0, 1, 1, 0]))
    assert accuracy == pytest.approx(4 / 5)
    assert within == pytest.approx((10 + 10 + 10 + 10 + 95) / 5, abs=1e-3)
    assert between == pytest.approx(90, abs=1e-3)


def test_true_accept_rate_by_counting_pairs() -> None:
    generator = np.random.default_rng(3)
    labels = np.repeat(np.arange(4), 30)
    embeddings = (generator.normal(size=(120, 2)) + 2 * np.stack([np.cos(labels), np.sin(labels)], axis=1)).astype(np.float32)
    mated, others = [], []
    for i, j in itertools.combinations(range(120), 2):
        score = float(embeddings[i] @ embeddings[j]) / math.dist((0, 0), embeddings[i]) / math.dist((0, 0), embeddings[j])
        (mated if labels[i] == labels[j] else others).append(score)
    threshold = sorted(others)[math.ceil(0.99 * (len(others) - 1))]
    expected = sum(score > threshold for score in mated) / len(mated)
    assert true_accept_rate(embeddings, labels) == pytest.approx(expected, abs=0.01)


def test_distance_at_unit_length_ranks_like_the_cosine() -> None:
    cosine, chord, plain, disagreements = argument.rank_agreement()
    assert disagreements == 0
    assert np.allclose(chord**2, 2 - 2 * cosine)
    assert (np.argsort(-cosine) != np.argsort(plain)).mean() > 0.5


def test_arcface_is_discriminative_where_softmax_is_separable() -> None:
    digits = split("digits", *sklearn_digits())
    softmax = train(PanelEntry("a", "softmax"), digits, 0, 12)
    arcface = train(PanelEntry("b", "arcface", {"margin": 0.3, "scale": 10.0}), digits, 0, 12)
    assert softmax.accuracy > 0.6
    assert arcface.within / arcface.between < 0.8 * softmax.within / softmax.between


def test_naive_arcface_meets_nan_and_the_step_is_told() -> None:
    digits = split("digits", *sklearn_digits())
    outcome = train(PanelEntry("naive", "arcface_naive", {"margin": 0.3, "scale": 10.0}), digits, 0, 40)
    assert outcome.nan_step is not None
    assert np.isfinite(outcome.frames[-1].embeddings).all()


def test_held_out_classes_are_neither_trained_nor_tested_on() -> None:
    digits = split("digits", *sklearn_digits(), held_out=3)
    assert digits.classes == 7
    assert set(digits.train_labels.tolist()) == set(digits.test_labels.tolist()) == set(range(7))
    assert set(digits.held_out_labels.tolist()) == {7, 8, 9}


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_come_back(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    write_idx(tmp_path / f"train-images-idx3-ubyte{suffix}", pixels)
    write_idx(tmp_path / f"train-labels-idx1-ubyte{suffix}", np.arange(20) % 10)
    images, labels = idx_folder(tmp_path)
    assert images.shape == (20, 1, 14, 14)
    assert images[3, 0, 2, 5].item() == pytest.approx(pixels[3, 4:6, 10:12].mean() / 255, rel=1e-5)
    assert labels.tolist() == [k % 10 for k in range(20)]


@pytest.mark.parametrize("data", [b"", b"\0\0\x08", b"\x89PNG\r\n", b"\0\0\x08\x02\0\0\0\x02", b"\0\0\x08\x01\0\0\0\x05abc"])
def test_a_file_that_is_no_idx_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(data)
    with refused("digits", "train-images-idx3-ubyte"):
        read_idx(path)


def test_a_broken_gzip_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with refused("digits", "train-images-idx3-ubyte"):
        idx_folder(tmp_path)
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8b broken")
    with refused("digits", "cannot be read"):
        read_idx(tmp_path / "x.gz")


def test_the_command_draws_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(argument, "ACTIVE_STEPS", 30)
    monkeypatch.setattr("training.visualize.DEBIAN_FASHION", tmp_path / "absent")
    assert main(["visualize", "--out", str(tmp_path), "--losses", "Softmax", "ArcFace", "--epochs", "1", "--seeds", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["loss"] for row in printed["losses"]] == ["Softmax", "ArcFace"]
    assert 0 < printed["losses"][1]["tar"]["mean"] <= 100
    assert printed["ranks_that_differ"] == 0
    for name in ("panel", "target_logits", "softmax_twice", "ranking", "active_triplets"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert len(np.unique(np.asarray(picture))) > 8  # something is drawn
    with Image.open(tmp_path / "training.gif") as animation:
        assert animation.n_frames > 5


def test_an_unknown_loss_is_refused_with_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["visualize", "--out", str(tmp_path), "--losses", "ArcFase"]) == 1
    assert "ArcFase: not in the panel; it has Softmax" in capsys.readouterr().err
