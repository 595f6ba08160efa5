"""Prune a MobileFaceNet to a smaller one: each layer keeps the channels that predict the original output best on real crops, and is fitted to it anew.

Channels are chosen one by one by how much of the original output they explain beside those already chosen; the weights that read them follow by least
squares. Of the residual blocks of a stage the first ones are kept, and the last of these is fitted to the output of the whole stage.
Source: Y. He, X. Zhang, J. Sun, "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017, https://arxiv.org/abs/1707.06168.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from device.contract import ClockfaceError
from training.backbones.mobilefacenet import MobileFaceNet, scaled

RIDGE = 1e-4  # share of the mean variance of a channel that is added to each: channels nearly equal to others get no huge weights
POSITIONS = 60_000  # pixels of the crops that a fit uses


@dataclass(frozen=True)
class Fit:
    """Chosen channels and the layer that reads them: wanted ~ weight @ features[kept] + bias."""

    kept: torch.Tensor  # (K,) int64, ascending
    weight: torch.Tensor  # (O, K) float32
    bias: torch.Tensor  # (O,) float32


@torch.no_grad()
def prune(source: MobileFaceNet, target: MobileFaceNet, pixels: torch.Tensor) -> None:
    """Set the weights of `target`, which has at most the blocks of `source`, at most its channels inside them and in the head, and as many between them.

    A net of a smaller side reads the scaled crops; the global layer of the source is scaled to its side.

    Args:
        pixels: (N, 3, 112, 112) float, normalised crops.

    Raises:
        ClockfaceError: the target is no smaller net of this kind.
    """
    old, new = _stages(source), _stages(target)
    narrower = source.conv3.in_channels >= target.conv3.in_channels and source.side >= target.side
    same = len(old) == len(new) and source.conv3.out_channels == target.conv3.out_channels
    if not narrower or not same or any(not _fits(a, b) for a, b in zip(old, new, strict=True)):
        raise ClockfaceError("the smaller MobileFaceNet must have the same stages and no more blocks or channels, as `mobilefacenet-short` does")
    original, pruned = _stem(source, target, scaled(pixels, target.side))
    for blocks, smaller in zip(old, new, strict=True):
        original, pruned = _stage(blocks, smaller, original, pruned)
    _head(source, target, pruned)


def fit(features: torch.Tensor, wanted: torch.Tensor, count: int, ridge: float = RIDGE) -> Fit:
    """The `count` channels that predict `wanted` best, by greedy choice, and their least-squares weights.

    Shape:
        features: (N, C, H, W) or (N, C). wanted: (N, O, H, W) or (N, O).
    """
    x, y = _rows(features), _rows(wanted)
    step = max(1, len(x) // POSITIONS)
    x, y = x[::step].double(), y[::step].double()
    means, offset = x.mean(0), y.mean(0)
    gram, cross = (x - means).T @ (x - means), (x - means).T @ (y - offset)
    gram += ridge * gram.diag().mean() * torch.eye(len(gram), dtype=gram.dtype)
    kept = _chosen(gram, cross, count)
    weight = torch.linalg.solve(gram[kept][:, kept], cross[kept]).T
    return Fit(kept, weight.float(), (offset - weight @ means[kept]).float())


def _chosen(gram: torch.Tensor, cross: torch.Tensor, count: int) -> torch.Tensor:
    """Forward selection: after each choice the chosen channel is projected out of all others and of the wanted output."""
    gram, cross = gram.clone(), cross.clone()
    kept: list[int] = []
    for _ in range(count):
        gain = cross.square().sum(1) / gram.diag().clamp_min(1e-12)
        gain[kept] = -1.0
        best = int(gain.argmax())
        kept.append(best)
        along, share = gram[:, best] / gram[best, best].sqrt(), cross[best] / gram[best, best].sqrt()
        cross -= along[:, None] * share
        gram -= along[:, None] * along
    return torch.tensor(sorted(kept))


def _stem(source: Any, target: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Prune the layers at 56 px; returns the activations after them of both nets."""
    old, new, reader = source.dw_conv, target.dw_conv, source.features[0].conv[0]
    inside = old.relu1(old.bn1(old.depthwise(source.conv1(pixels))))
    before = old.bn2(old.pointwise(inside))
    original = old.relu2(before.clone())  # in place
    outputs = fit(original, reader[1](reader[0](original)), new.bn2.num_features).kept
    found = fit(inside, before[:, outputs], new.bn1.num_features)
    _copy(source.conv1, target.conv1, found.kept)
    _copy((old.depthwise, old.bn1), (new.depthwise, new.bn1), found.kept)
    _place(new.pointwise, new.bn2, found, inside)
    return original, new(target.conv1(pixels))


