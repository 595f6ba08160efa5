"""Fill the hidden channels of pruned nets up to whole blocks with zeros: the same function, exactly, in less time.

onnxruntime computes convolutions on blocks of 8 or 16 channels. A depthwise layer whose channels are no whole number of blocks, such as 103 after
pruning, is computed channel by channel in another layout, and converted to it and back (docs/experiments-liveness.md). A channel whose weights are zero
gives zero and adds nothing to what follows.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from training.backbones.minifasnet import LinearBlock, MiniFASNet, Unit

BLOCK = 16  # channels: AVX-512's; the others' divide it


def filled(net: MiniFASNet, block: int = BLOCK) -> MiniFASNet:
    """A copy whose blocks have hidden channels in whole multiples of `block`."""
    wider = copy.deepcopy(net)
    for part in wider.modules():
        if isinstance(part, LinearBlock):
            hidden = part.conv.conv.out_channels
            _fill(part, hidden + -hidden % block)
    return wider


def _fill(part: LinearBlock, hidden: int) -> None:
    for unit in (part.conv, part.conv_dw):
        _more_outputs(unit, hidden)
    part.conv_dw.conv.groups = part.conv_dw.conv.in_channels = hidden
    part.project.conv.weight = _longer(part.project.conv.weight, hidden, dimension=1)
    part.project.conv.in_channels = hidden


def _more_outputs(unit: Unit, channels: int) -> None:
    """Convolution, batch norm and PReLU whose further channels give zero for any input."""
    unit.conv.weight, unit.conv.out_channels = _longer(unit.conv.weight, channels), channels
    norm = unit.bn
    norm.weight, norm.bias, norm.num_features = _longer(norm.weight, channels), _longer(norm.bias, channels), channels
    norm.running_mean = _longer(norm.running_mean, channels).data
    assert norm.running_var is not None and isinstance(unit.prelu, nn.PReLU)
    norm.running_var = torch.cat([norm.running_var, torch.ones(channels - len(norm.running_var))])  # a variance of zero would divide by almost nothing
    unit.prelu.weight, unit.prelu.num_parameters = _longer(unit.prelu.weight, channels), channels


def _longer(values: torch.Tensor | None, size: int, dimension: int = 0) -> nn.Parameter:
    """With zeros after the values, `size` in all along a dimension."""
    assert values is not None
    shape = list(values.shape)
    shape[dimension] = size - shape[dimension]
    return nn.Parameter(torch.cat([values.detach(), torch.zeros(shape)], dimension))
