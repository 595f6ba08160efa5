"""Train an embedding model by a recipe; it can be stopped at any time and resumes bit for bit from its last checkpoint.

    python -m training train default --out runs/default [--resume] [--budget-minutes 60]
    torchrun --nproc-per-node 2 -m training train webface --out runs/webface
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from device.contract import ClockfaceError
from training import arguments, averaging, checkpoint, config, distributed, donor, sampler, schedule, validation
from training.averaging import Average, HalfWay
from training.config import Recipe, RunSettings
from training.data import Crops
from training.loader import Batch, Loader
from training.log import Log
from training.model import EmbedderNet
from training.muon import Muon
from training.objective import Objective
from training.partial_fc import PartialFC
from training.resident import ResidentLoader

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class DivergedError(ClockfaceError):
    """A loss or gradient is not finite."""

    code = "diverged"


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


class TrainStep(nn.Module):
    """Embedder and objective as one module, so that DistributedDataParallel sees every parameter in one forward pass."""

    def __init__(self, embedder: EmbedderNet, objective: Objective, settings: RunSettings, device: str) -> None:
        super().__init__()
        self.embedder, self.objective, self.dtype, self.device = embedder, objective, DTYPES[settings.precision], device
        self.embed: Callable[[torch.Tensor], torch.Tensor] = torch.compile(embedder.forward) if settings.compile else embedder.forward
        sharded = isinstance(objective.classify, PartialFC)
        self.own = [name for name, _ in self.named_parameters() if sharded and name.startswith("objective.classify.")]  # parameters of this process alone

    def forward(self, crops: torch.Tensor, labels: torch.Tensor, index: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            embeddings = self.embed(crops)  # (N, D)
        losses: dict[str, torch.Tensor] = self.objective(embeddings.float(), labels, index)
        return losses


def train(recipe: Recipe, out: Path, resume: bool = False, initial: Path | None = None, budget_minutes: float = 0.0) -> Position:
    """Run the recipe; last.pt, best.pt, log.csv and TensorBoard events are written to `out`."""
    recipe = checkpoint.with_backbone(recipe, out / "last.pt" if resume else initial)
    group = distributed.start(recipe.run)
    torch.manual_seed(recipe.run.seed)
    if recipe.run.threads:
        torch.set_num_threads(recipe.run.threads)

    crops = Crops(recipe.data)
    parts = validation.parts(crops, recipe)
    loader = build_loader(recipe, crops, group.device)

    module = build_step(recipe, crops, group, initial, resume)
    embedder = module.embedder
    optimiser = build_optimiser(module, recipe)
    if isinstance(module.objective.classify, PartialFC) and recipe.loss.sample_rate < 1:
        module.objective.classify.attach(optimiser)
    scaler = torch.amp.GradScaler(group.kind, enabled=recipe.run.precision == "float16")
    average = averaging.build(embedder, recipe.run)
    position = Position()
    if resume:
        position = restore(out / group.file("last.pt"), recipe, embedder, module, optimiser, scaler, average)
    wrapped = group.wrap(module, module.own)
    progress = plan(recipe, position, len(parts.train), group.world, budget_minutes)
    unchecked: dict[str, torch.Tensor] = {}  # sums since the last check, on the device

    with Log(out, resume, group.first, recipe.run.log_steps) as log:
        while (position.progress < 1.0) and not stopped_early(recipe, position):
            lists = sampler.epoch_batches(parts.train, crops, recipe, group.world, position.epoch)
            for batch in loader.batches(sampler.shard(lists, group.rank, group.world), position.epoch, position.batch):
                rate = schedule.learning_rate(recipe.schedule, recipe.optimiser.learning_rate, position.progress)
                for settings in optimiser.param_groups:
                    settings["lr"] = rate
                losses = accumulate(wrapped, batch, recipe.schedule.accumulate, scaler, group)
                norm = update(module, optimiser, scaler, recipe.optimiser.clip_norm, recipe.run.check_steps == 1)
                average.update(embedder)

                position.step += 1
                position.batch += 1
                position.images += len(batch.labels) * group.world
                position.progress = group.agree(progress(position.step, time.time()))
                unchecked = {name: unchecked.get(name, 0.0) + value for name, value in {**losses, "gradient": norm}.items()}
                saving = position.step % recipe.run.validate_steps == 0 or position.progress >= 1.0
                if saving or position.step % recipe.run.check_steps == 0:
                    stop_if_diverged(module, unchecked, position, batch)
                    unchecked = {}
                log.step(position, rate, losses, norm, crops.corruption.count)
                if saving:
                    report = validation.validate(average.of(embedder), parts.watched, parts.validation, recipe) if group.first else None
                    score = group.agree(report.score if report else 0.0)
                    better = score > position.best
                    position.best, position.stale = (score, 0) if better else (position.best, position.stale + 1)
                    if report:
                        log.validation(position, report)
                    if group.first or module.own:
                        state = state_of(position, embedder, module, optimiser, scaler, average)
                        for name in ("last.pt", "best.pt") if better else ("last.pt",):
                            checkpoint.save(out / group.file(name), state, recipe)
                if position.progress >= 1.0 or stopped_early(recipe, position):
                    break
            else:
                position.epoch, position.batch = position.epoch + 1, 0
    group.stop()
    return position


def build_loader(recipe: Recipe, crops: Crops, device: torch.device) -> Loader | ResidentLoader:
    """Batches by threads on the CPU, or on the device itself with `data.resident`."""
    if recipe.data.resident:
        return ResidentLoader(crops, recipe.data.workers, recipe.augment, recipe.run.seed, device)
    return Loader(crops, recipe.data, recipe.augment, recipe.run.seed)


def build_step(recipe: Recipe, crops: Crops, group: distributed.Group, initial: Path | None, resume: bool = False) -> TrainStep:
    """Embedder, with the weights of `initial` if given, and objective on the device."""
    embedder = EmbedderNet(recipe.backbone)
    if initial is not None:
        embedder.load_state_dict(checkpoint.initial(initial, recipe.backbone))
    elif recipe.backbone.folded and not resume:
        raise ClockfaceError("backbone.folded = true: without batch norm, training must start from trained weights; give them with --init")
    bank = None if crops.teacher is None else torch.from_numpy(crops.teacher)
    objective = Objective(recipe, crops.classes, bank, bool((crops.labels >= 0).all()))
    return TrainStep(embedder, objective, recipe.run, group.kind).to(group.device)


def plan(recipe: Recipe, position: Position, crops: int, world: int, budget_minutes: float) -> schedule.Progress:
    """Progress by time if a budget is given, otherwise by the recipe's steps or epochs."""
    if budget_minutes:
        now = time.time()
        return schedule.ByClock(position.progress, now, now + 60 * budget_minutes)
    return schedule.by_steps(recipe.schedule.steps or recipe.schedule.epochs * max(1, crops // (recipe.schedule.batch_size * world)))


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


def stop_if_diverged(module: nn.Module, sums: dict[str, torch.Tensor], position: Position, batch: Batch) -> None:
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
        f"at or before step {position.step - 1}: not finite: loss parts {parts or 'none'}, gradients of {gradients[:5] or 'none'}, "
        f"crops {batch.index[:8].tolist()}; resume with a lower optimiser.learning_rate or another loss"
    )


def stopped_early(recipe: Recipe, position: Position) -> bool:
    return 0 < recipe.run.patience <= position.stale


def state_of(position: Position, embedder: nn.Module, module: nn.Module, optimiser: Any, scaler: Any, average: Average | HalfWay) -> dict[str, Any]:
    return {
        **vars(position),
        "embedder": embedder.state_dict(),
        **average.saved(embedder),
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
        "scaler": scaler.state_dict(),
        "random": torch.get_rng_state(),
    }


def restore(path: Path, recipe: Recipe, embedder: nn.Module, module: nn.Module, optimiser: Any, scaler: Any, average: Average | HalfWay) -> Position:
    state = checkpoint.load(path)
    if checkpoint.recipe_of(state) != recipe:
        raise checkpoint.CheckpointError(f"{path} was made by another recipe; resume with the same one, or start a new run with --init {path}")
    module.load_state_dict(state["module"])
    optimiser.load_state_dict(state["optimiser"])
    scaler.load_state_dict(state["scaler"])
    average.load(state)
    torch.set_rng_state(state["random"])
    return Position(**{name: state[name] for name in vars(Position())})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="a name in training/configs or the path of a .toml file")
    parser.add_argument("--out", type=arguments.folder, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--resume", action="store_true", help="resume from OUT/last.pt")
    parser.add_argument("--init", help="start a new schedule from these weights: a file, or the name of a donor (training/donors.toml)")
    parser.add_argument("--budget-minutes", type=arguments.number(0), default=0.0, help="end the schedule after this time instead of the recipe's epochs")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a TOML line that overrides the recipe, e.g. schedule.epochs=3")


def run(args: argparse.Namespace) -> int:
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.resume and (args.out / "last.pt").exists():
        raise ClockfaceError(f"{args.out} already has a run; add --resume or choose another --out")
    initial = None if args.init is None else donor.resolve(args.init)
    if initial is not None and not initial.is_file():
        raise ClockfaceError(f"{args.init} is no file, and no donor; give weights (.pt), or the name of a donor as in training/donors.toml")
    train(config.load(args.recipe, tuple(args.set)), args.out, args.resume, initial, args.budget_minutes)
    return 0
