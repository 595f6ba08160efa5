"""MiniFASNet: photo or living face, from a face with its surroundings; as minivision-ai published two of them.

Source: https://github.com/minivision-ai/Silent-Face-Anti-Spoofing, commit b6d5f04, Apache-2.0; a pruned MobileFaceNet. Layers have its names, so that its
`state_dict` loads once the prefix `module.` is taken off. Input BGR, 0..255, not normalised; of the three classes the second is the living face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from device.contract import ClockfaceError

CLASSES, LIVE = 3, 1
SIZE = 80  # px, side of the input
STEM, LAST, CODE = 32, 512, 128  # channels of the first layers, of the last convolution and of the layer before the classes
STAGES = (("23", 103, 64), ("34", 231, 128), ("45", 308, 128))  # name, hidden and output channels of the block that halves the picture


@dataclass(frozen=True)
class Published:
    """One of the two nets: the hidden channels of the residual blocks of each stage, and whether the last block of a stage weights its channels."""

    hidden: tuple[tuple[int, ...], ...]
    weighted: bool


NETS = {
    "v2": Published(((13, 13, 13, 13), (231, 52, 26, 77, 26, 26), (26, 26)), False),
    "v1se": Published(((13, 26, 13, 52), (154, 52, 26, 52, 26, 26), (26, 26)), True),
}


class Unit(nn.Module):
    """Convolution, batch norm and, except where it is linear, PReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, padding: int = 0, groups: int = 1, linear: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = nn.Identity() if linear else nn.PReLU(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.prelu(self.bn(self.conv(x)))
        return out


class ChannelWeights(nn.Module):
    """Squeeze and excitation (J. Hu et al., CVPR 2018, https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1, self.bn1 = nn.Conv2d(channels, channels // 4, 1, bias=False), nn.BatchNorm2d(channels // 4)
        self.fc2, self.bn2 = nn.Conv2d(channels // 4, channels, 1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        squeezed = torch.relu(self.bn1(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(self.bn2(self.fc2(squeezed)))


class LinearBlock(nn.Module):
    """1 x 1 up, 3 x 3 depthwise, 1 x 1 linear; a block that does not halve the picture has a shortcut."""

    def __init__(self, inputs: int, hidden: int, outputs: int, stride: int, weighted: bool = False) -> None:
        super().__init__()
        self.conv = Unit(inputs, hidden)
        self.conv_dw = Unit(hidden, hidden, 3, stride, 1, hidden)
        self.project = Unit(hidden, outputs, linear=True)
        self.shortcut = stride == 1
        self.se_module = ChannelWeights(outputs) if weighted else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.se_module(self.project(self.conv_dw(self.conv(x))))
        return x + out if self.shortcut else out


class BlockRow(nn.Module):
    """Residual blocks of equal width; in `model`, as their names in the published file ask for."""

    def __init__(self, channels: int, hidden: Sequence[int], weighted: bool) -> None:
        super().__init__()
        last = len(hidden) - 1
        self.model = nn.Sequential(*(LinearBlock(channels, width, channels, 1, weighted and number == last) for number, width in enumerate(hidden)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.model(x)
        return out


class MiniFASNet(nn.Module):
    """(N, 3, 80, 80) float BGR, 0..255 -> (N, 3) logits.

    Args:
        name: of NETS.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        published = NETS[name]
        self.conv1 = Unit(3, STEM, 3, 2, 1)  # (N, 32, 40, 40)
        self.conv2_dw = Unit(STEM, STEM, 3, 1, 1, STEM)
        inputs = STEM
        for (stage, hidden, outputs), number, widths in zip(STAGES, (3, 4, 5), published.hidden, strict=True):
            self.add_module(f"conv_{stage}", LinearBlock(inputs, hidden, outputs, 2))  # (N, 64, 20, 20), (N, 128, 10, 10), (N, 128, 5, 5)
            self.add_module(f"conv_{number}", BlockRow(outputs, widths, published.weighted))
            inputs = outputs
        self.conv_6_sep = Unit(inputs, LAST)  # (N, 512, 5, 5)
        self.conv_6_dw = Unit(LAST, LAST, 5, groups=LAST, linear=True)  # (N, 512, 1, 1)
        self.linear = nn.Linear(LAST, CODE, bias=False)
        self.bn = nn.BatchNorm1d(CODE)
        self.prob = nn.Linear(CODE, CLASSES, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in ("conv1", "conv2_dw", "conv_23", "conv_3", "conv_34", "conv_4", "conv_45", "conv_5", "conv_6_sep", "conv_6_dw"):
            x = self.get_submodule(name)(x)
        logits: torch.Tensor = self.prob(self.bn(self.linear(x.flatten(1))))
        return logits


def from_state(state: dict[str, Any]) -> MiniFASNet:
    """The net that a published `state_dict` belongs to, with its weights, in evaluation mode.

    Raises:
        ClockfaceError: the state belongs to neither net.
    """
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    for name in NETS:
        net = MiniFASNet(name)
        shapes = {key: value.shape for key, value in net.state_dict().items()}
        if shapes == {key: getattr(value, "shape", None) for key, value in plain.items()}:
            net.load_state_dict(plain)
            return net.eval()
    raise ClockfaceError(f"the weights belong to none of the MiniFASNets {', '.join(NETS)}; give a state_dict as published", code="liveness.weights")
