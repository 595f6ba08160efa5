"""A packed folder has the same crops, embeddings and settings as the recipe, is no larger than allowed, and is its owner's alone."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.refused import refused
from tests.training.test_data import folder_set, record_set
from training import config, pack
from training.__main__ import main
from training.data import Crops
from training.teacher import write

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe with two sources, of one only some rows, and a folder for validation."""
    record_set(tmp_path / "a.rec", [7, 7, -1, 9, 9])
    record_set(tmp_path / "b.rec", [1, 1, 2, 2])
    lines = ["key\tsource", *(f"{key}\t{'x' if key % 2 else 'y'}" for key in range(1, 5))]
    (tmp_path / "b.tsv").write_text("\n".join(lines) + "\n")
    for name, count in (("a", 5), ("b", 2)):
        rows = np.random.default_rng(count).normal(size=(count, 16))
        write(tmp_path / f"{name}.npz", embedding=(rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    folder_set(tmp_path / "others")
    sources = [
        f"path = '{tmp_path}/a.rec', fill_black = true, teacher = '{tmp_path}/a.npz'",
        f"path = '{tmp_path}/b.rec', rows = 'source = x', teacher = '{tmp_path}/b.npz'",
    ]
    lines = [f"data = {{ validation = '{tmp_path}/others', sources = [{{ {sources[0]} }}, {{ {sources[1]} }}] }}", "backbone.embedding_size = 16"]
    lines += ["distill.cosine = 1.0", "loss.name = 'arcface'", "loss.options = { margin = 0.3 }"]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines))
    return path


def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> config.Recipe:
    monkeypatch.setenv("CLOCKFACE_PACK", str(folder))
    return config.load(str(folder / "recipe.toml"))


def test_everything_is_in_the_folder(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(recipe), "--out", str(tmp_path / "pack"), "--init", "models/clockface-edge.pt"]) == 0
    assert "7 crops" in capsys.readouterr().out
    before, after = config.load(str(recipe)), opened(tmp_path / "pack", monkeypatch)
    assert dataclasses.replace(after, data=before.data) == before
    first, second = Crops(before.data), Crops(after.data)
    assert second.labels.tolist() == first.labels.tolist() == [0, 0, -1, 1, 1, 2, 3]
    assert all(np.array_equal(first.crop(i), second.crop(i)) for i in range(7))
    assert first.teacher is not None and second.teacher is not None
    assert (first.teacher * second.teacher).sum(1).min() > 0.9999  # int8
    assert sorted(p.name for p in (tmp_path / "pack" / "validation").glob("*/*")) == ["0.png", "0.png", "1.png", "1.png", "2.png", "2.png"]
    assert (tmp_path / "pack" / "init.pt").read_bytes() == Path("models/clockface-edge.pt").read_bytes()
    modes = {oct(path.stat().st_mode & 0o777) for path in [tmp_path / "pack", *(tmp_path / "pack").rglob("*")]}
    assert modes == {"0o700", "0o600"}


def test_some_crops_keep_their_embeddings(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["pack", str(recipe), "--out", str(tmp_path / "pack"), "--crops", "4"]) == 0
    first, second = Crops(config.load(str(recipe)).data), Crops(opened(tmp_path / "pack", monkeypatch).data)
    assert first.teacher is not None and second.teacher is not None and len(second) == 4
    partner = (second.teacher @ first.teacher.T).argmax(1)
    assert len(set(partner)) == 4
    assert all(np.array_equal(first.crop(int(partner[i])), second.crop(i)) for i in range(4))


def test_a_folder_that_is_too_large_is_not_written(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(recipe), "--out", str(tmp_path / "pack"), "--max-mb", "0.1"]) == 1
    said = capsys.readouterr().err
    assert "MB for 7 crops, more than --max-mb 0.1" in said and "--crops" in said
    assert not (tmp_path / "pack").exists()


def test_the_size_that_is_said_is_that_of_the_files(recipe: Path, tmp_path: Path) -> None:
    settings = config.load(str(recipe))
    sources, files = pack.packed(settings, 0), pack.files_of(settings, None)
    pack.write(tmp_path / "pack", settings, sources, files)
    said = sum(source.size for source in sources) + sum(file.stat().st_size for file in files.values())
    assert sum(os.path.getsize(path) for path in (tmp_path / "pack").rglob("*") if path.is_file()) == pytest.approx(said, abs=4000)  # the recipe, headers


def test_what_cannot_be_packed_is_refused(recipe: Path, tmp_path: Path) -> None:
    with refused("pack", "has 7 crops"):
        pack.packed(config.load(str(recipe)), 8)
    with refused("pack", "recordio"):
        pack.packed(config.load("smoke"), 0)
    assert main(["pack", str(recipe), "--out", str(tmp_path)]) == 1  # it exists


@pytest.mark.parametrize("path", sorted(config.CONFIGS.glob("*.toml")), ids=lambda p: p.stem)
def test_a_recipe_survives_as_toml(path: Path) -> None:
    recipe = config.load(path.stem)
    assert config.from_table(tomllib.loads(pack.toml(dataclasses.asdict(recipe)))) == recipe
