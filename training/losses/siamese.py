"""The Siamese network as first published for images: the L1 distance of two embeddings, and a sigmoid that says whether they match."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.losses.precision import widen


class Siamese(nn.Module):
    """Binary cross-entropy over all pairs of the batch; a pair matches when its labels do.

        p = sigmoid( b - sum_k |x_1k - x_2k| )
        L = ( mean over matching pairs of -log p  +  mean over the others of -log(1 - p) ) / 2

    b, the distance at which p = 1/2, is trained. The paper weights each |x_1k - x_2k|; the last layer of the net can scale each
    dimension itself, so no weights are kept here. It draws as many matching pairs as others; in a batch with all pairs the two
    means stand for that.

    Source: G. Koch, R. Zemel, R. Salakhutdinov, "Siamese neural networks for one-shot image recognition", ICML deep learning workshop
    2015, https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf

    Shape:
        embeddings (N, D) float, labels (N,) int64 -> scalar
    """

    def __init__(self) -> None:
        super().__init__()
        self.boundary = nn.Parameter(torch.ones(1))  # b, in the unit of the embeddings

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        first, second = torch.triu_indices(len(labels), len(labels), offset=1, device=labels.device)  # (P,) each
        points = widen(embeddings)
        logits = widen(self.boundary) - (points[first] - points[second]).abs().sum(dim=1)  # (P,)
        match = labels[first] == labels[second]
        means = [_mean(functional.softplus(-logits[match])), _mean(functional.softplus(logits[~match]))]
        return torch.stack(means).mean()


def _mean(terms: Tensor) -> Tensor:
    """The mean, 0 of none."""
    return terms.sum() / max(len(terms), 1)
