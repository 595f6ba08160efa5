"""The arranged detector is the published one: OpenCV's own class gives the same candidates with both files, and onnxruntime the same faces."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from device.config import DetectorSettings
from device.vision import catalogue
from device.vision.detector import Detector
from device.vision.images import read_image
from export.__main__ import main
from export.yunet import HEADS, STRIDES, arranged
from tests.refused import refused


@pytest.fixture(scope="module")
def original() -> Path:
    return catalogue.path("yunet-original")


def test_the_shipped_file_is_made_from_the_published_one(original: Path, tmp_path: Path) -> None:
    assert main(["yunet", str(original), str(tmp_path / "yunet.onnx")]) == 0
    assert (tmp_path / "yunet.onnx").read_bytes() == catalogue.path("yunet").read_bytes()


def test_opencv_finds_the_same_candidates_in_both(original: Path) -> None:
    picture = read_image(catalogue.path("portrait-collins"))
    height, width = picture.shape[:2]
    found = []
    for path in (original, catalogue.path("yunet")):
        _, rows = cv2.FaceDetectorYN.create(str(path), "", (width, height), 0.6, 1.0, 200).detect(picture)
        found.append(rows)
    assert len(found[0]) > 5
    np.testing.assert_allclose(found[1], found[0], atol=1e-3)


@pytest.mark.parametrize("size", [(320, 256), (333, 250)], ids=["whole strides", "padded"])
def test_the_detector_finds_what_opencv_finds(original: Path, size: tuple[int, int]) -> None:
    picture = cv2.resize(read_image(catalogue.path("portrait-hopper")), size)
    _, rows = cv2.FaceDetectorYN.create(str(original), "", size, 0.6, 1.0, 200).detect(picture)
    candidates = Detector(catalogue.path("yunet"), DetectorSettings())._candidates(np.asarray(picture, np.uint8))
    assert len(rows) > 5
    np.testing.assert_allclose(candidates, rows[np.argsort(-rows[:, 14], kind="stable")], atol=2e-3)


def test_each_layer_by_the_definition_of_onnx(original: Path) -> None:
    """Every output of both graphs by the reference evaluator, at the one size that the published graph states."""
    model = onnx.load(original)
    crop = np.random.default_rng(0).integers(0, 256, (1, 3, 96, 64)).astype(np.float32)
    for dim, side in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], (96, 64), strict=True):
        dim.dim_value = side
    expected = ReferenceEvaluator(model).run(None, {"input": crop})
    got = ReferenceEvaluator(arranged(onnx.load(original))).run(None, {"input": crop})
    assert [value.name for value in model.graph.output] == [f"{head}_{stride}" for head in HEADS for stride in STRIDES]
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_other_nets_are_refused() -> None:
    weight = numpy_helper.from_array(np.zeros((4, 3, 1, 1), np.float32), "weight")
    source, result = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("input", "cls_8"))
    net = helper.make_model(helper.make_graph([helper.make_node("Conv", ["input", "weight"], ["cls_8"])], "net", [source], [result], [weight]))
    with refused("yunet", "not YuNet as OpenCV publishes it"):
        arranged(net)
