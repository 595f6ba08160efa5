"""Measure this machine: augmented crops per second, what limits the training loop, whether a GPU and the CPU agree, cost and speed of each backbone.

    python -m training speed augment|backbones
    python -m training speed loop|agree [--device cuda] [--recipe RECIPE] [--init WEIGHTS] [--set KEY=VALUE]
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from device.contract import ClockfaceError
from training import arguments, backbones, checkpoint, config, distributed, donor, sampler, validation
from training.backbones.cost import cost
from training.config import AugmentSettings, BackboneSettings, DataSettings, Recipe, SourceSettings
from training.data import Crops
from training.loader import Batch, Loader
from training.model import EmbedderNet
from training.step import build_optimiser
from training.train import build_loader, build_step, train

SMOKE = ("schedule.steps = 400", "sampler.kind = 'plain'", "run.validate_steps = 100000", "run.threads = 0")
AGREE = ("schedule.steps = 50", "data.resident = true", "run.log_steps = 1", "run.validate_steps = 100000", "run.precision = 'float32'", "run.compile = false")
TOLERANCE = 1e-3  # largest difference of a loss, as a share of it
SLOWER = 100  # divides the learning rate, because at that of a recipe rounding alone grows beyond the tolerance (docs/experiments.md)


def rate(work: Callable[[], int], seconds: float) -> float:
    """Items per second, where each call returns the number it processed and has finished; the first call is warm-up."""
    work()
    begin, done = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        done += work()
    return done / (time.perf_counter() - begin)


def augmented_crops(workers: int, seconds: float) -> float:
    """Crops per second through augmentation and batching, from the cache of decoded crops."""
    settings = DataSettings((SourceSettings("40 x 25", "drawn"),), workers=workers, cache=True)
    loader = Loader(Crops(settings), settings, AugmentSettings(), seed=0)
    lists = np.array_split(np.random.default_rng(0).permutation(1000), 8)
    return rate(lambda: sum(len(batch.labels) for batch in loader.batches(list(lists), epoch=0)), seconds)


@dataclass(frozen=True)
class LoopSpeed:
    """Images per second of batches alone, of bare steps on one batch, and of the whole loop."""

    batches: float
    step: float
    loop: float
    overlapping: bool  # batches are made by threads while steps are computed, so that only the slower counts

    def limit(self) -> str:
        """What takes most of the time of the loop, and its share of it."""
        batches, step = self.loop / self.batches, self.loop / self.step
        rest = 1 - (max(batches, step) if self.overlapping else batches + step)  # log, averages, waiting
        parts = {"the batches": batches, "the step": step, "what is around them": rest}
        largest = max(parts, key=lambda name: parts[name])
        return f"limited by {largest}: {100 * parts[largest]:.0f} % of the time"


def loop_speed(recipe: Recipe, initial: Path | None, seconds: float) -> LoopSpeed:
    """Measure the three; the step that is measured is the first, repeated, without the check that it is finite."""
    group = distributed.start(recipe.run)
    crops = Crops(recipe.data)
    made = endless(recipe, crops, group.device)
    step = bare_step(recipe, crops, group, initial, next(made))
    finish: Callable[[], object] = torch.cuda.synchronize if group.kind == "cuda" else lambda: None

    def finished(work: Callable[[], Batch]) -> int:
        count = len(work().labels)
        finish()
        return count

    speeds = rate(lambda: finished(lambda: next(made)), seconds), rate(lambda: finished(step), seconds)
    if group.kind == "cuda":
        print(f"{synchronisations(step)} operations of a step make the CPU wait for the GPU")
    return LoopSpeed(*speeds, loop_step(recipe, initial), not recipe.data.resident)


def endless(recipe: Recipe, crops: Crops, device: torch.device) -> Iterator[Batch]:
    """The batches of one epoch after another."""
    loader, numbers, epoch = build_loader(recipe, crops, device), validation.parts(crops, recipe).train, 0
    while True:
        yield from loader.batches(sampler.epoch_batches(numbers, crops, recipe, 1, epoch), epoch)
        epoch += 1


def bare_step(recipe: Recipe, crops: Crops, group: distributed.Group, initial: Path | None, batch: Batch) -> Callable[[], Batch]:
    """A function that computes forward pass, backward pass and optimiser step on a batch that is ready."""
    recipe = checkpoint.with_backbone(recipe, initial)
    module = build_step(recipe, crops, group, initial)
    optimiser = build_optimiser(module, recipe)
    tensors = [tensor.to(group.device) for tensor in (batch.crops, batch.labels, batch.index)]

    def step() -> Batch:
        module(*tensors)["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()
        return batch

    return step


def synchronisations(step: Callable[[], object]) -> int:
    """How many operations on a GPU make the CPU wait, as far as torch recognises them."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        step()
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in found)


