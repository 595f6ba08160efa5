"""The pictures of the losses: measures against brute force, images read from IDX files, and the command on a small run."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import math
import re
import statistics
import struct
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.device.web import browser
from tests.refused import refused
from training.__main__ import main
from training.losses import LOSSES
from training.visualize import argument
from training.visualize.captions import DIALS, PICTURES
from training.visualize.digits import idx_folder, read_idx, sklearn_digits, split
from training.visualize.entries import ANIMATED, ENTRIES
from training.visualize.page import CHAPTERS
from training.visualize.study import PanelEntry, Snapshot, angles, train, true_accept_rate
from training.visualize.theme import COLOURS

Drawn = tuple[Path, dict[str, Any]]


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
    entries = (PanelEntry("a", "softmax"), PanelEntry("b", "arcface", {"margin": 0.3, "scale": 10.0}))
    softmax, arcface = ([train(entry, digits, seed, 20) for seed in range(3)] for entry in entries)
    assert min(outcome.accuracy for outcome in softmax) > 0.6
    assert statistics.fmean(o.within / o.between for o in arcface) < 0.9 * statistics.fmean(o.within / o.between for o in softmax)


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


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ((20, 28, 28), np.zeros(20)),
        ((20, 28, 28), np.arange(20)),
        ((20, 28, 28), np.arange(20) % 3 * 2),
        ((20, 28, 28), np.arange(19) % 2),
        ((20, 32, 32), np.arange(20) % 2),
    ],
    ids=["one class", "more classes than colours", "a class without images", "a label too few", "larger images"],
)
def test_idx_files_that_no_picture_can_show_are_refused(tmp_path: Path, images: tuple[int, ...], labels: np.ndarray) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros(images, np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels.astype(np.uint8))
    with refused("digits", "; give "):
        idx_folder(tmp_path)


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


def test_every_dial_and_picture_has_two_sentences() -> None:
    assert set(DIALS) == {entry.title for entry in ENTRIES}
    assert sorted(PICTURES) == sorted(name for chapter in CHAPTERS for name in chapter.pictures)
    for words in (*DIALS.values(), *PICTURES.values()):
        assert len(re.findall(r"[.!?](?: |$)", words)) == 2, words


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """The folder and the JSON of the command on a small run."""
    folder, printed = tmp_path_factory.mktemp("drawn"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(argument, "ACTIVE_STEPS", 30)
        patch.setattr("training.visualize.DEBIAN_FASHION", folder / "absent")
        patch.setattr("training.visualize.NAN_SEEDS", 2)
        patch.setattr("training.visualize.FRAMES", 6)
        assert main(["visualize", "--out", str(folder), "--losses", "Softmax", "ArcFace", "--epochs", "1", "--seeds", "2", "--processes", "1", "--json"]) == 0
    return folder, json.loads(printed.getvalue())


def test_the_command_prints_the_tables(drawn: Drawn) -> None:
    printed = drawn[1]
    assert [row["loss"] for row in printed["losses"]] == ["Softmax", "ArcFace"]
    assert 0 < printed["losses"][1]["tar"]["mean"] <= 100
    assert [row["loss"] for row in printed["Center loss by λ"]] == ["λ = 0", "λ = 0.001", "λ = 0.1", "λ = 1"]
    assert all(0 < row["tar_l1"]["mean"] <= 100 for row in printed["Losses on pairs"])
    assert len(printed["Triplets by mining and α"]) == 12
    assert {form: len(steps) for form, steps in printed["nan_steps"].items()} == {"as written": 2, "own gradient": 2, "own gradient, clamped": 2}
    assert printed["ranks_that_differ"] == 0


def test_the_page_shows_every_picture_and_none_is_blank(drawn: Drawn) -> None:
    folder, _ = drawn
    page = (folder / "index.html").read_text(encoding="utf-8")
    shown = re.findall(r'<img class="(?:light|dark)" loading="lazy" src="([^"]+)"', page)
    files = {path.name for path in folder.iterdir() if path.suffix in (".png", ".gif")}
    assert sorted(shown) == sorted(files)
    assert files == {name for picture in PICTURES for name in (picture, picture.replace(".", "-dark."))}
    for name in files:
        with Image.open(folder / name) as picture:
            assert len(np.unique(np.asarray(picture))) > 8, name  # something is drawn
            assert name.startswith("training") == (getattr(picture, "n_frames", 1) > 3)
    assert all(escape(words) in page for words in PICTURES.values())


def test_the_page_loads_nothing_from_elsewhere(drawn: Drawn) -> None:
    page = (drawn[0] / "index.html").read_text(encoding="utf-8")
    assert "<!--" not in page.replace("<!doctype", "")  # every part is filled in
    assert not re.search(r"https?://|src=\W?//|@import|url\(|fetch\(|XMLHttpRequest", page)


def test_dark_pictures_are_dark_with_the_same_colours_for_classes(drawn: Drawn) -> None:
    folder, _ = drawn
    light, dark = (np.asarray(Image.open(folder / f"panel{suffix}.png").convert("RGB")) for suffix in ("", "-dark"))
    assert light.mean() > 200 and dark.mean() < 70
    for picture in (light, dark):
        far = [np.abs(picture.reshape(-1, 3).astype(int) - rgb(colour)).sum(1).min() for colour in COLOURS]
        assert max(far) < 120  # 256 colours in all


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])


def test_the_page_works_from_disk_in_a_browser(drawn: Drawn) -> None:
    browser.needed_chromium()
    with browser.chromium(390, 800) as driver:
        driver.get((drawn[0] / "index.html").as_uri())
        dial, paper = "return document.querySelector('#compare canvas').toDataURL()", "return getComputedStyle(document.body).backgroundColor"
        wide, before = driver.execute_script("return document.documentElement.scrollWidth"), driver.execute_script(dial)
        driver.execute_script("const slider = document.getElementById('slider'); slider.value = 0; slider.dispatchEvent(new Event('input'));")
        after, moment = driver.execute_script(dial), driver.find_element("id", "moment").text
        light = driver.execute_script(paper)
        driver.find_element("id", "theme").click()
        shown = driver.execute_script("return [...document.images].filter((image) => image.offsetWidth).map((image) => image.getAttribute('src'))")
        assert wide == 390
        assert moment == "epoch 0.0, step 0"
        assert before != after
        assert driver.execute_script(paper) != light
        assert shown and all("-dark." in name for name in shown)
        assert driver.get_log("browser") == []


def test_an_unknown_loss_is_refused_with_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["visualize", "--out", str(tmp_path), "--losses", "ArcFase"]) == 1
    assert "ArcFase: not in the panel; it has Softmax" in capsys.readouterr().err
