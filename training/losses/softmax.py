"""Softmax cross-entropy over a linear layer: separable, but not yet discriminative."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from training.losses.precision import widen


class Softmax(nn.Module):
    """Cross-entropy over x W^T + b.

        L = -1/N sum_i log( exp(w_y . x_i + b_y) / sum_j exp(w_j . x_i + b_j) )

    Since w . x = |w| |x| cos(theta), the loss can also be lowered by making x longer: nothing requires a class to be narrow.
    Without the bias every class is a sector around its own w through the origin, and angles alone decide.

    Source: J. S. Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990,
    https://doi.org/10.1007/978-3-642-76153-9_28

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def __init__(self, embedding_size: int, classes: int, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_size, classes, bias=bias)

    @property
    def weight(self) -> Tensor:
        """(C, D) class directions, of any length."""
        return self.linear.weight

    def class_logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(N, D), (N,) -> (N, C); the labels are not used."""
        bias = None if self.linear.bias is None else widen(self.linear.bias)
        return functional.linear(widen(embeddings), widen(self.linear.weight), bias)  # (N, C)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(self.class_logits(embeddings, labels), labels)