def loop_step(recipe: Recipe, initial: Path | None) -> float:
    """Images per second of the whole loop, without the first row of its log."""
    rows = log_of(recipe, initial)
    return float(np.mean([float(row["images_per_second"]) for row in rows[1:] if row["images_per_second"]]))


def log_of(recipe: Recipe, initial: Path | None) -> list[dict[str, str]]:
    """The rows of the log of a run."""
    with tempfile.TemporaryDirectory() as folder:
        train(recipe, Path(folder), initial=initial)
        return list(csv.DictReader((Path(folder) / "log.csv").read_text(encoding="utf-8").splitlines()))


def disagreement(recipe: Recipe, device: str, initial: Path | None) -> float:
    """Largest difference of a loss between the CPU and another device, as a share of the loss, over the steps of the recipe."""
    slow = dataclasses.replace(recipe.optimiser, learning_rate=recipe.optimiser.learning_rate / SLOWER)
    recipes = [dataclasses.replace(recipe, optimiser=slow, run=dataclasses.replace(recipe.run, device=name)) for name in (device, "cpu")]
    there, here = (np.array([float(row["loss"]) for row in log_of(run, initial) if row["loss"]]) for run in recipes)
    print(f"losses on {device} and the CPU: {there[0]:.5f} and {here[0]:.5f} at step 1, {there[-1]:.5f} and {here[-1]:.5f} at step {len(here)}")
    return float((np.abs(there - here) / np.abs(here)).max())


def embedding_ms(name: str, seconds: float) -> float:
    """Milliseconds per crop: batch of 1, float32, torch with the threads of this process."""
    net = EmbedderNet(BackboneSettings(name, 192)).eval()
    crop = torch.zeros(1, 112, 112, 3, dtype=torch.uint8)

    @torch.inference_mode()
    def once() -> int:
        net(crop)
        return 1

    return 1000 / rate(once, seconds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("augment", "loop", "agree", "backbones"))
    parser.add_argument("--seconds", type=arguments.number(0.1), default=5.0, help="duration of each measurement (default 5)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="of `loop` and `agree` (default: a GPU; for `loop` else the CPU)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="of `loop`; default: as the recipe sets it")
    parser.add_argument("--recipe", default="smoke", help="for `loop` and `agree` (default smoke, with synthetic faces)")
    parser.add_argument("--init", help="weights to start from, as in `train`")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a TOML line that overrides the recipe")


def recipe_of(args: argparse.Namespace) -> Recipe:
    lines = AGREE if args.what == "agree" else SMOKE if args.recipe == "smoke" else ()
    return config.load(args.recipe, (*lines, f"run.device = '{args.device}'", *([f"run.precision = '{args.precision}'"] if args.precision else []), *args.set))


def print_loop(args: argparse.Namespace) -> None:
    recipe = recipe_of(args)
    found = loop_speed(recipe, donor.resolve(args.init) if args.init else None, args.seconds)
    print(f"batches {found.batches:.1f}, bare {found.step:.1f}, loop {found.loop:.1f} images/s: {100 * found.loop / found.step:.1f} % of bare; {found.limit()}")


def print_agreement(args: argparse.Namespace) -> None:
    recipe, device = recipe_of(args), "cuda" if args.device == "auto" else args.device
    difference = disagreement(recipe, device, donor.resolve(args.init) if args.init else None)
    if not difference <= TOLERANCE:
        raise ClockfaceError(f"the losses on {device} and the CPU differ by {100 * difference:.3f} %, more than {100 * TOLERANCE:g} %; do not train there")
    print(f"largest difference of a loss: {100 * difference:.3f} %")


def print_backbones(args: argparse.Namespace) -> None:
    for name in backbones.BACKBONES:
        found = cost(backbones.build(name, 192))
        size = f"{found.parameters / 1e6:6.2f} M parameters {found.macs / 1e6:7.1f} MMACs (2 x: {found.operations / 1e6:7.1f})"
        print(f"{name:15} {size} {embedding_ms(name, args.seconds):6.2f} ms per crop")


def print_augmented(args: argparse.Namespace) -> None:
    print(f"{augmented_crops(os.cpu_count() or 1, args.seconds):.0f} augmented crops per second")


def run(args: argparse.Namespace) -> int:
    print(f"host {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}")
    {"augment": print_augmented, "loop": print_loop, "agree": print_agreement, "backbones": print_backbones}[args.what](args)
    return 0
