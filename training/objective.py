"""The training objective: the loss on labelled crops plus distillation from the teacher, with the weights of the recipe."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from device.contract import ClockfaceError
from training import losses
from training.config import Recipe
from training.distill import DistillLoss
from training.losses import Margin
from training.partial_fc import PartialFC


class Objective(nn.Module):
    """Total loss of a batch and its named parts.

    Args:
        recipe: names and weights.
        classes: number of labelled identities.
        bank: (B, D) float32 teacher embeddings of the whole set, or None.
        labelled: whether every crop has a label; if not, those without one are sorted out in each step, for which a GPU waits.

    Raises:
        ClockfaceError: the recipe has no loss, or its distillation does not fit the teacher.
    """

    def __init__(self, recipe: Recipe, classes: int, bank: torch.Tensor | None, labelled: bool = False) -> None:
        super().__init__()
        self.weight, self.labelled = recipe.loss.weight, labelled
        size, weights = recipe.backbone.embedding_size, recipe.distill
        distilled = any((weights.cosine, weights.relations, weights.bank, weights.instance))
        if not distilled and not recipe.loss.name:
            raise ClockfaceError("the recipe has no loss; set loss.name or a weight in [distill]")
        if distilled and bank is None:
            raise ClockfaceError("[distill] has weights, but no source has a teacher; set `teacher` of a source")
        same_space = any((weights.cosine, weights.bank, weights.instance))  # not `relations`: similarities do not depend on the embedding size
        if same_space and bank is not None and bank.shape[1] != size:
            raise ClockfaceError(f"the teacher's embedding size is {bank.shape[1]}, the student's {size}; set backbone.embedding_size = {bank.shape[1]}")
        self.distill = DistillLoss(weights, bank) if distilled and bank is not None else None
        self.classify = build_loss(recipe, classes) if recipe.loss.name else None

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor, index: torch.Tensor) -> dict[str, torch.Tensor]:
        """(N, D) float, (N,) int64, (N,) int64 -> {"loss": scalar to minimise, and each part}."""
        parts = {}
        if self.distill is not None:
            parts["distill"] = self.distill(embeddings, index)
        if self.classify is not None:
            parts["classify"] = self.weight * self._classified(embeddings, labels)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def _classified(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert self.classify is not None
        if self.labelled or isinstance(self.classify, PartialFC):  # which skips unknown labels itself: its processes exchange batches of equal size
            return torch.as_tensor(self.classify(embeddings, labels))
        known = labels >= 0
        return torch.as_tensor(self.classify(embeddings[known], labels[known])) if known.any() else embeddings.sum() * 0.0


def build_loss(recipe: Recipe, classes: int) -> nn.Module:
    """The loss on labelled crops; with loss.sample_rate, its classes are distributed over the processes."""
    settings, size = recipe.loss, recipe.backbone.embedding_size
    if settings.sample_rate:
        return PartialFC(settings.name, size, classes, settings.sample_rate, recipe.run.seed, **settings.options)
    return losses.build(settings.name, size, classes, **settings.options)


def start_at_means(loss: nn.Module | None, bank: torch.Tensor | None, labels: torch.Tensor) -> None:
    """Set each class direction of a loss to the mean of the teacher embeddings of its crops: a net that starts in the teacher's space is not thrown back.

    Args:
        loss: on angles, with one direction per class.
        bank: (B, D) float32 unit rows; a zero row is a crop without a teacher.
        labels: (B,) int64, -1 unknown.

    Raises:
        ClockfaceError: the loss has no such directions, or a class has no teacher embedding.
    """
    if not isinstance(loss, Margin) or loss.weight.dim() != 2:
        raise ClockfaceError("loss.centres = 'means' needs a loss on angles with one direction per class, such as 'arcface', and loss.sample_rate = 0")
    classes = len(loss.weight)
    known = labels >= 0
    sums = torch.zeros(classes, loss.weight.shape[1])
    if bank is None or bank.shape[1] != sums.shape[1]:
        raise ClockfaceError(f"loss.centres = 'means' needs teacher embeddings of size {sums.shape[1]}; set `teacher` of the labelled sources")
    sums.index_add_(0, labels[known], bank[known])
    empty = int((sums.norm(dim=1) < 1e-6).sum())
    if empty:
        raise ClockfaceError(f"loss.centres = 'means': {empty} of {classes} people have no teacher embedding; set `teacher` of every labelled source")
    with torch.no_grad():
        loss.weight.copy_(F.normalize(sums))
