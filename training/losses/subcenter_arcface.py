"""Sub-center ArcFace: several directions per class, so that mislabelled images can have one of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.losses.arcface import ArcFace
from training.losses.options import check_range
from training.losses.precision import unit


class SubcenterArcFace(ArcFace):
    """ArcFace where the cosine with a class is the largest over its K directions.

        cos(theta_j) = max_k  w_jk . x / (|w_jk| |x|)

    Source: J. Deng, J. Guo, T. Liu, M. Gong, S. Zafeiriou, "Sub-center ArcFace: boosting face recognition by large-scale noisy web
    faces", ECCV 2020, https://doi.org/10.1007/978-3-030-58621-8_43

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def __init__(self, embedding_size: int, classes: int, subcenters: int = 3, margin: float = 0.5, scale: float = 64.0) -> None:
        super().__init__(embedding_size, classes, margin, scale)
        self.subcenters = int(check_range("subcenters", subcenters, 1, 100))
        self.weight = nn.Parameter(torch.randn(classes, self.subcenters, embedding_size) / embedding_size**0.5)  # (C, K, D)

    def cosine(self, embeddings: Tensor, weight: Tensor) -> Tensor:
        """(N, D), (C, K, D) -> (N, C), each from the nearest of the K directions."""
        with torch.autocast(embeddings.device.type, enabled=False):
            every = unit(embeddings) @ unit(weight).flatten(0, 1).T  # (N, C * K)
        return every.view(len(every), -1, self.subcenters).amax(dim=2)  # (N, C)
