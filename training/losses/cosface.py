"""CosFace: the margin is subtracted from the cosine itself."""

from __future__ import annotations

from torch import Tensor

from training.losses.margin import Margin
from training.losses.options import check_range


class CosFace(Margin):
    """Additive cosine margin: f(theta) = cos(theta) - m.

    No arccos, no root: the derivative with respect to the cosine is 1 everywhere. `margin=1.0` is the "cos - 1" experiment:
    the logit of the own class is never above 0.

    Source: H. Wang et al., "CosFace: large margin cosine loss for deep face recognition", CVPR 2018,
    https://arxiv.org/abs/1801.09414

    Shape:
        embeddings (N, D) float, labels (N,) int64 in 0..C-1 -> scalar
    """

    def __init__(self, embedding_size: int, classes: int, margin: float = 0.35, scale: float = 64.0) -> None:
        super().__init__(embedding_size, classes, scale)
        self.margin = check_range("margin", margin, 0.0, 2.0)  # in units of the cosine

    def target_logit(self, cosine: Tensor, lengths: Tensor) -> Tensor:
        return cosine - self.margin
