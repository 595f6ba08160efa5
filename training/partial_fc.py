"""Partial FC: the class directions are distributed over the ranks, and each step computes the logits of a sample of them.

Source: X. An et al., "Partial FC: training 10 million identities on a single machine", https://arxiv.org/abs/2010.05222
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from device.contract import ClockfaceError
from training import losses

BLOCK = 1024  # classes initialised from one seed, so that their first directions do not depend on the number of ranks


class PartialFCError(ClockfaceError):
    """A loss, a batch or a step does not fit Partial FC."""

    code = "partial_fc"


@dataclass(frozen=True)
class HeldClasses:
    """The classes of one rank in a checkpoint: the state of its `PartialFC`, and the optimizer's state of `loss.weight`."""

    module: dict[str, Any]
    rows: dict[str, Any]

    def per_class(self) -> dict[str, Tensor]:
        """Tensors with one row for each class of the rank: directions, and what the optimizer keeps for each."""
        store, extra = self.module["store"], self.module["_extra_state"]["moments"]
        kept = {key: value for key, value in self.rows.items() if torch.is_tensor(value) and value.shape == store.shape}
        return {"store": store, **kept, **extra}


class PartialFC(nn.Module):
    """A margin loss whose classes are sharded over ranks and sampled.

    Rank r of R holds the classes classes * r // R up to classes * (r + 1) // R in `store`. In each step `loss.weight`, the only
    parameter, holds the classes of the batch and random others, together `sample_rate` of the shard. Every rank receives the
    embeddings of all ranks, so the batches of all ranks must have the same size. Label -1 is ignored.

    The gradient of the embeddings is multiplied by R, since DistributedDataParallel divides it by R afterwards. Exclude this module
    from DistributedDataParallel: its rows belong to this rank alone. With sampling, call `attach(optimizer)` once, so that momentum
    stays with its rows, and step the optimizer after each backward pass (no gradient accumulation).

    Args:
        name: a loss on angles of `training.losses`; `options` are passed to it.
        embedding_size: D.
        classes: of all ranks together.
        sample_rate: 0..1, share of the shard that is computed in a step.
        seed: of the initial directions and of the sampling.

    Shape:
        embeddings (N, D) float, labels (N,) int64 in -1..classes-1 -> scalar, the same on every rank
    """

    store: Tensor  # (shard, ...) every class of this rank
    resident: Tensor  # (S,) int64, sorted: the classes of `store` that are in loss.weight

    def __init__(self, name: str, embedding_size: int, classes: int, sample_rate: float = 1.0, seed: int = 0, **options: Any) -> None:
        super().__init__()
        self.world, self.rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
        self.classes = classes
        self.first, self.stop = bounds(classes, self.rank, self.world)
        if not 0 < sample_rate <= 1 or self.stop == self.first:
            raise PartialFCError(f"sample_rate {sample_rate:g} of {self.stop - self.first} classes on rank {self.rank}: needs 0 < rate <= 1, classes >= ranks")
        loss = losses.build(name, embedding_size, 1, **options)
        if not isinstance(loss, losses.Margin):
            able = [key for key, kind in losses.LOSSES.items() if issubclass(kind, losses.Margin)]
            raise PartialFCError(f"loss {name!r} has no class directions to distribute; choose one of {', '.join(able)}")
        self.loss = loss
        held = math.ceil(sample_rate * (self.stop - self.first))
        self.register_buffer("store", draw(self.first, self.stop, loss.weight.shape[1:], seed))
        self.register_buffer("resident", torch.arange(held))
        loss.weight = nn.Parameter(self.store[:held].clone())
        self.moments: dict[str, Tensor] = {}  # optimizer state of every class, exchanged like the rows
        self.optimizer: torch.optim.Optimizer | None = None
        self.generator = torch.Generator().manual_seed(seed * 1_000_003 + self.rank)
        self.register_state_dict_pre_hook(lambda *_: self.page_out())  # type: ignore[no-untyped-call]

    @property
    def sampled(self) -> bool:
        return len(self.resident) < len(self.store)

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep the optimizer's state of each row (momentum, Adam's moments) with the row when rows are exchanged."""
        self.optimizer = optimizer

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        embeddings = Gather.apply(embeddings)  # type: ignore[no-untyped-call]  # (R * N, D)
        labels = gather(labels)  # (R * N,)
        embeddings, labels = embeddings[labels >= 0], labels[labels >= 0]  # (M, D), (M,)
        local = labels - self.first
        local = torch.where((local >= 0) & (local < len(self.store)), local, -1)
        if self.training and self.sampled:
            self.page(self.sample(local[local >= 0]))
        position = torch.full((len(self.store) + 1,), -1, device=labels.device)  # the last is for classes of other ranks
        position[self.resident] = torch.arange(len(self.resident), device=labels.device)
        own = position[local]  # (M,) row in loss.weight, or -1
        logits = self.loss.logits(embeddings, self.loss.weight, own)  # (M, S)
        total: Tensor = ShardedCrossEntropy.apply(logits, own)  # type: ignore[no-untyped-call]
        return total

    @torch.no_grad()
    def sample(self, present: Tensor) -> Tensor:
        """The classes of the batch and random others: (M,) -> (S,) sorted, as many as `loss.weight` has rows."""
        chance = torch.rand(len(self.store), generator=self.generator).to(present.device)
        chance[present] = 2.0
        needed = int((chance > 1).sum())
        if needed > len(self.resident):
            raise PartialFCError(f"the batch has {needed} classes of rank {self.rank}, a step holds {len(self.resident)}; raise sample_rate")
        return chance.topk(len(self.resident)).indices.sort().values

    @torch.no_grad()
    def page(self, wanted: Tensor) -> None:
        """Store the rows and load the `wanted` ones, (S,) sorted, each with its optimizer state."""
        if self.loss.weight.grad is not None:
            raise PartialFCError("rows still have a gradient; call optimizer.zero_grad() before each forward pass; to accumulate gradients, use sample_rate 1")
        self.page_out()
        self.resident = wanted
        self.loss.weight.copy_(self.store[wanted])
        for key, state in self._moments():
            state.copy_(self.moments[key][wanted])

    @torch.no_grad()
    def page_out(self) -> None:
        """Write the rows and their optimizer state to the store, from which checkpoints are made."""
        self.store[self.resident] = self.loss.weight
        for key, state in self._moments():
            if key not in self.moments:
                self.moments[key] = torch.zeros_like(self.store)
            self.moments[key][self.resident] = state

    def _moments(self) -> list[tuple[str, Tensor]]:
        weight = self.loss.weight
        state = self.optimizer.state[weight] if self.optimizer is not None and weight in self.optimizer.state else {}
        return [(key, value) for key, value in state.items() if torch.is_tensor(value) and value.shape == weight.shape]

    def get_extra_state(self) -> dict[str, Any]:
        return {"moments": self.moments, "generator": self.generator.get_state()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.moments = dict(state["moments"])
        self.generator.set_state(state["generator"])


    def gathered(self, world: int, of: Callable[[int], HeldClasses]) -> HeldClasses:
        """The classes of this rank, out of the checkpoint of another number of ranks.

        Args:
            world: number of ranks that wrote it.
            of: the part of a rank; only those that overlap with this rank are asked for, one after the other.
        """
        rows: dict[str, Tensor] = {}
        for rank in range(world):
            start, stop = bounds(self.classes, rank, world)
            low, high = max(start, self.first), min(stop, self.stop)
            if low < high:
                part = of(rank)
                for key, value in part.per_class().items():
                    rows.setdefault(key, torch.zeros_like(self.store))[low - self.first : high - self.first] = value[low - start : high - start]
        held = torch.arange(len(self.resident))
        moments = {key: value for key, value in rows.items() if key != "store"}
        extra = {"moments": moments if self.sampled else {}, "generator": self.generator.get_state()}
        module = {**part.module, "store": rows["store"], "resident": held, "loss.weight": rows["store"][held], "_extra_state": extra}
        return HeldClasses(module, {**part.rows, **{key: value[held] for key, value in moments.items()}})


def bounds(classes: int, rank: int, world: int) -> tuple[int, int]:
    """The classes of a rank: the first, and the one after the last."""
    return classes * rank // world, classes * (rank + 1) // world


def draw(first: int, stop: int, shape: torch.Size, seed: int) -> Tensor:
    """Random directions of the classes first..stop-1, the same for any sharding: -> (stop - first, *shape)."""
    directions = torch.empty(stop - first, *shape)
    for block in range(first // BLOCK, -(-stop // BLOCK)):
        rows = torch.randn(BLOCK, *shape, generator=torch.Generator().manual_seed(seed * 1_000_003 + block))
        low, high = max(first, block * BLOCK), min(stop, (block + 1) * BLOCK)
        directions[low - first : high - first] = rows[low - block * BLOCK : high - block * BLOCK] / shape[-1] ** 0.5
    return directions


def gather(x: Tensor) -> Tensor:
    """Every rank's rows, in the order of the ranks: (N, ...) -> (R * N, ...)."""
    if not dist.is_initialized():
        return x
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def reduce(x: Tensor, operation: Any = dist.ReduceOp.SUM) -> Tensor:
    """Sum (or maximum) over the ranks, in place."""
    if dist.is_initialized():
        dist.all_reduce(x, operation)
    return x


