"""ArcFace whose margin acts in the forward pass only: the gradient passes straight through to the cosine."""

from __future__ import annotations

from torch import Tensor

from training.losses.arcface import ArcFace


class ArcFaceStraightThrough(ArcFace):
    """The value of ArcFace, the derivative of the plain cosine: df/dc = 1.

    The singularity is in the derivative of arccos alone, so leaving the angle out of the graph removes it exactly. The
    margin still has its effect: it lowers the probability of the own class, and so keeps the gradient large.

    Source: the estimator of Y. Bengio, N. Leonard, A. Courville, https://arxiv.org/abs/1308.3432, on
    https://arxiv.org/abs/1801.07698

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def target_logit(self, cosine: Tensor, lengths: Tensor) -> Tensor:
        return cosine + (super().target_logit(cosine, lengths) - cosine).detach()
