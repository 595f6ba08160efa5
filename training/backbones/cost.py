"""The cost of a backbone: parameters, multiply-accumulates (MACs) of convolutions and linear layers, and 2 x MACs as the count of operations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from device.contract import CROP_SIZE


@dataclass(frozen=True)
class Cost:
    parameters: int
    macs: int  # of one crop

    @property
    def operations(self) -> int:
        """2 x MACs; papers use "FLOPs" for this number as well as for MACs."""
        return 2 * self.macs


def cost(backbone: nn.Module) -> Cost:
    """Count by one forward pass of a crop; batch norm and activations are not counted."""
    macs = 0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal macs
        assert isinstance(layer.weight, torch.Tensor)
        macs += layer.weight.numel() * math.prod(output.shape[2:])  # each weight is used once at each position

    hooks = [m.register_forward_hook(count) for m in backbone.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    was_training = backbone.training
    with torch.inference_mode():
        backbone.eval()(torch.zeros(1, 3, CROP_SIZE, CROP_SIZE))
    backbone.train(was_training)
    for hook in hooks:
        hook.remove()
    return Cost(sum(p.numel() for p in backbone.parameters()), macs)
