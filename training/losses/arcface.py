"""ArcFace in the form to train with: finite everywhere and monotone from 0 to pi."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.losses.margin import Margin
from training.losses.options import check_range

SINE_FLOOR = 1e-7  # lower bound of sin^2, so that the slope of the root stays below 1 / sqrt(1e-7) = 3,162


def add_angle(cosine: Tensor, angle: float | Tensor) -> Tensor:
    """cos(theta + angle) from cos(theta) by the addition theorem, without arccos: any shape, radians.

    sqrt(1 - c^2) has an infinite slope at c = +-1, and 1 - c^2 may even be negative after rounding; the floor prevents both.
    """
    angle = torch.as_tensor(angle, dtype=cosine.dtype, device=cosine.device)
    sine = (1 - cosine.square()).clamp_min(SINE_FLOOR).sqrt()
    return cosine * angle.cos() - sine * angle.sin()


class ArcFace(Margin):
    """Additive angular margin: the angle to the own class counts as `margin` radians larger.

        f(theta) = cos(theta + m)                where theta <= pi - m
        f(theta) = cos(theta) - m sin(pi - m)    beyond, where cos(theta + m) would rise again

    This is finite: cos(theta + m) = c cos m - sqrt(1 - c^2) sin m needs no arccos, and the root has a floor.

    Source: J. Deng, J. Guo, N. Xue, S. Zafeiriou, "ArcFace: additive angular margin loss for deep face recognition",
    CVPR 2019, https://arxiv.org/abs/1801.07698

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def __init__(self, embedding_size: int, classes: int, margin: float = 0.5, scale: float = 64.0) -> None:
        super().__init__(embedding_size, classes, scale)
        self.margin = check_range("margin", margin, 0.0, math.pi / 2)  # radians

    def target_logit(self, cosine: Tensor, lengths: Tensor) -> Tensor:
        turning = math.cos(math.pi - self.margin)
        beyond = cosine - self.margin * math.sin(math.pi - self.margin)
        return torch.where(cosine > turning, add_angle(cosine, self.margin), beyond)
