import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.refused import refused
from training import __main__, backbones, channel_pruning, checkpoint, config
from training.backbones.mobilefacenet import MobileFaceNet, Shape
from training.model import EmbedderNet
from training.recordio import Record, write_records
from training.synthetic import draw

TABLE = ((16, 8, 3, 2), (24, 16, 1, 2), (24, 16, 2, 1), (24, 16, 1, 2))


@pytest.fixture
def net() -> MobileFaceNet:
    """A small MobileFaceNet whose batch norms have the statistics of noise."""
    torch.manual_seed(0)
    made = MobileFaceNet(12, "relu6", Shape(16, TABLE, 32))
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
            layer.momentum = None  # a plain mean
    made.train()(pixels(32))
    return made.eval()


def pixels(count: int) -> torch.Tensor:
    return F.interpolate(torch.randn(count, 3, 28, 28), scale_factor=4.0)


def smaller(stem: int, inside: int, blocks: int, head: int = 32, side: int = 112) -> MobileFaceNet:
    table = ((inside, 8, blocks, 2), (24, 16, 1, 2), (24, 16, 2, 1), (24, 16, 1, 2))
    return MobileFaceNet(12, "relu6", Shape(stem, table, head, side)).eval()


def test_a_fit_finds_the_channels_and_weights_of_a_known_layer() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(500, 9))
    weight = random.normal(size=(4, 3))
    wanted = features[:, [1, 4, 8]] @ weight.T + [1.0, 2.0, 3.0, 4.0]
    found = channel_pruning.fit(torch.tensor(features), torch.tensor(wanted), 3, ridge=1e-9)
    assert found.kept.tolist() == [1, 4, 8]
    np.testing.assert_allclose(found.weight, weight, atol=1e-5)
    np.testing.assert_allclose(found.bias, [1, 2, 3, 4], atol=1e-5)


def test_fewer_channels_leave_the_error_of_least_squares() -> None:
    random = np.random.default_rng(1)
    features, wanted = random.normal(size=(400, 6)) @ random.normal(size=(6, 6)), random.normal(size=(400, 2))
    found = channel_pruning.fit(torch.tensor(features), torch.tensor(wanted), 4, ridge=1e-9)
    known = np.column_stack([features[:, found.kept.numpy()], np.ones(400)])
    expected, *_ = np.linalg.lstsq(known, wanted, rcond=None)
    np.testing.assert_allclose(np.column_stack([found.weight, found.bias]), expected.T, atol=1e-5)


@torch.no_grad()
def test_channels_that_nobody_reads_go_and_the_embeddings_stay(net: MobileFaceNet) -> None:
    for block in list(net.features)[:3]:
        block.conv[2].weight[:, torch.randperm(16)[:6]] = 0
    net.features[2].conv[3].weight.zero_()  # a block that adds nothing
    net.features[2].conv[3].bias.zero_()
    crops, pruned = pixels(32), smaller(16, 10, 2)
    channel_pruning.prune(net, pruned, crops)
    cosine = torch.cosine_similarity(net(crops), pruned(crops))
    assert float(cosine.min()) > 0.999


@torch.no_grad()
def test_channels_of_the_head_go_that_the_embedding_does_not_need(net: MobileFaceNet) -> None:
    net.conv3.weight[:, torch.randperm(32)[:12]] = 0
    crops, pruned = pixels(64), smaller(16, 16, 3, head=20)
    channel_pruning.prune(net, pruned, crops)
    assert float(torch.cosine_similarity(net(crops), pruned(crops)).min()) > 0.999


@torch.no_grad()
def test_a_net_of_smaller_crops_sees_even_crops_as_the_larger_net_does(net: MobileFaceNet) -> None:
    even, pruned = torch.randn(8, 3, 1, 1).expand(-1, -1, 112, 112), smaller(16, 16, 3, side=96)
    for layer in (*net.modules(), *pruned.modules()):
        if isinstance(layer, nn.Conv2d) and layer.padding != (0, 0):  # borders differ between the sizes
            layer.padding_mode, layer._reversed_padding_repeated_twice = "replicate", [1, 1, 1, 1]
    channel_pruning.prune(net, pruned, pixels(64))
    assert float(torch.cosine_similarity(net(even), pruned(even)).min()) > 0.99


def test_a_wider_or_longer_target_is_refused(net: MobileFaceNet) -> None:
    for target in (smaller(16, 20, 3), smaller(16, 16, 4), smaller(16, 16, 3, 40), smaller(16, 16, 3, 32, 128), backbones.build("mobilefacenet-short", 12)):
        with refused("clockface", "the same stages"):
            channel_pruning.prune(net, target, torch.zeros(2, 3, 112, 112))


def test_the_command_prunes_on_crops_and_asks_for_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = config.load("smoke", ("backbone.name = 'mobilefacenet-relu6'",))
    weights, out = tmp_path / "mobile.pt", tmp_path / "out" / "short.pt"
    checkpoint.save(weights, {"embedder": EmbedderNet(recipe.backbone).state_dict(), "step": 1, "images": 2}, recipe)
    assert __main__.main(["prune", str(weights), "mobilefacenet-short", str(out)]) == 1
    assert "--rec" in capsys.readouterr().err and not out.exists()
    rec = tmp_path / "faces.rec"
    faces = [Record((float(number),), cv2.imencode(".png", draw(number, 0))[1].tobytes()) for number in range(6)]
    write_records(rec, list(enumerate([Record((7.0, 7.0), b""), *faces])))
    assert __main__.main(["prune", str(weights), "mobilefacenet-short", str(out), "--rec", str(rec), "--crops", "4"]) == 0
    _, pruned = checkpoint.load_embedder(out)
    assert pruned.backbone == dataclasses.replace(recipe.backbone, name="mobilefacenet-short")
