"""An exponential moving average of the weights: the validated and shipped ones, where the recipe asks for it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Average:
    """Averaged copy of an embedder; with decay 0 it is the embedder itself.

    The decay warms up as (1 + t) / (10 + t), so that the first steps do not linger.
    """

    def __init__(self, embedder: nn.Module, decay: float) -> None:
        self._decay, self._steps = decay, 0
        self._copy = copy.deepcopy(embedder).requires_grad_(False) if decay else None

    @torch.no_grad()
    def update(self, embedder: nn.Module) -> None:
        if self._copy is None:
            return
        self._steps += 1
        weight = 1 - min(self._decay, (1 + self._steps) / (10 + self._steps))
        for mean, value in zip(self._copy.state_dict().values(), embedder.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:
                mean.copy_(value)

    def of(self, embedder: nn.Module) -> nn.Module:
        return embedder if self._copy is None else self._copy

    def state(self) -> dict[str, Any] | None:
        return None if self._copy is None else self._copy.state_dict()

    def load(self, state: dict[str, Any] | None, steps: int) -> None:
        """Go on from a state and the number of updates behind it."""
        if self._copy is not None and state is not None:
            self._copy.load_state_dict(state)
            self._steps = steps
