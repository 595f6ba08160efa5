"""ArcFace with the cosine divided before the arccos: the cos/10 trick."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.losses.margin import Margin
from training.losses.options import check_range
from training.losses.precision import widen


class ArcFaceScaled(Margin):
    """f(theta) = r cos(arccos(cos(theta) / r) + m), with the divisor r.

    cos(theta) / 10 stays within +-0.1, so arccos is only evaluated where it is almost linear (1.471..1.671) and its
    derivative is about -1. The result is almost linear in the cosine, too:

        f = c cos m - sqrt(r^2 - c^2) sin m  ~  c - r sin m        (c - 1 for m = 0.1, r = 10)

    So this is no angular margin any more: it is CosFace with a margin of about r sin m and a slight curvature.

    Source of the original formula: https://arxiv.org/abs/1801.07698

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def __init__(self, embedding_size: int, classes: int, margin: float = 0.1, divisor: float = 10.0, scale: float = 64.0) -> None:
        super().__init__(embedding_size, classes, scale)
        self.margin = check_range("margin", margin, 0.0, math.pi / 2)  # radians, after the division
        self.divisor = check_range("divisor", divisor, 1.01, 1e6)  # above 1, so that the argument of arccos never reaches +-1

    def target_logit(self, cosine: Tensor, lengths: Tensor) -> Tensor:
        return self.divisor * torch.cos(torch.arccos(cosine / self.divisor) + self.margin)

    def probabilities(self, embeddings: Tensor) -> Tensor:
        """p_j of every class as if it were the right one, each with its own denominator: (N, D) -> (N, C).

            p_j = exp(s f_j) / ( exp(s f_j) + sum_{k != j} exp(s cos(theta_k)) )
        """
        cosine = self.cosine(embeddings, self.weight)  # (N, C)
        asked = self.scale * self.target_logit(cosine, widen(embeddings).norm(dim=1))  # (N, C)
        others = _log_sum_of_others(self.scale * cosine)  # (N, C)
        return torch.sigmoid(asked - others)


def _log_sum_of_others(logits: Tensor) -> Tensor:
    """log sum_{k != j} exp(logits_k) for every j: (N, C) -> (N, C); two (N, C, C) passes are fine for a few hundred classes."""
    own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)  # (C, C)
    return logits.unsqueeze(1).masked_fill(own, -torch.inf).logsumexp(dim=2)
