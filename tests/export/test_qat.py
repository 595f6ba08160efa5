"""Quantization-aware training: the fake quantization is as coarse as int8, and the result is a float model that meets the contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import fx, nn

from device.vision.embedder import Embedder
from export import artefact, build, qat
from tests.refused import refused
from training.backbones import SIGNED, edge
from training.backbones.folding import folded
from training.config import BackboneSettings
from training.model import EmbedderNet
from training.synthetic import draw

pytest.importorskip("torchao")


def faces(people: range) -> np.ndarray:
    return np.stack([draw(person, shot) for person in people for shot in (1, 2, 3, 4)])


def hard_net() -> EmbedderNet:
    """A small net with one channel scaled up a hundred times and scaled down again in the next layer: it takes most of the int8 range."""
    torch.manual_seed(0)
    net = EmbedderNet(BackboneSettings("edge", 16))
    net.backbone = edge.EdgeNet(16, (16, 16, 16), ([edge.fused_block],) * 3, head=32)
    for layer in net.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(layer.weight, 0.5, 1.0)
            nn.init.uniform_(layer.bias, -0.1, 0.1)
    net.train()
    for _ in range(30):
        net(torch.from_numpy(faces(range(20))))
    loud, norm = net.backbone.trunk[1].body[0][:2]
    with torch.no_grad():
        norm.weight[0] *= 100
        norm.bias[0] *= 100
        net.backbone.trunk[1].body[1][0].weight[:, 0] /= 100
    assert isinstance(loud, nn.Conv2d)
    return net.eval()


def written(net: fx.GraphModule, path: Path) -> Path:
    model = build.graph(net, SIGNED)
    artefact.set_card(model, artefact.first_card(model, "net", "float32", "drawn", "MIT", "none"))
    artefact.write(model, path, build.check_file)
    return path


def test_the_result_is_a_float_model_with_new_weights_near_the_teacher(tmp_path: Path) -> None:
    net = hard_net()
    base = written(folded(net.backbone), tmp_path / "base.onnx")
    tuned = qat.train(net, faces(range(10)), seconds=0, steps=10)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in tuned.modules())
    unseen = faces(range(100, 105))
    got, expected = (Embedder(path, "cpu").embed(unseen) for path in (written(tuned, tmp_path / "tuned.onnx"), base))
    assert np.sum(got * expected, axis=1).min() > 0.9 and not np.allclose(got, expected, atol=1e-3)


def test_fake_quantization_is_as_coarse_as_int8(tmp_path: Path) -> None:
    """Its outputs differ from the float net's, but by no more than a fifth of their range."""
    trained = hard_net()
    net = folded(trained.backbone)
    fake = qat.prepared(net)
    pixels = trained.pixels(torch.from_numpy(faces(range(8)))).contiguous()
    with torch.inference_mode():
        wanted, got = net(pixels), fake(pixels)
    apart = (got - wanted).abs().max() / (wanted.max() - wanted.min())
    assert 1e-4 < float(apart) < 0.2


def test_too_few_crops_are_refused() -> None:
    with refused("qat.too_few", "32"):
        qat.train(hard_net(), faces(range(2)), seconds=1)
