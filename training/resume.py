"""The checkpoint of a run over all its processes: the first writes what they share, each other one its own classes (Partial FC).

A checkpoint is whole or is not there: files of classes have the step in their name and are written before `last.pt`, which names that step; those of
an earlier step are deleted afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training import checkpoint
from training.averaging import Average, HalfWay
from training.config import Recipe
from training.distributed import Group
from training.partial_fc import HeldClasses, PartialFC
from training.step import OWN, TrainStep


@dataclass
class Position:
    """Progress of a run."""

    step: int = 0  # optimiser steps taken
    epoch: int = 0
    batch: int = 0  # batches of this epoch so far
    images: int = 0
    progress: float = 0.0
    best: float = -1.0
    stale: int = 0  # validations since the best one


@dataclass(frozen=True)
class Trained:
    """What the steps of a run change."""

    module: TrainStep
    optimiser: torch.optim.Optimizer
    scaler: Any
    average: Average | HalfWay

    def state(self) -> dict[str, Any]:
        embedder = self.module.embedder
        parts = {"module": self.module.state_dict(), "optimiser": self.optimiser.state_dict(), "scaler": self.scaler.state_dict()}
        return {"embedder": embedder.state_dict(), **self.average.saved(embedder), **parts, "random": torch.get_rng_state()}

    def load(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.average.load(state)
        torch.set_rng_state(state["random"])

    @property
    def number(self) -> int:
        """The optimiser's number of the class directions, the parameter that belongs to one process alone."""
        own = {id(p) for name, p in self.module.named_parameters() if name in self.module.own}
        return next(i for i, p in enumerate(p for group in self.optimiser.param_groups for p in group["params"]) if id(p) in own)

    def classes(self, state: dict[str, Any]) -> HeldClasses:
        """What a state has of the classes of one process."""
        module = {name.removeprefix(OWN): value for name, value in state["module"].items() if name.startswith(OWN)}
        return HeldClasses(module, state["optimiser"]["state"].get(self.number, {}))


def save(out: Path, trained: Trained, position: Position, recipe: Recipe, group: Group, best: bool) -> None:
    """Write last.pt, with `best` best.pt too, and the classes of the other processes; all processes call it, and return together."""
    sharded = bool(trained.module.own)
    if not (group.first or sharded):
        return
    state = {**vars(position), "world": group.world, **trained.state()}
    if sharded and not group.first:
        held = trained.classes(state)
        checkpoint.save(_file(out, position.step, group.rank), {"module": held.module, "rows": held.rows, "random": state["random"]}, recipe)
    group.meet(sharded)
    if group.first:
        for name in ("last.pt", "best.pt") if best else ("last.pt",):
            checkpoint.save(out / name, state, recipe)
    group.meet(sharded)
    for old in set(out.glob(f"classes-*-{group.rank}.pt")) - {_file(out, position.step, group.rank)}:
        old.unlink()


def restore(out: Path, trained: Trained, recipe: Recipe, group: Group) -> Position:
    """Load last.pt. On another number of processes than it was written by, classes are distributed anew, and the epoch goes on where it was.

    Raises:
        CheckpointError: it is missing, was made by another recipe, or the classes of a process are missing.
    """
    path = out / "last.pt"
    state = checkpoint.load(path)
    if checkpoint.recipe_of(state) != recipe:
        raise checkpoint.CheckpointError(f"{path} was made by another recipe; resume with the same one, or start a new run with --init {path}")
    world = state.get("world", group.world)
    if trained.module.own and (world, group.rank) != (group.world, 0):
        _take_classes(out, state, trained, world, group)
    trained.load(state)
    position = Position(**{name: state[name] for name in vars(Position())})
    if world != group.world:
        position.batch = position.batch * world // group.world
        each = recipe.schedule.batch_size
        group.say(f"processes: {group.world}, before {world}; a batch now has {group.world * each} crops, before {world * each}")
    return position


def _take_classes(out: Path, state: dict[str, Any], trained: Trained, world: int, group: Group) -> None:
    """Put the classes of this process in place of those of the first, which are in `state`."""
    head = trained.module.objective.classify
    assert isinstance(head, PartialFC)

    def of(rank: int) -> HeldClasses:
        return trained.classes(state) if rank == 0 else _read(out, state["step"], rank, world)

    held = of(group.rank) if world == group.world else head.gathered(world, of)
    if world == group.world:
        state["random"] = checkpoint.load(_file(out, state["step"], group.rank))["random"]
    state["module"] |= {OWN + name: value for name, value in held.module.items()}
    state["optimiser"]["state"][trained.number] = held.rows


def _read(out: Path, step: int, rank: int, world: int) -> HeldClasses:
    path = _file(out, step, rank)
    if not path.exists():
        raise checkpoint.CheckpointError(
            f"{path} is missing: {out / 'last.pt'} was written by {world} processes, each with classes of its own; bring their files of step {step} into "
            f"this folder, which all machines must share, or start a new run from its weights with --init {out / 'last.pt'}"
        )
    state = checkpoint.load(path)
    return HeldClasses(state["module"], state["rows"])


def _file(out: Path, step: int, rank: int) -> Path:
    return out / f"classes-{step}-{rank}.pt"
