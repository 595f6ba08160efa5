"""The common base of all losses on angles: one direction per class, cosines as logits, a changed logit for the right class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.losses.options import check_range
from training.losses.precision import unit, widen


class Margin(nn.Module):
    """Cross-entropy over scaled cosines, where the right class must win by a margin.

        L = -1/N sum_i log( exp(s f(theta_y)) / ( exp(s f(theta_y)) + sum_{j != y} exp(s cos(theta_j)) ) )

    theta_j is the angle between the embedding and the direction of class j. A subclass defines f as a function of the
    cosine: `target_logit`. With f < cos each image counts as farther from its class than it is.

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def __init__(self, embedding_size: int, classes: int, scale: float) -> None:
        super().__init__()
        self.scale = check_range("scale", scale, 1e-6, 1e6)
        self.weight = nn.Parameter(torch.randn(classes, embedding_size) / embedding_size**0.5)  # (C, D), only directions count

    def target_logit(self, cosine: Tensor, lengths: Tensor) -> Tensor:
        """f as a function of the cosine with the own class.

        Shape:
            cosine (M,), lengths (M,) of the embeddings before normalisation (used by AdaFace only) -> (M,)
        """
        raise NotImplementedError

    def cosine(self, embeddings: Tensor, weight: Tensor) -> Tensor:
        """(N, D), (C, D) -> (N, C) cosines, at least float32 also under autocast."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return functional.linear(unit(embeddings), unit(weight))

    def logits(self, embeddings: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        """s cos(theta), with s f(theta) in the column of the own class.

        Partial FC calls this with the rows of `weight` that it holds; label -1 means that the own class is not among them.

        Shape:
            embeddings (N, D), weight (C, ...), labels (N,) int64 in -1..C-1 -> (N, C)
        """
        cosine = self.cosine(embeddings, weight)  # (N, C)
        own = (torch.arange(len(labels), device=labels.device), labels.clamp(min=0))  # selecting rows by a mask would make a GPU wait
        target = torch.where(labels >= 0, self.target_logit(cosine[own], widen(embeddings).norm(dim=1)), cosine[own])  # (N,)
        return self.scale * cosine.index_put(own, target)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(self.logits(embeddings, self.weight, labels), labels)

    @torch.no_grad()
    def curve(self, theta: Tensor, length: float = 1.0) -> Tensor:
        """f(theta), for theta (M,) in radians, 0..pi -> (M,): by the code that trains, for plots and tests."""
        return self.target_logit(torch.cos(theta), torch.full_like(theta, length))
