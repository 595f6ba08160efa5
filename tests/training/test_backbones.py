from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.refused import refused
from training import backbones
from training.backbones.cost import cost


def test_cost_of_a_net_counted_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 4, 4, bias=False), nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.Flatten(), nn.Linear(8 * 28 * 28, 5))
    found = cost(net)
    assert found.macs == 28 * 28 * 8 * 48 + 28 * 28 * 8 * 9 + 8 * 28 * 28 * 5
    assert found.operations == 2 * found.macs
    assert found.parameters == 8 * 48 + 8 * 9 + 8 * 28 * 28 * 5 + 5


@pytest.mark.parametrize("name", ["edge", "edge-basic", "edge-inverted", "edge-hybrid"])
def test_edge_backbones_keep_their_budget(name: str) -> None:
    found = cost(backbones.build(name, 192))
    assert found.parameters <= 1_400_000
    assert found.macs <= 160_000_000


@pytest.mark.parametrize(
    ("name", "size", "millions", "mega_macs"),
    [("mobilefacenet", 512, 1.20, 221), ("iresnet18", 512, 24.03, 2610), ("iresnet50", 512, 43.59, 6310)],
)
def test_published_backbones_have_their_published_size(name: str, size: int, millions: float, mega_macs: float) -> None:
    found = cost(backbones.build(name, size))
    assert found.parameters / 1e6 == pytest.approx(millions, rel=0.005)
    assert found.macs / 1e6 == pytest.approx(mega_macs, rel=0.01)


@pytest.mark.parametrize("name", ["edge", "edge-basic", "edge-inverted", "edge-hybrid", "mobilefacenet"])
def test_embedding_has_the_size_asked_for_and_every_parameter_learns(name: str) -> None:
    net = backbones.build(name, 24)
    out = net(torch.randn(3, 3, 112, 112))
    assert out.shape == (3, 24)
    out.square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_unknown_backbone_lists_the_known() -> None:
    with refused("clockface", "mobilefacenet"):
        backbones.build("resnext", 192)
