"""Train an embedding model by a recipe; it can be stopped at any time and resumes bit for bit from its last checkpoint.

    python -m training train default --out runs/default [--resume] [--budget-minutes 60]
    torchrun --nproc-per-node 2 -m training train webface --out runs/webface
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from device.contract import ClockfaceError
from training import arguments, averaging, checkpoint, config, distributed, donor, report, run_record, sampler, schedule, stopping, validation
from training.config import Recipe
from training.data import Crops
from training.loader import Loader
from training.log import Log
from training.model import EmbedderNet
from training.objective import Objective, start_at_means
from training.partial_fc import PartialFC
from training.resident import ResidentLoader
from training.resume import Position, Trained, restore, save
from training.step import TrainStep, accumulate, build_optimiser, stop_if_diverged, update
from training.watch import watched

GoOn = Callable[[float], str]  # minutes left of a budget -> the command that resumes the run


def train(
    recipe: Recipe, out: Path, resume: bool = False, initial: Path | None = None, budget_minutes: float = 0.0, go_on: GoOn = lambda minutes: "--resume"
) -> Position:
    """Run the recipe; last.pt, best.pt, log.csv, run.json and TensorBoard events are written to `out`.

    A run that is asked to stop (training/stopping.py) saves its last step and returns; its `progress` is then below 1. `go_on` gives the command that
    resumes it.
    """
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
    trained = Trained(module, optimiser, scaler, average)
    position = restore(out, trained, recipe, group) if resume else Position()
    wrapped = group.wrap(module, module.own)
    progress = plan(recipe, position, len(parts.train), group.world, budget_minutes)
    unchecked: dict[str, torch.Tensor] = {}  # sums since the last check, on the device
    record = run_record.new(recipe, go_on(budget_minutes), group.world, len(parts.train), crops.classes, getattr(progress, "total", 0))

    with (
        run_record.OpenRun(out, group.first, record, resume) as told,
        watched(group, recipe.run.lost_after_seconds, go_on(budget_minutes)),
        stopping.Stop(group.world == 1) as stop,
        Log(out, resume, group.first, recipe.run.log_steps) as log,
    ):
        ending = False
        while position.progress < 1.0 and not ending and not stopped_early(recipe, position):
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
                position.progress, ending = group.together(progress(position.step, time.time()), stop.asked)
                unchecked = {name: unchecked.get(name, 0.0) + value for name, value in {**losses, "gradient": norm}.items()}
                validating = position.step % recipe.run.validate_steps == 0 or position.progress >= 1.0
                if validating or ending or position.step % recipe.run.check_steps == 0:
                    stop_if_diverged(module, unchecked, position.step, batch)
                    unchecked = {}
                log.step(position, rate, losses, norm, crops.corruption.count)
                better = False
                if validating:
                    report = validation.validate(average.of(embedder), parts.watched, parts.validation, recipe) if group.first else None
                    score = group.agree(report.score if report else 0.0)
                    better = score > position.best
                    position.best, position.stale = (score, 0) if better else (position.best, position.stale + 1)
                    if report:
                        log.validation(position, report)
                        told.validated(position, report, better)
                if validating or ending:
                    save(out, trained, position, recipe, group, better)
                    told.reached(position, crops.corruption)
                if position.progress >= 1.0 or ending or stopped_early(recipe, position):
                    break
            else:
                position.epoch, position.batch = position.epoch + 1, 0
        told.ended(is_complete(recipe, position), go_on(schedule.minutes_left(progress, time.time())))
    del wrapped  # before the group: the last that frees its threads must not hold Python, which they may need
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
    if recipe.loss.centres == "means":
        start_at_means(objective.classify, bank, torch.from_numpy(crops.labels))
    return TrainStep(embedder, objective, recipe.run, group.kind).to(group.device)


def plan(recipe: Recipe, position: Position, crops: int, world: int, budget_minutes: float) -> schedule.BySteps | schedule.ByClock:
    """Progress by time if a budget is given, otherwise by the recipe's steps or epochs."""
    if budget_minutes:
        now = time.time()
        return schedule.ByClock(position.progress, now, now + 60 * budget_minutes)
    total = recipe.schedule.steps or recipe.schedule.epochs * max(1, crops // (recipe.schedule.batch_size * world))
    return schedule.by_steps(total, position.step, position.progress)


def stopped_early(recipe: Recipe, position: Position) -> bool:
    return 0 < recipe.run.patience <= position.stale


def is_complete(recipe: Recipe, position: Position) -> bool:
    """Whether the run has ended by itself; otherwise it was asked to stop."""
    return position.progress >= 1.0 or stopped_early(recipe, position)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="a name in training/configs or the path of a .toml file")
    parser.add_argument("--out", type=arguments.folder, required=True, help="folder for checkpoints and logs")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="resume from OUT/last.pt")
    again.add_argument("--start-or-resume", action="store_true", help="resume if there is OUT/last.pt, else start; for jobs that a scheduler starts again")
    parser.add_argument("--init", help="start a new schedule from these weights: a file, or the name of a donor (training/donors.toml)")
    parser.add_argument("--budget-minutes", type=arguments.number(0), default=0.0, help="end the schedule after this time instead of the recipe's epochs")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a TOML line that overrides the recipe, e.g. schedule.epochs=3")


def run(args: argparse.Namespace) -> int:
    args.out.mkdir(parents=True, exist_ok=True)
    resuming = args.resume or (args.start_or_resume and (args.out / "last.pt").exists())
    if not resuming and (args.out / "last.pt").exists():
        raise ClockfaceError(f"{args.out} already has a run; add --resume or choose another --out")
    initial = None if args.init is None or resuming else donor.resolve(args.init)
    if initial is not None and not initial.is_file():
        raise ClockfaceError(f"{args.init} is no file, and no donor; give weights (.pt), or the name of a donor as in training/donors.toml")
    recipe = config.load(args.recipe, tuple(args.set))
    position = train(recipe, args.out, resuming, initial, args.budget_minutes, lambda minutes: stopping.command(args, recipe, minutes))
    if not is_complete(recipe, position):
        return stopping.EXIT_STOPPED
    if distributed.is_first() and (args.out / "best.pt").exists():
        write_report(args.out)
    return 0


def write_report(out: Path) -> None:
    """Write the report of a run that is complete, which it stays if that fails."""
    try:
        print(f"report: {report.write(out)}")
    except ClockfaceError as error:
        print(f"warning: the run is complete, but its report is not written: {error}; then: python -m training report {out}", file=sys.stderr)
