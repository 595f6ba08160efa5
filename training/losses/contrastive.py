"""Contrastive loss of the Siamese network: pull pairs together, push pairs apart up to a margin."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.losses.options import check_range
from training.losses.precision import unit, widen


class Contrastive(nn.Module):
    """All P = N (N - 1) / 2 pairs of the batch; a pair matches when its labels do.

        L = 1/(2P) sum_pairs Y d^2 + (1 - Y) max(margin - d, 0)^2,    d = |x_1 - x_2|

    The two branches of the Siamese network share their weights, so one pass over the batch serves both ends of every pair.
    Where two images of different people coincide (d = 0) the direction to push is undefined; the subgradient 0 is taken.
    With `unit_length` the distance is the chord between directions, d^2 = 2 - 2 cos(theta) <= 4, as the cosine score uses it.

    Source: R. Hadsell, S. Chopra, Y. LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR 2006,
    https://doi.org/10.1109/CVPR.2006.100

    Shape:
        embeddings (N, D) float, labels (N,) int64 -> scalar
    """

    def __init__(self, margin: float = 1.0, unit_length: bool = True) -> None:
        super().__init__()
        self.margin = check_range("margin", margin, 0.0, 1e6)
        self.unit_length = unit_length

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        points = unit(embeddings) if self.unit_length else widen(embeddings)
        distance = functional.pdist(points)  # (P,) pairs (0, 1), (0, 2), ..., (N - 2, N - 1)
        first, second = torch.triu_indices(len(labels), len(labels), offset=1, device=labels.device)
        match = labels[first] == labels[second]  # (P,)
        terms = torch.where(match, distance.square(), (self.margin - distance).clamp_min(0).square())
        return terms.sum() / max(2 * len(terms), 1)
