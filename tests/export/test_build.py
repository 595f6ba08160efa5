"""A built file meets the contract and gives the same embeddings as torch; the oracle is torch itself, layer by layer, without folding."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from device.vision.embedder import Embedder
from export import artefact
from export.__main__ import main
from export.adopt import in_one_run, smooth_crops
from export.build import BATCHES, IR_VERSION, OPSET, build, check
from tests.export.conftest import WEIGHTS
from tests.refused import refused
from training.checkpoint import load_embedder
from training.config import BackboneSettings
from training.model import EmbedderNet


def random_net(name: str) -> EmbedderNet:
    """A net with random weights whose batch norms are not the identity."""
    torch.manual_seed(0)
    net = EmbedderNet(BackboneSettings(name, 16)).train()
    for layer in net.modules():
        if isinstance(layer, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.0)
            torch.nn.init.uniform_(layer.bias, -0.1, 0.1)
    net(torch.from_numpy(smooth_crops(8)))
    return net.eval()


@pytest.mark.parametrize("name", ["edge-hybrid", "mobilefacenet", "mobilefacenet-relu6"])
def test_any_backbone_agrees_with_torch_and_is_folded(name: str, tmp_path: Path) -> None:
    trained = random_net(name)
    model = build(trained)
    artefact.set_card(model, artefact.first_card(model, name, "float32", "none", "MIT", "none"))
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    assert check(path, trained) >= 0.99999
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert "BatchNormalization" not in kinds and kinds.count("Conv") > 10


def test_the_file_meets_the_contract(float_model: Path) -> None:
    model = onnx.load(float_model)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)] and model.ir_version == IR_VERSION
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [file.name for file in float_model.parent.iterdir() if file.suffix in (".onnx", ".data")] == [float_model.name]
    trained, _ = load_embedder(WEIGHTS)
    embedder = Embedder(float_model, "cpu")
    for batch in BATCHES:
        crops = smooth_crops(batch)
        with torch.inference_mode():
            expected = trained.unit(torch.from_numpy(crops)).numpy()
        assert np.sum(in_one_run(float_model, crops) * expected, axis=1).min() >= 0.99999
    assert embedder.card.model_id == artefact.model_id(model)


def test_opencv_reads_the_float_model(float_model: Path) -> None:
    net = cv2.dnn.readNetFromONNX(str(float_model))
    crops = smooth_crops(3)
    net.setInput(crops)
    assert np.sum(net.forward() * Embedder(float_model, "cpu").embed(crops), axis=1).min() >= 0.99999


def test_weights_of_another_net_do_not_pass(float_model: Path) -> None:
    with refused("build.other"):
        trained = EmbedderNet(BackboneSettings("edge", 192)).eval()
        check(float_model, trained)


def test_without_readable_weights_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.pt").write_bytes(b"hello")
    options = ["--licence", "MIT", "--training-data", "none"]
    assert main(["build", str(tmp_path / "no.pt"), "--out", str(tmp_path / "out.onnx"), *options]) == 1
    assert main(["build", str(tmp_path / "absent.pt"), "--out", str(tmp_path / "out.onnx"), *options]) == 1
    assert "no.pt" in (errors := capsys.readouterr().err) and "absent.pt" in errors
    assert not (tmp_path / "out.onnx").exists()
