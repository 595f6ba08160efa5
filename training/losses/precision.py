"""Losses are computed in at least float32, whatever the type of the embeddings: bfloat16 has 8 bits, an angle of 5 degrees needs 9."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST_LENGTH = 1e-6  # a shorter vector has no usable direction; division by its length would only enlarge the gradient


def widen(x: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def unit(x: Tensor) -> Tensor:
    """Scale each vector along the last axis to length 1: (..., D) -> (..., D), at least float32."""
    return functional.normalize(widen(x), dim=-1, eps=SMALLEST_LENGTH)