def _stage(blocks: list[Any], smaller: list[Any], original: torch.Tensor, pruned: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Prune the blocks of a stage; returns the activations after it of both nets."""
    for number, (old, new) in enumerate(zip(blocks, smaller, strict=False)):
        wanted = old(original)
        if new is smaller[-1]:
            for block in blocks[number + 1 :]:
                wanted = block(wanted)
        _block(old, new, original, pruned, wanted)
        original, pruned = wanted, new(pruned)
    return original, pruned


def _block(old: Any, new: Any, original: torch.Tensor, pruned: torch.Tensor, wanted: torch.Tensor) -> None:
    """Prune a block to give `wanted` for `pruned`; an expansion that reads fewer channels than the old one is fitted, too."""
    up, across = old.conv[0], old.conv[1]
    refitted = None if pruned.shape[1] == original.shape[1] else fit(pruned, up[1](up[0](original)), pruned.shape[1])
    before = up[1](up[0](pruned)) if refitted is None else torch.einsum("nchw,oc->nohw", pruned, refitted.weight) + refitted.bias[:, None, None]
    inside = across(up[2](before))
    found = fit(inside, wanted - pruned if new.shortcut else wanted, new.conv[2].in_channels)
    if refitted is None:
        _copy(up, new.conv[0], found.kept)
    else:
        narrow = Fit(refitted.kept, refitted.weight[found.kept], refitted.bias[found.kept])
        _place(new.conv[0][0], new.conv[0][1], narrow, pruned)
    _copy(across, new.conv[1], found.kept)
    _place(new.conv[2], new.conv[3], found, inside)


def _head(source: Any, target: Any, pruned: torch.Tensor) -> None:
    """Prune the channels before the embedding, whose layer is fitted to the embeddings of all channels."""
    old, new = source.gdconv, target.gdconv
    across = copy.deepcopy(old)
    across.depthwise.weight.data = _resized(old.depthwise.weight, target.side // 16)
    inside = across(source.conv2(pruned))
    found = Fit(torch.arange(inside.shape[1]), source.conv3.weight.flatten(1), source.conv3.bias)
    if target.conv3.in_channels < inside.shape[1]:
        found = fit(inside, source.conv3(inside), target.conv3.in_channels)
    _copy(source.conv2, target.conv2, found.kept)
    _copy((across.depthwise, across.bn), (new.depthwise, new.bn), found.kept)
    target.conv3.weight.copy_(found.weight[:, :, None, None])
    target.conv3.bias.copy_(found.bias)
    target.bn.load_state_dict(source.bn.state_dict())


def _resized(kernel: torch.Tensor, side: int) -> torch.Tensor:
    """(C, 1, K, K) -> (C, 1, side, side) with the same sum for an even input."""
    return F.interpolate(kernel, (side, side), mode="bilinear", align_corners=False) * (kernel.shape[-1] / side) ** 2


def _stages(net: MobileFaceNet) -> list[list[Any]]:
    """The blocks, grouped so that each group begins with a block without a shortcut."""
    found: list[list[Any]] = []
    for block in net.features:
        if not block.shortcut:
            found.append([])
        found[-1].append(block)
    return found


def _fits(blocks: list[Any], smaller: list[Any]) -> bool:
    """Whether a stage can be pruned to another one."""
    outputs = blocks[0].conv[2].out_channels == smaller[0].conv[2].out_channels
    narrower = all(new.conv[2].in_channels <= old.conv[2].in_channels for old, new in zip(blocks, smaller, strict=False))
    return len(smaller) <= len(blocks) and outputs and narrower


def _copy(old: Any, new: Any, outputs: torch.Tensor) -> None:
    """Copy the given output channels of a convolution and its batch norm."""
    new[0].weight.copy_(old[0].weight[outputs])
    for name, value in new[1].state_dict().items():
        stored = old[1].state_dict()[name]
        value.copy_(stored[outputs] if stored.ndim else stored)


def _place(convolution: nn.Conv2d, norm: nn.BatchNorm2d, found: Fit, features: torch.Tensor) -> None:
    """Set a 1 x 1 convolution and the batch norm after it to a fit; the norm keeps the mean and variance that it sees."""
    convolution.weight.copy_(found.weight[:, :, None, None])
    seen = _rows(features)[:: max(1, features.numel() // features.shape[1] // POSITIONS)][:, found.kept] @ found.weight.T
    mean, variance = seen.mean(0), seen.var(0)
    norm.load_state_dict({**norm.state_dict(), "running_mean": mean, "running_var": variance})
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(found.bias + mean)


def _rows(values: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) or (N, C) -> (N * H * W, C)."""
    return values.movedim(1, -1).reshape(-1, values.shape[1])
