"""The edge backbone: a patch stem, a few dense residual blocks with ReLU, a global depthwise layer.

Made for a small CPU. The 4 x 4 stem with stride 4 leaves at most 28 x 28 positions, so there are no large activations; ReLU fuses into
convolutions in float32 and int8; dense 3 x 3 convolutions do most arithmetic per byte moved, which also makes the net train several times
faster than inverted residuals of the same cost on a CPU with bfloat16 matrix units. `docs/experiments.md` compares the candidates.

Sources: fused blocks, M. Tan and Q. Le, "EfficientNetV2", ICML 2021, https://arxiv.org/abs/2104.00298; the global depthwise layer, S. Chen et al.,
"MobileFaceNets", CCBR 2018, https://arxiv.org/abs/1804.07573.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, padding: int | None = None, relu: bool = True) -> nn.Sequential:
    """Convolution, batch norm and, with `relu`, ReLU."""
    pad = kernel // 2 if padding is None else padding
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, pad, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class Residual(nn.Module):
    """x + body(x), with or without ReLU on the sum; the body's last batch norm starts at 0, so that the block starts as the identity."""

    def __init__(self, body: nn.Sequential, relu: bool = False) -> None:
        super().__init__()
        self.body, self.relu = body, relu
        nn.init.zeros_(body[-1][1].weight)  # type: ignore[index]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x + self.body(x)
        return F.relu(out) if self.relu else out


def fused_block(width: int, wide: int = 0) -> Residual:
    """3 x 3 convolution to `wide` channels (0: twice the width), 1 x 1 convolution back."""
    wide = wide or 2 * width
    return Residual(nn.Sequential(convolution(width, wide, 3), convolution(wide, width, 1, relu=False)))


def basic_block(width: int) -> Residual:
    """Two 3 x 3 convolutions, as in ResNet-18."""
    return Residual(nn.Sequential(convolution(width, width, 3), convolution(width, width, 3, relu=False)), relu=True)


def inverted_block(width: int) -> Residual:
    """1 x 1 up to three times the width, 3 x 3 depthwise, 1 x 1 back, as in MobileNetV2."""
    wide = 3 * width
    return Residual(nn.Sequential(convolution(width, wide, 1), convolution(wide, wide, 3, groups=wide), convolution(wide, width, 1, relu=False)))


class EdgeNet(nn.Module):
    """Patch stem, three stages at 28, 14 and 7 px, global depthwise layer, embedding.

    Args:
        embedding_size: D.
        widths: channels of the three stages.
        blocks: a list of block builders for each stage.
        head: channels before the embedding; at least D, or the embedding could not use all its dimensions.
    """

    def __init__(self, embedding_size: int, widths: tuple[int, int, int], blocks: tuple[list[Callable[[int], nn.Module]], ...], head: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(3, widths[0], 4, stride=4, padding=0)]  # (N, C, 28, 28)
        for stage, (width, builders) in enumerate(zip(widths, blocks, strict=True)):
            if stage:
                layers.append(convolution(widths[stage - 1], width, 2, stride=2, padding=0))  # half the size
            layers += [builder(width) for builder in builders]
        layers.append(convolution(widths[-1], head, 1))  # (N, head, 7, 7)
        layers.append(convolution(head, head, 7, groups=head, padding=0, relu=False))  # (N, head, 1, 1)
        self.trunk = nn.Sequential(*layers)
        self.embedding = nn.Linear(head, embedding_size, bias=False)
        self.norm = nn.BatchNorm1d(embedding_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(self.embedding(self.trunk(x).flatten(1)))  # (N, D)
        return out


def fused(embedding_size: int) -> EdgeNet:
    return EdgeNet(embedding_size, (40, 88, 128), ([fused_block], [fused_block] * 3, [fused_block] * 2), head=256)


def slim(embedding_size: int) -> EdgeNet:
    """`fused` with widths that are multiples of 16, like the vectors of processors, and about three quarters of its MACs."""
    blocks = [partial(fused_block, wide=wide) for wide in (64, 128, 256)]
    return EdgeNet(embedding_size, (32, 80, 128), ([blocks[0]], [blocks[1]] * 3, [blocks[2]] * 2), head=256)


def basic(embedding_size: int) -> EdgeNet:
    return EdgeNet(embedding_size, (48, 96, 144), ([basic_block], [basic_block] * 3, [basic_block]), head=256)


def inverted(embedding_size: int) -> EdgeNet:
    return EdgeNet(embedding_size, (48, 96, 160), ([inverted_block] * 3, [inverted_block] * 6, [inverted_block] * 4), head=256)


def hybrid(embedding_size: int) -> EdgeNet:
    return EdgeNet(embedding_size, (48, 96, 160), ([fused_block], [inverted_block] * 6, [inverted_block] * 4), head=256)
