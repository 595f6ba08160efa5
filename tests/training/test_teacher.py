"""Any ONNX embedder as a model to evaluate and as a teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.refused import refused
from training import teacher
from training.config import DataSettings, SourceSettings
from training.data import Crops
from training.embedding import embed_all, open_model
from training.synthetic import SyntheticReader


def corner_colour(path: Path, kind: int = TensorProto.UINT8, shape: tuple[object, ...] = ("n", 112, 112, 3)) -> Path:
    """A graph whose embedding is the mean colour of the left half: (N, 112, 112, 3) uint8 -> (N, 3)."""
    nodes = [
        helper.make_node("Cast", ["crops"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["float", "start", "end", "axis"], ["left"]),
        helper.make_node("ReduceMean", ["left"], ["out"], axes=[1, 2], keepdims=0),
    ]
    constants = [helper.make_tensor(n, TensorProto.INT64, [1], [v]) for n, v in (("start", 0), ("end", 56), ("axis", 2))]
    entry, out = helper.make_tensor_value_info("crops", kind, shape), helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph(nodes, "g", [entry], [out], constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def unit(row: np.ndarray) -> np.ndarray:
    return row / np.linalg.norm(row)


def test_an_onnx_model_embeds_crops(tmp_path: Path) -> None:
    crops = np.stack([SyntheticReader("3 x 2").crop(i) for i in range(6)])
    rows, _ = embed_all(open_model(corner_colour(tmp_path / "m.onnx")), crops)
    np.testing.assert_allclose(rows, [unit(crop[:, :56].astype(np.float64).mean((0, 1))) for crop in crops], atol=1e-6)


def test_a_model_of_another_contract_is_refused(tmp_path: Path) -> None:
    with refused("clockface", "expected uint8"):
        open_model(corner_colour(tmp_path / "m.onnx", TensorProto.FLOAT, ("n", 224, 224, 3)))


def test_a_teacher_sees_each_crop_and_its_mirror_image_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "CACHE", tmp_path / "cache")
    model = corner_colour(tmp_path / "m.onnx")
    crops = Crops(DataSettings((SourceSettings("3 x 2", "drawn", teacher=str(model)),)))
    assert crops.teacher is not None
    crop = SyntheticReader("3 x 2").crop(4).astype(np.float64)
    expected = unit(unit(crop[:, :56].mean((0, 1))) + unit(crop[:, 56:].mean((0, 1))))
    np.testing.assert_allclose(crops.teacher[4], expected, atol=1e-6)
    (kept,) = (tmp_path / "cache").glob("*.npz")
    assert kept.stat().st_mode & 0o777 == 0o600
    before = kept.stat().st_mtime_ns
    Crops(DataSettings((SourceSettings("3 x 2", "drawn", teacher=str(model)),)))
    assert kept.stat().st_mtime_ns == before  # read, not made again
