"""Improved ResNet for faces: BN-Conv-BN-PReLU-Conv-BN blocks, a fully connected embedding.

Source: J. Deng et al., "ArcFace", CVPR 2019, https://arxiv.org/abs/1801.07698, section 3.1; D. Han et al., https://arxiv.org/abs/1610.02915.
"""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """BN, 3 x 3, BN, PReLU, 3 x 3 with stride, BN; a 1 x 1 shortcut where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        changes = stride > 1 or inputs != outputs
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)) if changes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(x) + self.shortcut(x)
        return out


class IResNet(nn.Module):
    """(N, 3, 112, 112) -> (N, D).

    Args:
        embedding_size: D.
        depths: blocks of the four stages at 56, 28, 14 and 7 px.
    """

    def __init__(self, embedding_size: int, depths: tuple[int, int, int, int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)]  # (N, 64, 112, 112)
        width = 64
        for outputs, depth in zip((64, 128, 256, 512), depths, strict=True):
            for i in range(depth):
                layers.append(Block(width, outputs, 2 if i == 0 else 1))
                width = outputs
        self.trunk = nn.Sequential(*layers, nn.BatchNorm2d(512))  # (N, 512, 7, 7)
        self.embedding = nn.Sequential(nn.Flatten(), nn.Linear(512 * 7 * 7, embedding_size), nn.BatchNorm1d(embedding_size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.embedding(self.trunk(x))  # (N, D)
        return out


DEPTHS = {"iresnet18": (2, 2, 2, 2), "iresnet34": (3, 4, 6, 3), "iresnet50": (3, 4, 14, 3), "iresnet100": (3, 13, 30, 3)}
