"""Validation on held-out identities: every pair of their crops, and the cosine to the teacher."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from training import metrics
from training.config import Recipe
from training.data import Crops
from training.loader import Loader


@dataclass(frozen=True)
class Report:
    """What a validation found; `score` chooses the best checkpoint."""

    tar_at_far_1e_2: float
    tar_at_far_1e_3: float
    teacher_cosine: float  # mean; NaN without a teacher of the same size

    @property
    def score(self) -> float:
        return self.tar_at_far_1e_3


def validate(embedder: nn.Module, crops: Crops, numbers: NDArray[np.int64], recipe: Recipe) -> Report:
    """Embed the crops of `numbers` without augmentation and compare each with each."""
    was_training = embedder.training
    embedder.eval()
    embeddings, index = embed(embedder, crops, numbers, recipe)
    embedder.train(was_training)
    labels = crops.labels[index]
    rows, columns = np.triu_indices(len(index), 1)
    scores = (embeddings @ embeddings.T)[rows, columns]
    same = labels[rows] == labels[columns]
    curve = metrics.Scores(scores[same], scores[~same])
    teacher = crops.teacher
    comparable = teacher is not None and teacher.shape[1] == embeddings.shape[1]
    cosine = float((embeddings * teacher[index]).sum(1).mean()) if teacher is not None and comparable else float("nan")
    return Report(curve.tar_at(1e-2), curve.tar_at(1e-3), cosine)


@torch.inference_mode()
def embed(embedder: nn.Module, crops: Crops, numbers: NDArray[np.int64], recipe: Recipe) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(M, D) float32 unit rows and the numbers they belong to; corrupted crops are left out."""
    device = next(embedder.parameters()).device
    loader = Loader(crops, recipe.data, None, recipe.run.seed)
    lists = [numbers[i : i + 256] for i in range(0, len(numbers), 256)]
    batches = list(loader.batches(lists, epoch=0))
    rows = torch.cat([F.normalize(embedder(batch.crops.to(device)).float()).cpu() for batch in batches])
    return rows.numpy(), torch.cat([batch.index for batch in batches]).numpy()
