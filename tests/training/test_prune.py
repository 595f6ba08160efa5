import dataclasses

import pytest
import torch
from torch import nn

from tests.refused import refused
from training import __main__, backbones, checkpoint, config, prune
from training.backbones.edge import EdgeNet, Residual
from training.model import EmbedderNet


@pytest.fixture
def fused() -> EdgeNet:
    """`edge` whose batch norms have all been somewhere, so that nothing is the identity by chance."""
    torch.manual_seed(0)
    net = backbones.build("edge", 24)
    for layer in net.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                nn.init.uniform_(tensor, 0.5, 1.0)
    return net.eval()


def test_the_same_size_is_the_same_net(fused: EdgeNet) -> None:
    copied = backbones.build("edge", 24).eval()
    prune.prune(fused, copied)
    crops = torch.randn(2, 3, 112, 112)
    assert torch.equal(fused(crops), copied(crops))


@torch.no_grad()
def test_channels_that_nobody_reads_are_the_ones_that_go(fused: EdgeNet) -> None:
    slim = backbones.build("edge-slim", 24).eval()
    widths = [layer for layer in slim.trunk if not isinstance(layer, Residual)]
    dead: torch.Tensor = torch.tensor([], dtype=torch.long)  # channels of the stage
    narrow = iter(widths)
    for layer, small in zip(fused.trunk, slim.trunk, strict=True):
        if isinstance(layer, Residual):
            layer.body[0][0].weight[:, dead] = 0
            wide = layer.body[0][0].out_channels
            unread = torch.randperm(wide)[: wide - small.body[0][0].out_channels]
            layer.body[1][0].weight[:, unread] = 0
        else:
            if layer[0].groups == 1 and len(dead):
                layer[0].weight[:, dead] = 0
            channels = layer[0].out_channels
            dead = torch.randperm(channels)[: channels - next(narrow)[0].out_channels]
    crops = torch.randn(2, 3, 112, 112)
    prune.prune(fused, slim)
    torch.testing.assert_close(slim(crops), fused(crops), rtol=1e-4, atol=1e-4)


def test_a_wider_target_is_refused(fused: EdgeNet) -> None:
    with refused("clockface", "none of them wider"):
        prune.prune(backbones.build("edge-slim", 24), fused)
    with refused("clockface", "the same layers"):
        prune.prune(fused, backbones.build("edge-basic", 24))


def test_the_command_writes_weights_that_train_takes(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = config.load("smoke", ("backbone.name = 'edge'",))
    checkpoint.save(tmp_path / "edge.pt", {"embedder": EmbedderNet(recipe.backbone).state_dict(), "step": 1, "images": 2}, recipe)
    assert __main__.main(["prune", str(tmp_path / "edge.pt"), "edge-slim", str(tmp_path / "out" / "slim.pt")]) == 0
    _, pruned = checkpoint.load_embedder(tmp_path / "out" / "slim.pt")
    assert pruned.backbone == dataclasses.replace(recipe.backbone, name="edge-slim")
    assert __main__.main(["prune", str(tmp_path / "edge.pt"), "mobilefacenet", str(tmp_path / "no.pt")]) == 1
    assert "of the same kind" in capsys.readouterr().err and not (tmp_path / "no.pt").exists()
