"""Half way between the start of a stage and its end, by hand."""

from __future__ import annotations

import torch
from torch import nn

from training.averaging import HalfWay


def set_to(net: nn.Linear, value: float) -> None:
    with torch.no_grad():
        net.weight.fill_(value)


def test_a_stage_ends_half_way_and_the_next_starts_there() -> None:
    net = nn.Linear(2, 2, bias=False)
    set_to(net, 1.0)
    halfway = HalfWay(net, stage=2)
    set_to(net, 3.0)
    halfway.update(net)
    assert halfway.of(net).weight.unique().tolist() == [2.0]  # type: ignore[union-attr]
    assert net.weight.unique().tolist() == [3.0]
    set_to(net, 5.0)
    halfway.update(net)
    assert net.weight.unique().tolist() == [3.0]
    set_to(net, 4.0)
    assert halfway.of(net).weight.unique().tolist() == [3.5]  # type: ignore[union-attr]


def test_a_stage_goes_on_from_what_a_checkpoint_keeps() -> None:
    net = nn.Linear(2, 2, bias=False)
    set_to(net, 1.0)
    saved = HalfWay(net, stage=2).saved(net)
    set_to(net, 5.0)
    again = HalfWay(net, stage=2)
    again.load({**saved, "step": 1})
    assert again.of(net).weight.unique().tolist() == [3.0]  # type: ignore[union-attr]
    again.update(net)
    assert net.weight.unique().tolist() == [3.0]
