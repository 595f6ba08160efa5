"""One optimiser step: forward and backward pass of a batch, clipping, the update, and the check that all of it is finite."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from device.contract import ClockfaceError
from training import distributed
from training.config import Recipe, RunSettings
from training.loader import Batch
from training.model import EmbedderNet
from training.muon import Muon
from training.objective import Objective
from training.partial_fc import PartialFC

OWN = "objective.classify."  # what the names of parameters begin with that Partial FC keeps in one process alone
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class DivergedError(ClockfaceError):
    """A loss or gradient is not finite."""

    code = "diverged"


class TrainStep(nn.Module):
    """Embedder and objective as one module, so that DistributedDataParallel sees every parameter in one forward pass."""

    def __init__(self, embedder: EmbedderNet, objective: Objective, settings: RunSettings, device: str) -> None:
        super().__init__()
        self.embedder, self.objective, self.dtype, self.device = embedder, objective, DTYPES[settings.precision], device
        self.embed: Callable[[torch.Tensor], torch.Tensor] = torch.compile(embedder.forward) if settings.compile else embedder.forward
        sharded = isinstance(objective.classify, PartialFC)
        self.own = [name for name, _ in self.named_parameters() if sharded and name.startswith(OWN)]  # parameters of this process alone

    def forward(self, crops: torch.Tensor, labels: torch.Tensor, index: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            embeddings = self.embed(crops)  # (N, D)
        losses: dict[str, torch.Tensor] = self.objective(embeddings.float(), labels, index)
        return losses


def build_optimiser(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimiser of the recipe, without weight decay on vectors (batch norm and biases)."""
    settings = recipe.optimiser
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=settings.momentum > 0)
    if settings.name == "muon":
        return Muon(groups, settings.learning_rate)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True if trained[0].is_cuda else None)


def accumulate(wrapped: nn.Module, batch: Batch, equal_parts: int, scaler: Any, group: distributed.Group) -> dict[str, torch.Tensor]:
    """Forward and backward pass over the batch in parts; the gradients are those of the mean over the whole batch.

    Returns the losses as scalars on the device: reading them would make a GPU wait.
    """
    sums: dict[str, torch.Tensor] = {}
    pieces = [t.tensor_split(equal_parts) for t in (batch.crops, batch.labels, batch.index)]
    for number, piece in enumerate(zip(*pieces, strict=True)):
        share = len(piece[1]) / len(batch.labels)
        last = number == equal_parts - 1
        no_sync: Callable[[], Any] = getattr(wrapped, "no_sync", contextlib.nullcontext)
        with contextlib.nullcontext() if last else no_sync():
            losses = wrapped(*(tensor.to(group.device, non_blocking=True) for tensor in piece))
            scaler.scale(losses["loss"] * share).backward()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value.detach().double() * share
    return sums


def update(module: TrainStep, optimiser: torch.optim.Optimizer, scaler: Any, clip_norm: float, check: bool) -> torch.Tensor:
    """Clip the gradient, step, clear it; returns its norm before clipping.

    With `check`, a step whose gradient is not finite is not taken, and its gradient stays. In float16 the scaler itself skips a step that overflowed.
    """
    scaler.unscale_(optimiser)
    own = set(module.own)
    norm = nn.utils.clip_grad_norm_([p for name, p in module.named_parameters() if name not in own], clip_norm or float("inf"))  # equal in all processes
    if scaler.is_enabled() or not check or torch.isfinite(norm):
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad()
    return torch.zeros_like(norm).double() if scaler.is_enabled() else norm.detach().double()


def stop_if_diverged(module: nn.Module, sums: dict[str, torch.Tensor], step: int, batch: Batch) -> None:
    """Stop the run if a loss or gradient norm was not finite; `sums` adds up those of all steps since the last check.

    Raises:
        DivergedError: with the parts of the loss, the parameters and the crops concerned.
    """
    bad = [name for name, value in zip(sums, torch.stack(list(sums.values())).tolist(), strict=True) if not abs(value) < float("inf")]
    if not bad:
        return
    parts = [name for name in bad if name not in ("loss", "gradient")]
    gradients = [n for n, p in module.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    raise DivergedError(
        f"at or before step {step - 1}: not finite: loss parts {parts or 'none'}, gradients of {gradients[:5] or 'none'}, "
        f"crops {batch.index[:8].tolist()}; resume with a lower optimiser.learning_rate or another loss"
    )
