"""Weights that are validated and published in place of the trained ones: a moving average, or the midpoint of a stage."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from training.config import RunSettings


class Average:
    """Exponential moving average of an embedder; with decay 0 it is the embedder itself.

    The decay warms up as (1 + t) / (10 + t), so that the average soon forgets the first steps.
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

    def saved(self, embedder: nn.Module) -> dict[str, Any]:
        """Entries for a checkpoint; "averaged" holds the weights to use, None if they are those of the embedder."""
        return {"averaged": None if self._copy is None else self._copy.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        if self._copy is not None and state["averaged"] is not None:
            self._copy.load_state_dict(state["averaged"])
            self._steps = state["step"]


class HalfWay:
    """The midpoint between the weights at the start of a stage and the trained weights; the next stage starts from it.

    A net that is fine-tuned loses accuracy on data unlike the new data; the midpoint keeps most of that accuracy and most of the gain.

    Args:
        embedder: the net at the start of the first stage.
        stage: optimiser steps per stage.

    Source: M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, https://arxiv.org/abs/2109.01903.
    """

    def __init__(self, embedder: nn.Module, stage: int) -> None:
        self._stage, self._steps = stage, 0
        self._start = copy.deepcopy(embedder.state_dict())
        self._copy = copy.deepcopy(embedder).requires_grad_(False)

    def update(self, embedder: nn.Module) -> None:
        """Count a step; at the end of a stage, set the embedder to the midpoint, from which the next stage starts."""
        self._steps += 1
        if self._steps % self._stage == 0:
            self._start = copy.deepcopy(self.of(embedder).state_dict())
            embedder.load_state_dict(self._start)

    @torch.no_grad()
    def of(self, embedder: nn.Module) -> nn.Module:
        now = embedder.state_dict()
        half = {name: torch.lerp(start, now[name], 0.5) if start.is_floating_point() else now[name] for name, start in self._start.items()}
        self._copy.load_state_dict(half)
        return self._copy

    def saved(self, embedder: nn.Module) -> dict[str, Any]:
        return {"averaged": self.of(embedder).state_dict(), "start": self._start}

    def load(self, state: dict[str, Any]) -> None:
        self._start, self._steps = state["start"], state["step"]


def build(embedder: nn.Module, settings: RunSettings) -> Average | HalfWay:
    """The kind that the recipe sets."""
    return HalfWay(embedder, settings.halfway_steps) if settings.halfway_steps else Average(embedder, settings.ema)
