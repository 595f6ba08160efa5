"""Measure this machine: augmented crops per second, the training loop compared with bare training steps, cost and speed of each backbone.

    python -m training speed augment|loop|backbones
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from training import backbones, config, objective
from training.backbones.cost import cost
from training.config import AugmentSettings, BackboneSettings, DataSettings, Recipe, SourceSettings
from training.data import Crops
from training.loader import Loader
from training.model import EmbedderNet
from training.train import TrainStep, build_optimiser, train


def rate(work: Callable[[], int], seconds: float) -> float:
    """Items per second, where each call returns the number it processed; the first call is warm-up."""
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


def bare_step(recipe: Recipe, seconds: float) -> float:
    """Images per second of forward pass, backward pass and optimiser step, on one batch that is ready."""
    size = recipe.schedule.batch_size
    crops = torch.randint(0, 256, (size, 112, 112, 3), dtype=torch.uint8)
    labels, index = torch.arange(size) % 10, torch.arange(size)
    embedder = EmbedderNet(recipe.backbone)
    module = TrainStep(embedder, objective.Objective(recipe, 60, None), recipe.run, "cpu")
    optimiser = build_optimiser(module, recipe)

    def step() -> int:
        module(crops, labels, index)["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()
        return size

    return rate(step, seconds)


def loop_step(recipe: Recipe) -> float:
    """Images per second of the whole loop, without the first row of its log."""
    with tempfile.TemporaryDirectory() as folder:
        train(recipe, Path(folder))
        rows = list(csv.DictReader((Path(folder) / "log.csv").read_text(encoding="utf-8").splitlines()))
    return float(np.mean([float(row["images_per_second"]) for row in rows[1:] if row["images_per_second"]]))


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
    parser.add_argument("what", choices=("augment", "loop", "backbones"))
    parser.add_argument("--seconds", type=float, default=5.0, help="duration of each measurement (default 5)")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))


def run(args: argparse.Namespace) -> int:
    print(f"host {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}")
    if args.what == "augment":
        print(f"{augmented_crops(os.cpu_count() or 1, args.seconds):.0f} augmented crops per second")
    elif args.what == "loop":
        lines = ("schedule.epochs = 60", "sampler.kind = 'plain'", "run.validate_steps = 100000", "run.threads = 0", f"run.precision = '{args.precision}'")
        recipe = config.load("smoke", lines)
        bare, whole = bare_step(recipe, args.seconds), loop_step(recipe)
        print(f"bare {bare:.1f} images/s, loop {whole:.1f} images/s: {100 * whole / bare:.1f} %")
    else:
        for name in backbones.BACKBONES:
            found = cost(backbones.build(name, 192))
            size = f"{found.parameters / 1e6:6.2f} M parameters {found.macs / 1e6:7.1f} MMACs (2 x: {found.operations / 1e6:7.1f})"
            print(f"{name:15} {size} {embedding_ms(name, args.seconds):6.2f} ms per crop")
    return 0
