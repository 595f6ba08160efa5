"""The embedder accepts only a model that keeps the contract, and says why it refuses another."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from device.contract import CARD_KEY, CARD_SCHEMA, ModelCard
from device.vision import catalogue
from device.vision.embedder import Embedder
from tests.refused import refused

CARD = ModelCard(CARD_SCHEMA, "0" * 64, "tiny", 3, 112, "RGB", "five-point", "float32", "none", "MIT", "none", (), (), ())


def tiny(path: Path, card: str | None = CARD.to_json(), kind: int = TensorProto.UINT8, shape: tuple[object, ...] = ("N", 112, 112, 3), size: int = 3) -> Path:
    """A model whose embedding is the mean colour of the crop, made unit length."""
    steps = [
        helper.make_node("Cast", ["crops"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("LpNormalization", ["mean"], ["embeddings"], axis=1, p=2),
    ]
    crops = helper.make_tensor_value_info("crops", kind, shape)
    embeddings = helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", size])
    graph = helper.make_graph(steps, "tiny", [crops], [embeddings])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if card is not None:
        helper.set_model_props(model, {CARD_KEY: card})
    path.write_bytes(model.SerializeToString())
    return path


def test_embeddings_equal_the_graph_s_output_for_any_number_of_crops(tmp_path: Path) -> None:
    embedder = Embedder(tiny(tmp_path / "tiny.onnx"), "cpu", 1)
    crops = np.random.default_rng(0).integers(0, 256, (5, 112, 112, 3), dtype=np.uint8)
    mean = crops.astype(np.float64).mean(axis=(1, 2))
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    for count in (1, 5):
        got = embedder.embed(crops[:count])
        assert got.dtype == np.float32 and got.shape == (count, 3)
        np.testing.assert_allclose(got, expected[:count], atol=1e-5)
    assert embedder.embed(crops[:0]).shape == (0, 3)


def test_auto_reports_each_provider_that_was_tried(tmp_path: Path) -> None:
    embedder = Embedder(tiny(tmp_path / "tiny.onnx"))
    assert embedder.card == CARD
    assert embedder.provider_report[-1] == f"{embedder.provider}: in use"
    assert [line.split(":")[0] for line in embedder.provider_report][0] == "tensorrt"


def test_a_provider_named_in_the_settings_must_be_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with refused("embedder.provider", "cuda"):
        Embedder(tiny(tmp_path / "tiny.onnx"), "cuda")


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        ({"card": None}, "no_card", "export adopt"),
        ({"card": "not JSON"}, "card", "model card"),
        ({"card": json.dumps({**json.loads(CARD.to_json()), "surprise": 1})}, "card", "surprise"),
        ({"card": json.dumps({**json.loads(CARD.to_json()), "colour_order": "BGR"})}, "card", "colour_order expected 'RGB', got 'BGR'"),
        ({"card": dataclasses.replace(CARD, embedding_size=4).to_json()}, "graph", "output"),
        ({"kind": TensorProto.FLOAT}, "graph", "tensor(uint8)"),
        ({"shape": (1, 112, 112, 3)}, "graph", "input"),
        ({"shape": ("N", 96, 112, 3)}, "graph", "input"),
    ],
)
def test_a_model_that_breaks_the_contract_is_refused_with_the_reason(change: dict[str, object], code: str, word: str, tmp_path: Path) -> None:
    with refused(f"contract.{code}", word):
        Embedder(tiny(tmp_path / "tiny.onnx", **change), "cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize(("kept", "code"), [(0, "embedder.file"), (40, "embedder.file"), (-7, "embedder.file")])
def test_a_truncated_file_is_refused(kept: int, code: str, tmp_path: Path) -> None:
    path = tiny(tmp_path / "tiny.onnx")
    path.write_bytes(path.read_bytes()[:kept])
    with refused(code, "tiny.onnx"):
        Embedder(path, "cpu")


@pytest.mark.parametrize("crops", [np.zeros((1, 112, 112, 3), np.float32), np.zeros((112, 112, 3), np.uint8), np.zeros((1, 3, 112, 112), np.uint8)])
def test_crops_of_another_shape_or_type_are_refused(crops: np.ndarray, tmp_path: Path) -> None:
    with refused("contract.crops"):
        Embedder(tiny(tmp_path / "tiny.onnx"), "cpu").embed(crops)


def test_packed_weights_give_the_same_embeddings(tmp_path: Path) -> None:
    """int8 weights with a scale, unpacked once at the start, give the same product as a calculation in numpy."""
    weights = np.random.default_rng(1).integers(-127, 128, (3, 2), dtype=np.int8)
    model = onnx.load(tiny(tmp_path / "tiny.onnx"))
    graph = model.graph
    graph.initializer.extend([numpy_helper.from_array(weights, "packed"), numpy_helper.from_array(np.float32(0.01), "scale")])
    graph.node[2].input[0] = "projected"
    more = [helper.make_node("DequantizeLinear", ["packed", "scale"], ["weights"]), helper.make_node("MatMul", ["mean", "weights"], ["projected"])]
    steps = [graph.node[0], graph.node[1], *more, graph.node[2]]
    rebuilt = helper.make_graph(steps, "packed", graph.input, [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", 2])], graph.initializer)
    model = helper.make_model(rebuilt, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {CARD_KEY: dataclasses.replace(CARD, embedding_size=2).to_json()})
    (tmp_path / "packed.onnx").write_bytes(model.SerializeToString())
    crops = np.random.default_rng(2).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    expected = crops.astype(np.float64).mean(axis=(1, 2)) @ (weights * 0.01)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(Embedder(tmp_path / "packed.onnx", "cpu").embed(crops), expected, atol=1e-4)


def test_sface_agrees_with_opencv(shared: Path) -> None:
    """Oracle: OpenCV's own FaceRecognizerSF on the plain file."""
    import cv2

    try:
        adopted, plain = catalogue.path("sface"), catalogue.path("sface-plain")
    except catalogue.ModelError:
        pytest.skip("models not pulled; run `make setup`")
    recognizer = cv2.FaceRecognizerSF.create(str(plain), "")
    files = sorted((shared / "faces" / "groups").glob("*.*"))
    images = [image for file in files[:12] if (image := cv2.imread(str(file))) is not None and image.shape == (112, 112, 3)]
    assert len(images) >= 4
    expected = np.concatenate([recognizer.feature(image) for image in images])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    got = Embedder(adopted, "cpu").embed(np.stack([image[:, :, ::-1] for image in images]))
    assert np.sum(got * expected, axis=1).min() >= 0.9999
