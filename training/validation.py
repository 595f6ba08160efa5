"""Validation on people who are not trained on: scores of all pairs of their crops, and the cosine to the teacher."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from training import metrics
from training.config import DataSettings, Recipe, SourceSettings
from training.data import Crops, DataError, split
from training.loader import Loader


@dataclass(frozen=True)
class ValidationReport:
    """The results of a validation; `score` selects the best checkpoint."""

    tar_at_far_1e_2: float
    tar_at_far_1e_3: float
    tar_at_far_1e_4: float
    d_prime: float
    teacher_cosine: float  # mean; NaN without a teacher of the same size

    @property
    def score(self) -> float:
        """Mean TAR plus a tenth of d'. TAR depends on few pairs, d' on all. Between similar nets, 0.1 more d' goes with one point more TAR."""
        return (self.tar_at_far_1e_3 + self.tar_at_far_1e_4) / 2 + self.d_prime / 10


@dataclass(frozen=True)
class Parts:
    """Numbers of the crops to train on; the set to validate on, and the numbers of its crops that are used."""

    train: NDArray[np.int64]
    watched: Crops
    validation: NDArray[np.int64]


def parts(crops: Crops, recipe: Recipe) -> Parts:
    """Training crops, and for validation the people of `data.validation` or identities held out of the training set.

    Raises:
        DataError: `data.validation` is a source as well.
    """
    settings = recipe.data
    if crops.shards is not None and not settings.validation:
        raise DataError("data.validation: shards are read in their order, so nobody can be held out of them; name a folder of other people")
    if not settings.validation:
        both = split(crops.labels, settings.validation_identities, recipe.run.seed)
        return Parts(both.train, crops, both.validation)
    if settings.validation in [source.path for source in settings.sources]:
        raise DataError(f"data.validation = {settings.validation}: it is a source as well; name a folder of people who are not trained on")
    others = validation_set(settings.validation)
    return Parts(np.arange(len(crops)), others, np.arange(len(others)))


def watched(recipe: Recipe) -> tuple[Crops, NDArray[np.int64]]:
    """The crops that a run is validated on, and their numbers, without reading a training set that is not needed for it."""
    if recipe.data.validation:
        crops = validation_set(recipe.data.validation)
        return crops, np.arange(len(crops))
    both = parts(Crops(recipe.data), recipe)
    return both.watched, both.validation


def validation_set(path: str) -> Crops:
    return Crops(DataSettings((SourceSettings(path, "folder"),), cache=True))


def validate(embedder: nn.Module, crops: Crops, numbers: NDArray[np.int64], recipe: Recipe) -> ValidationReport:
    """Embed the crops of `numbers` without augmentation and compare all pairs."""
    was_training = embedder.training
    embedder.eval()
    embeddings, index = embed(embedder, crops, numbers, recipe)
    embedder.train(was_training)
    curve = metrics.all_pairs(embeddings, crops.labels[index])
    teacher = crops.teacher
    comparable = teacher is not None and teacher.shape[1] == embeddings.shape[1]
    cosine = float((embeddings * teacher[index]).sum(1).mean()) if teacher is not None and comparable else float("nan")
    return ValidationReport(curve.tar_at(1e-2), curve.tar_at(1e-3), curve.tar_at(1e-4), curve.d_prime(), cosine)


@torch.inference_mode()
def embed(embedder: nn.Module, crops: Crops, numbers: NDArray[np.int64], recipe: Recipe) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(M, D) float32 unit rows and the numbers they belong to; corrupted crops are left out."""
    device = next(embedder.parameters()).device
    loader = Loader(crops, recipe.data, None, recipe.run.seed)
    lists = [numbers[i : i + 256] for i in range(0, len(numbers), 256)]
    batches = list(loader.batches(lists, epoch=0))
    rows = torch.cat([F.normalize(embedder(batch.crops.to(device)).float()).cpu() for batch in batches])
    return rows.numpy(), torch.cat([batch.index for batch in batches]).numpy()
