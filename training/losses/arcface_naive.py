"""ArcFace with arccos as the formula has it: the one that explodes, kept to show it."""

from __future__ import annotations

import torch
from torch import Tensor

from training.losses.arcface import ArcFace


class ArcFaceNaive(ArcFace):
    """f(theta) = cos(arccos(c) + m). Do not train with it.

    d arccos(c) / dc = -1 / sqrt(1 - c^2): infinite at c = +-1, where an image lies exactly on (or opposite) its class. Back through
    the normalisation this meets a factor sin(theta) = 0, and inf times 0 is NaN, in every weight at once. Rounding
    may also give c = 1.0000001, whose arccos is NaN already going forward. In two dimensions both happen within a minute.
    Past pi - m the curve turns back up: an image on the wrong side is pushed farther away.

    Source of the formula: https://arxiv.org/abs/1801.07698

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def target_logit(self, cosine: Tensor, lengths: Tensor) -> Tensor:
        return torch.cos(torch.arccos(cosine) + self.margin)
