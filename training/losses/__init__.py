"""The losses from softmax to AdaFace, each in a file of its own name; `build` makes one by name."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from training.losses.a_softmax import ASoftmax
from training.losses.adaface import AdaFace
from training.losses.arcface import ArcFace
from training.losses.arcface_clipped_gradient import ArcFaceClippedGradient
from training.losses.arcface_naive import ArcFaceNaive
from training.losses.arcface_scaled import ArcFaceScaled
from training.losses.arcface_straight_through import ArcFaceStraightThrough
from training.losses.center import Center
from training.losses.center_squared import CenterSquared
from training.losses.contrastive import Contrastive
from training.losses.cosface import CosFace
from training.losses.margin import Margin
from training.losses.options import LossError
from training.losses.siamese import Siamese
from training.losses.softmax import Softmax
from training.losses.softmax_twice import SoftmaxTwice
from training.losses.subcenter_arcface import SubcenterArcFace
from training.losses.triplet import Triplet

__all__ = ["LOSSES", "LossError", "Margin", "build"]

LOSSES: dict[str, type[nn.Module]] = {
    "softmax": Softmax,
    "softmax_twice": SoftmaxTwice,
    "center": Center,
    "center_squared": CenterSquared,
    "contrastive": Contrastive,
    "siamese": Siamese,
    "triplet": Triplet,
    "a_softmax": ASoftmax,
    "arcface": ArcFace,
    "arcface_naive": ArcFaceNaive,
    "arcface_clipped_gradient": ArcFaceClippedGradient,
    "arcface_scaled": ArcFaceScaled,
    "arcface_straight_through": ArcFaceStraightThrough,
    "cosface": CosFace,
    "subcenter_arcface": SubcenterArcFace,
    "adaface": AdaFace,
}


def build(name: str, embedding_size: int, classes: int, **options: Any) -> nn.Module:
    """Make a loss: a module that maps embeddings (N, D) and labels (N,) int64 to a scalar.

    Args:
        name: one of LOSSES.
        embedding_size: D.
        classes: C, the number of identities; not used by losses on pairs and triplets.
        options: further arguments of the loss's constructor, such as margin (in radians for the ArcFace family) and scale.

    Raises:
        LossError: the name, an option or a value is not allowed; the message lists the allowed ones.
    """
    if name not in LOSSES:
        raise LossError(f"loss {name!r} does not exist; choose one of {', '.join(LOSSES)}")
    known = [key for key in inspect.signature(LOSSES[name]).parameters if key not in ("embedding_size", "classes")]
    for key in options:
        if key not in known:
            raise LossError(f"loss {name!r} has no option {key!r}; it has {', '.join(known)}")
    if issubclass(LOSSES[name], Contrastive | Siamese | Triplet):
        return LOSSES[name](**options)
    return LOSSES[name](embedding_size, classes, **options)
