"""AdaFace: the margin depends on the quality of the image, which is estimated from the length of its embedding."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.losses.arcface import add_angle
from training.losses.margin import Margin
from training.losses.options import check_range
from training.losses.precision import widen


class AdaFace(Margin):
    """Angular margin for poor images, cosine margin for good ones.

        q = clip( (|x| - mean) / (std / h), -1, 1 )                 quality, from running statistics of |x|, no gradient
        f(theta) = cos( clip(theta - m q, 0, pi) ) - (m + m q)

    q = -1 is ArcFace (angle +m), q = 0 is CosFace, q = 1 gives hard images less weight than easy ones. |x| is a fair
    estimate of quality once the net has been trained for a while. Where the angle is clipped, the derivative is 0.

    Source: M. Kim, A. K. Jain, X. Liu, "AdaFace: quality adaptive margin for face recognition", CVPR 2022,
    https://arxiv.org/abs/2204.00964

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    mean: Tensor
    std: Tensor

    def __init__(self, embedding_size: int, classes: int, margin: float = 0.4, h: float = 0.333, momentum: float = 0.99, scale: float = 64.0) -> None:
        super().__init__(embedding_size, classes, scale)
        self.margin = check_range("margin", margin, 0.0, math.pi / 2)
        self.h = check_range("h", h, 0.0, 10.0)  # concentration: one standard deviation moves q by h
        self.momentum = check_range("momentum", momentum, 0.0, 1.0)
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("std", torch.tensor(100.0))

    def logits(self, embeddings: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        if self.training and len(embeddings) > 1:
            self.observe(widen(embeddings.detach()).norm(dim=1))
        return super().logits(embeddings, weight, labels)

    @torch.no_grad()
    def observe(self, lengths: Tensor) -> None:
        """Move the running mean and standard deviation of |x| towards this batch's: (N,)."""
        lengths = lengths.clamp(1e-3, 100.0)
        self.mean.lerp_(lengths.mean().to(self.mean.dtype), 1 - self.momentum)
        self.std.lerp_(lengths.std().to(self.std.dtype), 1 - self.momentum)

    @torch.no_grad()
    def quality(self, lengths: Tensor) -> Tensor:
        """|x| -> q in -1..1: (M,) -> (M,)."""
        spread = widen(self.std) + 1e-3
        return ((widen(lengths).clamp(1e-3, 100.0) - widen(self.mean)) / spread * self.h).clamp(-1, 1)

    def target_logit(self, cosine: Tensor, lengths: Tensor) -> Tensor:
        quality = self.quality(lengths).to(cosine.dtype)
        angle = -self.margin * quality  # (M,) radians, added to theta
        added = add_angle(cosine, angle)
        added = torch.where((angle < 0) & (cosine > angle.cos()), torch.ones_like(cosine), added)  # theta + angle < 0
        added = torch.where((angle > 0) & (cosine < -angle.cos()), -torch.ones_like(cosine), added)  # theta + angle > pi
        return added - (self.margin + self.margin * quality)
