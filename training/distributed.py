"""One process or many (torchrun): rank, world, device, and DistributedDataParallel around the training step."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import distributed, nn

from device.contract import ClockfaceError
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
        shared = torch.tensor(value, dtype=torch.float64)  # on the CPU, by gloo: a GPU would have to wait
        distributed.broadcast(shared, src=0)
        return float(shared)

    def stop(self) -> None:
        if self.world > 1:
            distributed.destroy_process_group()


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU on the device; the CPU does not wait for the copy."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def start(settings: RunSettings) -> Group:
    """Join the group that torchrun's environment describes, by NCCL on GPUs and gloo on CPUs; without torchrun, a group of one process."""
    world, rank, local = (int(os.environ.get(key, default)) for key, default in (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0")))
    cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    if cuda and not torch.cuda.is_available():
        raise ClockfaceError('run.device = "cuda": torch finds no GPU; install the CUDA build of torch and its driver, or set "cpu"')
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if world > 1:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    return Group(rank, world, device.type, device)
