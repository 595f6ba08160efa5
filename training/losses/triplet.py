"""Triplet loss: an image is nearer to its own class than to any other, by a margin."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.losses.options import check_choice, check_range
from training.losses.precision import unit, widen

MINING = ("all", "semi_hard", "hard")


class Triplet(nn.Module):
    """Mean over the triplets (anchor, positive, negative) of the batch that still have a loss.

        L = mean of [ |a - p|^2 - |a - n|^2 + margin ] over the triplets where this is positive

    Mining selects the triplets:
        all        all of them: about N^3, most of which soon have no loss;
        semi_hard  for each (a, p) the nearest negative that is farther than p but inside the margin;
        hard       for each anchor its farthest positive and its nearest negative.

    Squared distances have a derivative everywhere. Without such triplets the loss is 0, with a gradient of 0.

    Source: F. Schroff, D. Kalenichenko, J. Philbin, "FaceNet", CVPR 2015, https://arxiv.org/abs/1503.03832;
    hard mining in the batch: A. Hermans, L. Beyer, B. Leibe, https://arxiv.org/abs/1703.07737

    Shape:
        embeddings (N, D) float, labels (N,) int64 -> scalar
    """

    def __init__(self, margin: float = 0.2, mining: str = "semi_hard", unit_length: bool = True) -> None:
        super().__init__()
        self.margin = check_range("margin", margin, 0.0, 1e6)
        self.mining = check_choice("mining", mining, MINING)
        self.unit_length = unit_length

    def hinges(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """|a - p|^2 - |a - n|^2 + margin of every selected triplet: (N, D), (N,) -> (T,), negative where there is no loss."""
        points = unit(embeddings) if self.unit_length else widen(embeddings)
        squared = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()  # (N, N)
        same = labels.unsqueeze(1) == labels  # (N, N)
        positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)  # (N, N)
        if self.mining == "hard":
            return self.hardest(squared, positive, same)
        anchors, positives = positive.nonzero(as_tuple=True)  # (A,) pairs of one class
        hinge = squared[anchors, positives].unsqueeze(1) - squared[anchors] + self.margin  # (A, N) one column per negative
        valid = ~same[anchors]
        if self.mining == "all":
            return hinge[valid]
        inside = valid & (hinge > 0) & (hinge < self.margin)
        nearest = hinge.masked_fill(~inside, -torch.inf).argmax(dim=1, keepdim=True)  # (A, 1)
        return hinge.gather(1, nearest).squeeze(1)[inside.any(dim=1)]

    def hardest(self, squared: Tensor, positive: Tensor, same: Tensor) -> Tensor:
        """One hinge for each anchor that has both a positive and a negative: (N, N) -> (T,)."""
        usable = positive.any(dim=1) & ~same.all(dim=1)
        farthest = squared.masked_fill(~positive, -torch.inf).amax(dim=1)[usable]
        nearest = squared.masked_fill(same, torch.inf).amin(dim=1)[usable]
        return farthest - nearest + self.margin

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        hinges = self.hinges(embeddings, labels)
        active = hinges[hinges > 0]
        return active.mean() if len(active) else widen(embeddings).sum() * 0.0
