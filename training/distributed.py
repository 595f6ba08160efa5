"""One process or many (torchrun): rank, world, device, and DistributedDataParallel around the training step."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import distributed, nn

from training.config import RunSettings


@dataclass(frozen=True)
class Group:
    """This process and its place among all processes."""

    rank: int
    world: int
    kind: str  # "cpu" or "cuda"
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wrap(self, module: nn.Module, own: list[str]) -> nn.Module:
        """DistributedDataParallel over all parameters except `own`, which belong to this process alone, and their buffers."""
        if self.world == 1:
            return module
        buffers = [name for name, _ in module.named_buffers() if own and name.startswith("objective.classify.")]
        nn.parallel.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, own + buffers)  # type: ignore[no-untyped-call]
        return nn.parallel.DistributedDataParallel(module)

    def file(self, name: str) -> str:
        """File name of this process's checkpoint; in the first process it is `name` itself."""
        return name if self.first else f"{self.rank}.{name}"

    def agree(self, value: float) -> float:
        """The first process's value, in all processes, because clocks and validations differ between them."""
        if self.world == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, src=0)
        return float(shared)

    def stop(self) -> None:
        if self.world > 1:
            distributed.destroy_process_group()


def start(settings: RunSettings) -> Group:
    """Join the group that torchrun's environment describes, by NCCL on GPUs and gloo on CPUs; without torchrun, a group of one process."""
    world, rank, local = (int(os.environ.get(key, default)) for key, default in (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0")))
    cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if world > 1:
        distributed.init_process_group("nccl" if cuda else "gloo")
    return Group(rank, world, device.type, device)
