"""The training objective: the loss on labelled crops plus distillation from the teacher, with the weights of the recipe."""

from __future__ import annotations

import torch
from torch import nn

from device.contract import ClockfaceError
from training import losses
from training.config import Recipe
from training.distill import DistillLoss
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
