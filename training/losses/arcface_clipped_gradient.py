"""ArcFace with an arccos of its own, whose derivative is bounded near +-1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from training.losses.arcface import ArcFace

LARGEST_COSINE = 0.99  # beyond it the derivative stays at its value there, -1 / sqrt(1 - 0.99^2) = -7.0888


class BoundedArccos(torch.autograd.Function):
    """arccos going forward; going back its derivative, at most 7.0888 in size."""

    @staticmethod
    def forward(ctx: Any, cosine: Tensor) -> Tensor:
        cosine = cosine.clamp(-1, 1)  # rounding makes 1.0000001, whose arccos is NaN whatever the derivative
        ctx.save_for_backward(cosine)
        return torch.arccos(cosine)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        cosine: Tensor = ctx.saved_tensors[0]
        return -gradient * (1 - cosine.square()).clamp_min(1 - LARGEST_COSINE**2).rsqrt()


class ArcFaceClippedGradient(ArcFace):
    """f(theta) = cos(arccos(c) + m), with the bounded derivative.

    Bounding the derivative alone only delays the explosion, for arccos(1.0000001) stays NaN: the clamp going forward is
    the other half of the cure. The curve is the naive one and turns back up past pi - m.

    Source of the formula: https://arxiv.org/abs/1801.07698

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def target_logit(self, cosine: Tensor, lengths: Tensor) -> Tensor:
        angle: Tensor = BoundedArccos.apply(cosine)  # type: ignore[no-untyped-call]
        return torch.cos(angle + self.margin)
