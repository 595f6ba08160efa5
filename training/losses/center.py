"""Center loss as a learnable parameter: softmax separates the classes, centres make them compact."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.losses.options import check_range
from training.losses.precision import widen
from training.losses.softmax import Softmax


class Center(nn.Module):
    """Softmax plus lambda times the mean distance of each class in the batch to its centre, a trained parameter.

        L = L_softmax + lambda sum_{k in batch} 1/n_k sum_{i: y_i = k} |x_i - c_k|

    Each class in the batch counts once, however many images (n_k) it has there. Both ends move: the embeddings towards the
    centre, the centre towards the embeddings. |x - c| has no derivative at x = c (the square root's slope is 1/0 there);
    `vector_norm` takes the subgradient 0, where `sqrt(sum(...))` would give NaN.

    Idea: Y. Wen et al., "A discriminative feature learning approach for deep face recognition", ECCV 2016,
    https://doi.org/10.1007/978-3-319-46478-7_31 (see `CenterSquared` for the published form).

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def __init__(self, embedding_size: int, classes: int, center_weight: float = 1.0, bias: bool = False) -> None:
        super().__init__()
        self.softmax = Softmax(embedding_size, classes, bias)
        self.centers = nn.Parameter(torch.randn(classes, embedding_size))
        self.center_weight = check_range("center_weight", center_weight, 0.0, 1e6)

    @property
    def weight(self) -> Tensor:
        """(C, D) class directions, of any length."""
        return self.softmax.weight

    def pull(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The distance part alone: (N, D), (N,) -> scalar."""
        offset = widen(embeddings) - widen(self.centers)[labels]  # (N, D)
        counts = torch.bincount(labels, minlength=len(self.centers))[labels]  # (N,) images of the same class in the batch
        distance: Tensor = torch.linalg.vector_norm(offset, dim=1)  # (N,)
        return (distance / counts).sum()

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self.softmax(embeddings, labels) + self.center_weight * self.pull(embeddings, labels)
        return loss
