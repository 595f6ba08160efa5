"""MobileFaceNet as published: S. Chen et al., CCBR 2018, https://arxiv.org/abs/1804.07573, table 1."""

from __future__ import annotations

import torch
from torch import nn

# (expansion, output channels, repeats, stride of the first)
TABLE = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, padding: int | None = None, prelu: bool = True) -> nn.Sequential:
    """Convolution, batch norm and, unless told otherwise, PReLU."""
    pad = kernel // 2 if padding is None else padding
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, pad, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.PReLU(outputs)) if prelu else nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """1 x 1 up, 3 x 3 depthwise, 1 x 1 linear; with a shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        self.body = nn.Sequential(convolution(inputs, wide, 1), convolution(wide, wide, 3, stride, wide), convolution(wide, outputs, 1, prelu=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(x)
        return x + out if self.shortcut else out


class MobileFaceNet(nn.Module):
    """(N, 3, 112, 112) -> (N, D)."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(3, 64, 3, 2), convolution(64, 64, 3, groups=64)]  # (N, 64, 56, 56)
        width = 64
        for expansion, outputs, repeats, stride in TABLE:
            for i in range(repeats):
                layers.append(Bottleneck(width, outputs, expansion, stride if i == 0 else 1))
                width = outputs
        layers.append(convolution(width, 512, 1))  # (N, 512, 7, 7)
        layers.append(convolution(512, 512, 7, groups=512, padding=0, prelu=False))  # (N, 512, 1, 1)
        layers.append(convolution(512, embedding_size, 1, prelu=False))
        self.trunk = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.trunk(x).flatten(1)  # (N, D)
        return out
