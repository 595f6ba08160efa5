"""Center loss as published: squared distance, centres with an update rule of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.losses.options import check_range
from training.losses.precision import widen
from training.losses.softmax import Softmax


class CenterSquared(nn.Module):
    """Softmax plus lambda/2 times the mean squared distance to the class centre.

        L = L_softmax + lambda/2 1/N sum_i |x_i - c_{y_i}|^2
        c_k <- c_k - alpha sum_{i: y_i = k} (c_k - x_i) / (1 + n_k)

    The centres are no parameters: after each forward pass in training they move by the rate alpha towards their images
    (n_k of them in the batch). The square has a derivative everywhere. Both terms are means over the batch.

    Source: Y. Wen, K. Zhang, Z. Li, Y. Qiao, "A discriminative feature learning approach for deep face recognition",
    ECCV 2016, https://doi.org/10.1007/978-3-319-46478-7_31, equations 2 to 5.

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    centers: Tensor

    def __init__(self, embedding_size: int, classes: int, center_weight: float = 1.0, rate: float = 0.5, bias: bool = False) -> None:
        super().__init__()
        self.softmax = Softmax(embedding_size, classes, bias)
        self.register_buffer("centers", torch.zeros(classes, embedding_size))
        self.center_weight = check_range("center_weight", center_weight, 0.0, 1e6)
        self.rate = check_range("rate", rate, 0.0, 1.0)

    @property
    def weight(self) -> Tensor:
        """(C, D) class directions, of any length."""
        return self.softmax.weight

    def pull(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The distance part alone: (N, D), (N,) -> scalar."""
        offset = widen(embeddings) - widen(self.centers)[labels]  # (N, D)
        return 0.5 * offset.square().sum(dim=1).mean()

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self.softmax(embeddings, labels) + self.center_weight * self.pull(embeddings, labels)
        if self.training:
            self.follow(embeddings.detach(), labels)
        return loss

    @torch.no_grad()
    def follow(self, embeddings: Tensor, labels: Tensor) -> None:
        """Move the centres of the classes in the batch towards their images."""
        centers = widen(self.centers)
        offset = torch.zeros_like(centers).index_add_(0, labels, centers[labels] - widen(embeddings))  # (C, D)
        counts = torch.bincount(labels, minlength=len(centers)).unsqueeze(1)  # (C, 1)
        self.centers = (centers - self.rate * offset / (1 + counts)).to(self.centers.dtype)
