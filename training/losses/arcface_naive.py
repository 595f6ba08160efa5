"""ArcFace with arccos as in the formula: its gradient becomes NaN, and it is kept to show this."""

from __future__ import annotations

import torch
from torch import Tensor

from training.losses.arcface import ArcFace


class ArcFaceNaive(ArcFace):
    """f(theta) = cos(arccos(c) + m). Do not train with it.

    d arccos(c) / dc = -1 / sqrt(1 - c^2): infinite at c = +-1, where an image lies exactly on (or opposite) its class. The
    backward pass through the normalisation multiplies it by sin(theta) = 0, and inf times 0 is NaN, in every weight at once.
    Rounding may also give c = 1.0000001, whose arccos is NaN in the forward pass already. In two dimensions both happen within
    a minute. Beyond pi - m the curve rises again: an image on the wrong side is pushed farther away.

    Source of the formula: https://arxiv.org/abs/1801.07698

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def target_logit(self, cosine: Tensor, lengths: Tensor) -> Tensor:
        return torch.cos(torch.arccos(cosine) + self.margin)
