"""Softmax applied twice: cross-entropy that receives probabilities instead of logits."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from training.losses.arcface_scaled import ArcFaceScaled
from training.losses.options import check_choice
from training.losses.softmax import Softmax


class SoftmaxTwice(nn.Module):
    """Cross-entropy of p, where p itself is the output of a softmax.

        L = -1/N sum_i log( exp(p_y) / sum_j exp(p_j) ),    p = softmax(logits)

    Probabilities lie in 0..1, so even a perfect answer has the loss log(1 + (C - 1) / e): 1.46 for ten classes.
    Training depends on the gradient, however, which has the factor p_y (1 - p_y): it vanishes where the first softmax is certain,
    and also where it is entirely wrong. Hard or mislabelled images get little weight instead of much.

    `over="arcface_scaled"` is the combination with the cos/10 trick: there p_j is computed for every class as if it were the right one,
    so the p_j do not add up to one. Its `scale` is 1.

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def __init__(self, embedding_size: int, classes: int, over: str = "softmax") -> None:
        super().__init__()
        check_choice("over", over, ("softmax", "arcface_scaled"))
        self.inner: Softmax | ArcFaceScaled
        if over == "softmax":
            self.inner = Softmax(embedding_size, classes, bias=False)
        else:
            self.inner = ArcFaceScaled(embedding_size, classes, scale=1.0)

    @property
    def weight(self) -> Tensor:
        """(C, D) class directions, of any length."""
        return self.inner.weight

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        if isinstance(self.inner, ArcFaceScaled):
            probabilities = self.inner.probabilities(embeddings)  # (N, C)
        else:
            probabilities = self.inner.class_logits(embeddings, labels).softmax(dim=1)  # (N, C)
        return functional.cross_entropy(probabilities, labels)
