"""The joined teacher against what is known of cosines, directions and rotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.refused import refused
from training import __main__, join, teacher
from training.config import SourceSettings
from training.data import reader


def random_units(count: int, size: int, seed: int) -> np.ndarray:
    return join.unit(np.random.default_rng(seed).normal(size=(count, size)))


def test_a_joined_cosine_is_the_weighted_mean_of_both() -> None:
    """With as many directions as there are, nothing is lost by keeping the main ones or by turning them."""
    first, second = random_units(40, 3, 0), random_units(40, 9, 1)
    first = first - first.mean(0)
    rows = join.joined(first, np.hstack([second, np.zeros((40, 3))]), 0.65, 12)
    centred = join.unit(first - first.mean(0))
    np.testing.assert_allclose(rows @ rows.T, 0.65 * centred @ centred.T + 0.35 * second @ second.T, atol=1e-9)


def test_main_directions_are_those_of_a_singular_value_decomposition() -> None:
    rows = np.random.default_rng(2).normal(size=(50, 6)) * [5, 4, 3, 2, 1, 0.5]
    _, _, right = np.linalg.svd(rows)
    found = join.main_directions(rows, 2)
    np.testing.assert_allclose(np.abs(np.diag(right[:2] @ found)), 1, atol=1e-9)


def test_rotation_undoes_a_known_one() -> None:
    rows = random_units(30, 5, 3)
    turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(5, 5)))
    np.testing.assert_allclose(rows @ join.rotation(rows, rows @ turn), rows @ turn, atol=1e-9)


def test_int8_keeps_unit_rows(tmp_path: Path) -> None:
    rows = random_units(20, 128, 5)
    teacher.write(tmp_path / "t.npz", **join.quantized(rows))
    assert np.sum(teacher.load(tmp_path / "t.npz") * rows, axis=1).min() > 0.999


@pytest.fixture
def embedders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings without a model: the mean colour of a row or a column of each crop."""
    colours = {"rows": lambda crops: crops.mean(2), "columns": lambda crops: crops.mean(1)}
    monkeypatch.setattr(teacher, "embeddings", lambda path, source: join.unit(colours[Path(path).stem](stacked(source)).reshape(len(source.names), -1)[:, :8]))


def stacked(source: teacher.NamedCrops) -> np.ndarray:
    return np.stack([source.crop(i) for i in range(len(source.names))]).astype(np.float64)


@pytest.mark.usefixtures("embedders")
def test_the_command_writes_one_file_per_source(tmp_path: Path) -> None:
    sources = f"[{{ kind = 'drawn', path = '5 x 2', teacher = '{tmp_path}/a.npz' }}, {{ kind = 'drawn', path = '3 x 2', teacher = '{tmp_path}/b.npz' }}]"
    command = ["join", "smoke", "--centred", "rows.pt", "--own", "columns.pt", "--set", f"data.sources = {sources}"]
    assert __main__.main(command) == 0
    parts = [teacher.load(tmp_path / name) for name in ("a.npz", "b.npz")]
    assert [part.shape for part in parts] == [(10, 8), (6, 8)]
    np.testing.assert_allclose(np.linalg.norm(np.concatenate(parts), axis=1), 1, atol=1e-3)


def test_a_source_without_a_file_to_write_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["join", "smoke", "--centred", "a.onnx", "--own", "b.pt"]) == 1
    assert "npz" in capsys.readouterr().err


def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CLOCKFACE_SHARED", raising=False)
    assert __main__.main(["join", "everyday", "--centred", "a.onnx", "--own", "b.pt"]) == 1
    assert "export CLOCKFACE_SHARED=" in capsys.readouterr().err


def test_a_corrupted_crop_stops_the_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "embeddings", lambda path, source: np.eye(4)[:, :3])
    with refused("teacher", "1 crops", "drawn person 1, crop 1"):
        join.complete(Path("a.pt"), reader(SourceSettings("2 x 2", "drawn")))
