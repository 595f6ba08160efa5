"""ArcFace with an arccos whose derivative is bounded near +-1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from training.losses.arcface import ArcFace

LARGEST_COSINE = 0.99  # beyond it the derivative stays at its value there, -1 / sqrt(1 - 0.99^2) = -7.0888


class BoundedArccos(torch.autograd.Function):
    """arccos in the forward pass; in the backward pass its derivative, bounded to a magnitude of 7.0888."""

    @staticmethod
    def forward(ctx: Any, cosine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine)
        return torch.arccos(cosine)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        cosine: Tensor = ctx.saved_tensors[0]
        return -gradient * (1 - cosine.square()).clamp_min(1 - LARGEST_COSINE**2).rsqrt()


class ArcFaceClippedGradient(ArcFace):
    """f(theta) = cos(arccos(c) + m), with the bounded derivative.

    A bounded derivative alone only delays NaN: rounding may give a cosine of 1.0000001, whose arccos is NaN whatever the
    derivative. So the cosine is clamped in the forward pass, too; `clamp=False` leaves this out, to show the delay. The curve is
    that of `ArcFaceNaive` and rises again beyond pi - m.

    Source of the formula: https://arxiv.org/abs/1801.07698

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def __init__(self, embedding_size: int, classes: int, margin: float = 0.5, scale: float = 64.0, clamp: bool = True) -> None:
        super().__init__(embedding_size, classes, margin, scale)
        self.clamp = clamp

    def target_logit(self, cosine: Tensor, lengths: Tensor) -> Tensor:
        inside = cosine + (cosine.clamp(-1, 1) - cosine).detach() if self.clamp else cosine  # the derivative stays that of `BoundedArccos`
        angle: Tensor = BoundedArccos.apply(inside)  # type: ignore[no-untyped-call]
        return torch.cos(angle + self.margin)
