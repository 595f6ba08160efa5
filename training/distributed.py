"""One process or many (torchrun): rank, world, device, and DistributedDataParallel around the training step."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed.nn.functional  # here, before there is a group: the defaults of its functions would keep the group, and its threads, for ever
from torch import distributed, nn
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from device.contract import ClockfaceError
from training.config import RunSettings


@dataclass(frozen=True)
class Group:
    """This process and its place among all processes."""

    rank: int
    world: int
    kind: str  # "cpu" or "cuda"
    device: torch.device
    store: Store | None = None  # what the processes know of each other; None: one process

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

    def say(self, line: str) -> None:
        """Print a line, by the first process."""
        if self.first:
            print(line, flush=True)

    def meet(self, needed: bool = True) -> None:
        """Wait until every process is here."""
        if self.world > 1 and needed:
            distributed.all_reduce(torch.zeros(1))  # on the CPU, by gloo

    def together(self, progress: float, stop: bool) -> tuple[float, bool]:
        """The first process's progress, and whether any process was asked to stop: the same in all processes, so that they end after the same step."""
        if self.world == 1:
            return progress, stop
        shared = torch.tensor([progress if self.first else 0.0, float(stop)], dtype=torch.float64)
        distributed.all_reduce(shared)  # on the CPU, by gloo: a GPU would have to wait
        return float(shared[0]), bool(shared[1])

    def agree(self, value: float) -> float:
        """The first process's value, in all processes."""
        if self.world == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)  # on the CPU, by gloo: a GPU would have to wait
        distributed.broadcast(shared, src=0)
        return float(shared)

    def stop(self) -> None:
        """Leave the group, together: who leaves early may take what the others still need."""
        self.meet()
        if self.world > 1:
            distributed.destroy_process_group()


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU on the device; the CPU does not wait for the copy."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def is_first() -> bool:
    """Whether this is the process that writes, before a group is made and after it has ended."""
    return os.environ.get("RANK", "0") == "0"


def start(settings: RunSettings) -> Group:
    """Join the group that torchrun's environment describes, by NCCL on GPUs and gloo on CPUs; without torchrun, a group of one process."""
    world, rank, local = (int(os.environ.get(key, default)) for key, default in (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0")))
    cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    if cuda and not torch.cuda.is_available():
        raise ClockfaceError('run.device = "cuda": torch finds no GPU; install the CUDA build of torch and its driver, or set "cpu"')
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if world == 1:
        return Group(rank, world, device.type, device)
    store, rank, world = next(rendezvous("env://"))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", store=PrefixStore("group", store), rank=rank, world_size=world)
    return Group(rank, world, device.type, device, store)