class Gather(torch.autograd.Function):
    """`gather` with a gradient: the sum over the ranks of the gradients of this rank's rows, times R (see PartialFC)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        return gather(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        if not dist.is_initialized():
            return gradient
        mine = dist.get_rank() * ctx.rows
        summed = reduce(gradient.clone())  # (R * N, D)
        return summed[mine : mine + ctx.rows] * dist.get_world_size()


class ShardedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of rows whose columns lie on several ranks: (N, S), (N,) own column or -1 -> scalar.

    The ranks exchange three numbers per row: the maximum, the sum of exponentials and the logit of the own class.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, own: Tensor) -> Tensor:
        largest = reduce(logits.amax(dim=1, keepdim=True), dist.ReduceOp.MAX)  # (N, 1)
        rows = (own >= 0).nonzero().squeeze(1)
        target = torch.zeros_like(largest)
        target[rows, 0] = logits[rows, own[rows]] - largest[rows, 0]
        reduce(target)
        powers = (logits - largest).exp_()  # (N, S)
        total = reduce(powers.sum(dim=1, keepdim=True))  # (N, 1)
        probability = powers.div_(total)
        probability[rows, own[rows]] -= 1
        ctx.save_for_backward(probability.div_(max(len(own), 1)))
        return (total.log() - target).sum() / max(len(own), 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        probability: Tensor = ctx.saved_tensors[0]
        return probability * gradient, None
