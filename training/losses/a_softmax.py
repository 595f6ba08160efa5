"""A-Softmax of SphereFace: the angle to the own class is multiplied."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.losses.margin import Margin
from training.losses.options import check_range
from training.losses.precision import widen


class ASoftmax(Margin):
    """Multiplicative angular margin with annealing; the length of the embedding stays in the logits.

        psi(theta) = (-1)^k cos(m theta) - 2 k       for theta in [k pi / m, (k + 1) pi / m], monotone from 1 to 1 - 2 m
        f(theta) = (lambda cos(theta) + psi(theta)) / (1 + lambda)
        logits = |x| cos(theta_j), and |x| f(theta_y) for the own class
        lambda = max(lambda_min, lambda_start / (1 + 0.1 step)): almost plain softmax at first, since training with psi alone does not start

    cos(m theta) is a polynomial in the cosine (Chebyshev: cos 4t = 8 c^4 - 8 c^2 + 1), so no derivative is infinite. Only the
    piece number k needs the angle, and it is piecewise constant: it is computed without a gradient.

    Source: W. Liu et al., "SphereFace: deep hypersphere embedding for face recognition", CVPR 2017,
    https://arxiv.org/abs/1704.08063

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    step: Tensor

    def __init__(self, embedding_size: int, classes: int, margin: int = 4, lambda_start: float = 1000.0, lambda_min: float = 5.0) -> None:
        super().__init__(embedding_size, classes, scale=1.0)
        self.margin = int(check_range("margin", margin, 1, 10))  # the angle is multiplied by it
        self.lambda_start = check_range("lambda_start", lambda_start, 0.0, 1e9)
        self.lambda_min = check_range("lambda_min", lambda_min, 0.0, 1e9)
        self.register_buffer("step", torch.tensor(0))

    def annealing(self) -> float:
        """lambda at this step."""
        return max(self.lambda_min, self.lambda_start / (1 + 0.1 * float(self.step)))

    def psi(self, cosine: Tensor) -> Tensor:
        """(-1)^k cos(m theta) - 2 k: (M,) -> (M,)."""
        piece = torch.floor(self.margin * cosine.detach().clamp(-1, 1).arccos() / math.pi).clamp(max=self.margin - 1)
        sign = 1 - 2 * (piece % 2)
        before, chebyshev = torch.ones_like(cosine), cosine  # T_0, T_1
        for _ in range(self.margin - 1):
            before, chebyshev = chebyshev, 2 * cosine * chebyshev - before
        return sign * chebyshev - 2 * piece

    def target_logit(self, cosine: Tensor, lengths: Tensor) -> Tensor:
        annealing = self.annealing()
        return (annealing * cosine + self.psi(cosine)) / (1 + annealing)

    def logits(self, embeddings: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        if self.training:
            self.step += 1
        lengths: Tensor = torch.linalg.vector_norm(widen(embeddings), dim=1, keepdim=True)  # (N, 1)
        return lengths * super().logits(embeddings, weight, labels)  # (N, C)
