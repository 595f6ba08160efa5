"""MobileFaceNet: as published (S. Chen et al., CCBR 2018, https://arxiv.org/abs/1804.07573, table 1), and as foamliu trained it.

The second (https://github.com/foamliu/MobileFaceNet, commit a6cc903, Apache-2.0) has ReLU6 in place of PReLU, which int8 convolutions can fuse, a 1 x 1
convolution after the first depthwise one, and a bias before the last batch norm. Layers have its names, so that its `state_dict` loads unchanged.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from device.contract import CROP_SIZE


@dataclass(frozen=True)
class Shape:
    """Channels and blocks of a MobileFaceNet; the default is that of the paper."""

    stem: int = 64  # channels at 56 px
    # (channels inside the blocks, output channels, repeats, stride of the first)
    table: tuple[tuple[int, int, int, int], ...] = ((128, 64, 5, 2), (256, 128, 1, 2), (256, 128, 6, 1), (512, 128, 1, 2), (256, 128, 2, 1))
    head: int = 512  # channels before the global depthwise layer
    side: int = CROP_SIZE  # px, to which crops are scaled in the net; a multiple of 16


SHAPES = {  # smaller than the default, to which published weights are pruned: docs/models.md compares them
    "short": Shape(32, ((64, 64, 3, 2), (192, 128, 1, 2), (192, 128, 4, 1), (384, 128, 1, 2), (256, 128, 2, 1))),
    "half": Shape(32, ((64, 64, 5, 2), (128, 128, 1, 2), (128, 128, 6, 1), (256, 128, 1, 2), (128, 128, 2, 1))),
    "half-short": Shape(32, ((64, 64, 4, 2), (128, 128, 1, 2), (128, 128, 5, 1), (256, 128, 1, 2), (128, 128, 2, 1))),
    "few": Shape(32, ((128, 64, 2, 2), (256, 128, 1, 2), (256, 128, 3, 1), (512, 128, 1, 2), (256, 128, 2, 1))),
    "early": Shape(32, ((128, 64, 1, 2), (256, 128, 1, 2), (256, 128, 6, 1), (512, 128, 1, 2), (256, 128, 2, 1))),  # few blocks before 14 px
    "head-256": Shape(head=256),
    "head-128": Shape(head=128),
    "96": Shape(side=96),
}


ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {"prelu": nn.PReLU, "relu6": lambda width: nn.ReLU6(inplace=True)}


def convolution(inputs: int, outputs: int, kernel: int, activation: str, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, activation."""
    plain = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(plain, nn.BatchNorm2d(outputs), ACTIVATIONS[activation](outputs))


def depthwise(width: int, kernel: int, padding: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, kernel, padding=padding, groups=width, bias=False)


def stem(width: int, activation: str) -> nn.Sequential:
    """The depthwise layer after the first convolution; foamliu's continues with a 1 x 1 convolution and has ReLU here, not ReLU6."""
    if activation == "prelu":
        return nn.Sequential(OrderedDict(depthwise=depthwise(width, 3, 1), bn1=nn.BatchNorm2d(width), activation=nn.PReLU(width)))
    across = OrderedDict(pointwise=nn.Conv2d(width, width, 1, bias=False), bn2=nn.BatchNorm2d(width), relu2=nn.ReLU(inplace=True))
    return nn.Sequential(OrderedDict(depthwise=depthwise(width, 3, 1), bn1=nn.BatchNorm2d(width), relu1=nn.ReLU(inplace=True), **across))


class Bottleneck(nn.Module):
    """1 x 1 up, 3 x 3 depthwise, 1 x 1 linear; with a shortcut where shapes allow."""

    def __init__(self, inputs: int, wide: int, outputs: int, stride: int, activation: str) -> None:
        super().__init__()
        self.shortcut = stride == 1 and inputs == outputs
        up, across = convolution(inputs, wide, 1, activation), convolution(wide, wide, 3, activation, stride, wide)
        self.conv = nn.Sequential(up, across, nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.conv(x)
        return x + out if self.shortcut else out


class MobileFaceNet(nn.Module):
    """(N, 3, 112, 112) -> (N, D).

    Args:
        embedding_size: D.
        activation: a name in `ACTIVATIONS`; "prelu" is the published net, "relu6" foamliu's.
        shape: channels and blocks; sizes in the comments are those of the default.
    """

    def __init__(self, embedding_size: int, activation: str = "prelu", shape: Shape | None = None) -> None:
        super().__init__()
        shape = shape or Shape()
        self.side = shape.side
        self.conv1 = convolution(3, shape.stem, 3, activation, 2)  # (N, 64, 56, 56)
        self.dw_conv = stem(shape.stem, activation)
        self.features = nn.Sequential(*bottlenecks(shape, activation))  # (N, 128, 7, 7)
        self.conv2 = convolution(shape.table[-1][1], shape.head, 1, activation)  # (N, 512, 7, 7)
        self.gdconv = nn.Sequential(OrderedDict(depthwise=depthwise(shape.head, shape.side // 16, 0), bn=nn.BatchNorm2d(shape.head)))  # (N, 512, 1, 1)
        self.conv3 = nn.Conv2d(shape.head, embedding_size, 1, bias=activation == "relu6")
        self.bn = nn.BatchNorm2d(embedding_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(self.dw_conv(self.conv1(scaled(x, self.side))))
        out: torch.Tensor = self.bn(self.conv3(self.gdconv(self.conv2(x)))).flatten(1)  # (N, D)
        return out


def bottlenecks(shape: Shape, activation: str) -> list[Bottleneck]:
    """The blocks of the table, the first of which reads the stem."""
    blocks, width = [], shape.stem
    for wide, outputs, repeats, stride in shape.table:
        for number in range(repeats):
            blocks.append(Bottleneck(width, wide, outputs, stride if number == 0 else 1, activation))
            width = outputs
    return blocks


def relu6(embedding_size: int) -> MobileFaceNet:
    return MobileFaceNet(embedding_size, "relu6")


def scaled(x: torch.Tensor, side: int) -> torch.Tensor:
    """(N, 3, 112, 112) -> (N, 3, side, side)."""
    return x if side == CROP_SIZE else F.interpolate(x, (side, side), mode="bilinear", align_corners=False)


def smaller(embedding_size: int, name: str) -> MobileFaceNet:
    return MobileFaceNet(embedding_size, "relu6", SHAPES[name])
