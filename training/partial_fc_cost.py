"""What Partial FC costs: the time of a step over all classes and over a sample; the memory of a rank and the traffic of a step, on paper and measured.

    python -m training partial_fc [--classes 100000]
    python -m training partial_fc --ranks 4 --classes 1000000
    python -m training partial_fc --ranks 64 --classes 10000000 --embedding-size 512 --batch 128 --paper
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # before there is a group, as in training/distributed.py
from torch import multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from training import arguments, backbones
from training.partial_fc import PartialFC, PartialFCError

FLOAT = 4  # bytes
MB = 1e6


@dataclass(frozen=True)
class Paper:
    """Memory and traffic of one rank by arithmetic, in bytes; SGD with momentum, float32.

    Args:
        classes: of all ranks together.
        size: D, of an embedding.
        batch: N, crops of one rank in a step.
        ranks: R.
        rate: share of its classes that a rank computes in a step.
        trunk: parameters of the net before the classes.
    """

    classes: int
    size: int
    batch: int
    ranks: int
    rate: float
    trunk: int

    @property
    def held(self) -> int:
        """Classes of a rank."""
        return -(-self.classes // self.ranks)

    @property
    def directions(self) -> float:
        """All directions of a rank, and their momentum where a sample is drawn of them: with all in use it lies in `step` alone."""
        return self.held * self.size * FLOAT * (2 if self.rate < 1 else 1)

    @property
    def step(self) -> float:
        """Directions in use with gradient, momentum and unit length."""
        return 4 * self.rate * self.held * self.size * FLOAT

    @property
    def logits(self) -> float:
        """(R N, S) cosines, logits and probabilities."""
        return 3 * self.ranks * self.batch * self.rate * self.held * FLOAT

    @property
    def shared(self) -> float:
        """The trunk, which every rank has, with gradient and momentum."""
        return 3 * self.trunk * FLOAT

    @property
    def memory(self) -> float:
        return self.directions + self.step + self.logits + self.shared

    @property
    def sent(self) -> dict[str, float]:
        """Bytes that a rank sends in a step, where a sum over R ranks costs 2 (R - 1) / R of what is summed (a ring), and a gather R - 1 times the own part."""
        others, ring = self.ranks - 1, 2 * (self.ranks - 1) / self.ranks
        rows = self.ranks * self.batch
        return {
            "embeddings": others * self.batch * (self.size * FLOAT + 8),
            "their gradients": ring * rows * self.size * FLOAT,
            "softmax": ring * 3 * rows * FLOAT,
            "gradients of the trunk": ring * self.trunk * FLOAT,
        }

    @property
    def unsharded(self) -> float:
        """Bytes that a rank would send for the gradients of all classes if each rank had them all."""
        return 2 * (self.ranks - 1) / self.ranks * self.classes * self.size * FLOAT


def on_paper(args: argparse.Namespace, trunk: int) -> Paper:
    return Paper(args.classes, args.embedding_size, args.batch, args.ranks, args.sample_rate, trunk)


def paper_text(paper: Paper) -> str:
    """The arithmetic as lines of text."""
    parts = {"directions and their momentum": paper.directions, "those in use": paper.step, "logits": paper.logits, "trunk": paper.shared}
    memory = "\n".join(f"  {name:32} {value / MB:12,.1f} MB" for name, value in {**parts, "memory of a rank": paper.memory}.items())
    sent = "\n".join(f"  {name:32} {value / MB:12,.1f} MB" for name, value in {**paper.sent, "sent by a rank in a step": sum(paper.sent.values())}.items())
    head = f"{paper.classes:,} classes, D {paper.size}, {paper.ranks} ranks x {paper.batch} crops, rate {paper.rate:g}, {paper.held:,} classes on a rank"
    return f"{head}\n{memory}\n{sent}\n  {'(all classes on every rank)':32} {paper.unsharded / MB:12,.1f} MB"


def measured(args: argparse.Namespace, ranks: int, classes: int, rate: float) -> list[float]:
    """Largest resident memory of each of `ranks` processes, MB, after three steps of a trunk and `classes`; a step has args.batch x args.ranks crops."""
    with multiprocessing.Manager() as manager:
        found: Any = manager.dict()
        each = args.batch * args.ranks // ranks
        settings = (ranks, classes, args.embedding_size, each, rate, args.backbone, free_port(), found)
        multiprocessing.spawn(_rank, settings, nprocs=ranks)  # type: ignore[attr-defined, no-untyped-call]
        return [found[rank] / MB for rank in range(ranks)]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _rank(rank: int, ranks: int, classes: int, size: int, batch: int, rate: float, backbone: str, port: int, found: Any) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    if ranks > 1:
        dist.init_process_group("gloo", rank=rank, world_size=ranks)
    step = training_step(classes, size, batch, rate, backbone)
    for _ in range(3):
        step()
    found[rank] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if ranks > 1:
        dist.barrier()
        del step  # and its DistributedDataParallel, as in training/train.py
        dist.destroy_process_group()


def training_step(classes: int, size: int, batch: int, rate: float, backbone: str) -> Callable[[], None]:
    """Forward and backward pass and SGD with momentum of a trunk and Partial FC, on this rank."""
    trunk: nn.Module = backbones.build(backbone, size)
    trunk = DistributedDataParallel(trunk) if dist.is_initialized() else trunk
    head = PartialFC("arcface", size, classes, rate)
    optimizer = torch.optim.SGD([*trunk.parameters(), *head.parameters()], 0.1, momentum=0.9)
    if rate < 1:
        head.attach(optimizer)
    crops = torch.randn(8, 3, 112, 112)  # a few pictures many times: what the trunk needs for a batch is not measured here
    labels = torch.randint(classes, (batch,))

    def step() -> None:
        optimizer.zero_grad()
        embeddings = trunk(crops).repeat(-(-batch // 8), 1)[:batch]
        torch.autograd.backward(head(embeddings, labels))
        optimizer.step()

    return step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--classes", type=arguments.count, default=100_000)
    parser.add_argument("--embedding-size", type=arguments.count, default=192)
    parser.add_argument("--batch", type=arguments.count, default=128)
    parser.add_argument("--sample-rate", type=arguments.number(0, 1), default=0.1)
    parser.add_argument("--steps", type=arguments.count, default=8, help="steps timed, after two to warm up (default 8)")
    parser.add_argument("--ranks", type=arguments.count, help="measure the memory of each of so many processes on this machine, and of one alone")
    parser.add_argument("--backbone", choices=tuple(backbones.BACKBONES), default="edge", help="the trunk, of --ranks (default edge)")
    parser.add_argument("--paper", action="store_true", help="with --ranks: by arithmetic, nothing is measured")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    return run_ranks(args) if args.ranks else run_times(args)


def run_ranks(args: argparse.Namespace) -> int:
    """Print memory of a rank and traffic of a step; a rank that needs more than its part of the whole beside the trunk is an error."""
    trunk = sum(p.numel() for p in backbones.build(args.backbone, args.embedding_size).parameters())
    paper = on_paper(args, trunk)
    print(paper_text(paper))
    if args.paper:
        return 0
    alone = measured(args, args.ranks, 64 * args.ranks, 1.0)
    whole, parts = (measured(args, ranks, args.classes, args.sample_rate) for ranks in (1, args.ranks))
    allowed = whole[0] / args.ranks + max(alone)
    print(f"measured, largest resident memory: one process {whole[0]:,.0f} MB, each of {args.ranks} {', '.join(f'{part:,.0f}' for part in parts)} MB, "
          f"of which {max(alone):,.0f} MB with next to no classes; allowed {allowed:,.0f} MB")  # fmt: skip
    if max(parts) > allowed:
        raise PartialFCError(f"a rank needs {max(parts):,.0f} MB, more than 1/{args.ranks} of the whole and the trunk, {allowed:,.0f} MB")
    return 0


def run_times(args: argparse.Namespace) -> int:
    """Time a step (forward, backward, SGD with momentum) over all classes and over a sample."""
    full, sampled = (statistics.median(_timed(_step(args, rate), args.steps)) * 1000 for rate in (1.0, args.sample_rate))
    figures = {"classes": args.classes, "full_ms": full, "sampled_ms": sampled, "times_faster": full / sampled, "threads": torch.get_num_threads()}
    print(json.dumps(figures) if args.json else f"{args.classes:,} classes, D {args.embedding_size}, batch {args.batch}, {platform.machine()}, "
          f"{torch.get_num_threads()} threads: all {full:.0f} ms, rate {args.sample_rate:g} {sampled:.0f} ms, {full / sampled:.1f} times faster")  # fmt: skip
    return 0


def _step(args: argparse.Namespace, rate: float) -> Callable[[], None]:
    head = PartialFC("arcface", args.embedding_size, args.classes, rate)
    optimizer = torch.optim.SGD(head.parameters(), 0.1, momentum=0.9)
    head.attach(optimizer)
    embeddings = torch.randn(args.batch, args.embedding_size, requires_grad=True)
    labels = torch.randint(args.classes, (args.batch,))

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(head(embeddings, labels))
        optimizer.step()

    return step


def _timed(step: Callable[[], None], steps: int) -> list[float]:
    seconds = []
    for _ in range(steps + 2):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return seconds[2:]
