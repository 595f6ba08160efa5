"""Plot what each loss does to embeddings of digits in two dimensions: a panel, an animation, target-logit curves and a table over several seeds."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from training import arguments
from training.visualize import argument, dial
from training.visualize.digits import DEBIAN_FASHION, HELD_OUT, Digits, DigitsError, idx_folder, sklearn_digits, split
from training.visualize.entries import ANIMATED, ENTRIES
from training.visualize.study import StudyResult, train

WIDE = 16  # dimensions for the verification of unseen classes, for which two are too few
FRAMES = 36  # of the animation, closer together at first, when most changes
BATCHES = 23  # per pass over scikit-learn's digits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=arguments.folder, required=True, metavar="DIR", help="folder for the PNG and GIF files")
    parser.add_argument("--idx", type=Path, metavar="DIR", help=f"folder of MNIST or Fashion-MNIST IDX files; {DEBIAN_FASHION} is used where present")
    parser.add_argument("--losses", nargs="+", metavar="TITLE", help="only these losses, by their titles in the panel")
    parser.add_argument("--epochs", type=arguments.count, default=25, help="passes over the digits (default 25)")
    parser.add_argument("--seeds", type=arguments.count, default=3, help="seeds of the table (default 3)")
    parser.add_argument("--processes", type=arguments.count, default=2, help="number of parallel runs (default 2)")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")


def run(args: argparse.Namespace) -> int:
    chosen = _chosen(args.losses)
    started = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    images, labels = sklearn_digits()
    digits, open_set = split("digits", images, labels), split("digits", images, labels, HELD_OUT)
    folder = args.idx or (DEBIAN_FASHION if DEBIAN_FASHION.is_dir() else None)
    others = split(folder.name, *idx_folder(folder)) if folder else None
    steps = {round(args.epochs * BATCHES * (k / FRAMES) ** 2) for k in range(FRAMES)}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.processes, spawn, torch.set_num_threads, (1,)) as pool:  # for such small nets, one process per core is faster than threads
        drawn = [pool.submit(train, entry, digits, 0, args.epochs, steps if entry.title in ANIMATED else None) for entry in chosen]
        measured = [[pool.submit(train, entry, open_set, seed, args.epochs) for seed in range(args.seeds)] for entry in chosen]
        wide = [[pool.submit(train, entry, open_set, seed, args.epochs, None, WIDE) for seed in range(args.seeds)] for entry in chosen]
        on_others = _on_others(pool, chosen, others, args.epochs)
        outcomes = _collect(drawn, "panel")
        dial.panel(outcomes, args.out / "panel.png", f"{len(outcomes)} losses, ten digits, one plane")
        moving = [outcome for outcome in outcomes if len(outcome.frames) > 1]
        if moving:
            dial.animate(moving, args.out / "training.gif")
        argument.target_logits(args.out / "target_logits.png")
        argument.softmax_twice(args.out / "softmax_twice.png")
        differ = argument.ranking(args.out / "ranking.png")
        first, last = argument.active_triplets(args.out / "active_triplets.png", digits)
        rows = [_row(_collect(flat, entry.title), _collect(deep, f"{entry.title}, {WIDE}-D")) for entry, flat, deep in zip(chosen, measured, wide, strict=True)]
        if others is not None:
            dial.panel(_collect(on_others, others.name), args.out / f"panel-{others.name}.png", f"The same losses on {others.name}")
    facts = {"ranks_that_differ": differ, "active_triplets_first": first, "active_triplets_last": last, "seconds": time.monotonic() - started}
    print(json.dumps({"losses": rows, **facts}) if args.json else _table(rows, facts, args.seeds))
    return 0


def _chosen(titles: Iterable[str] | None) -> list[Any]:
    unknown = set(titles or ()) - {entry.title for entry in ENTRIES}
    if unknown:
        raise DigitsError(f"--losses {', '.join(sorted(unknown))}: not in the panel; it has {', '.join(entry.title for entry in ENTRIES)}")
    return [entry for entry in ENTRIES if not titles or entry.title in titles]


def _on_others(pool: Executor, chosen: Iterable[Any], others: Digits | None, epochs: int) -> list[Future[StudyResult]]:
    return [pool.submit(train, entry, others, 0, epochs) for entry in chosen] if others is not None else []


def _collect(futures: Iterable[Future[StudyResult]], what: str) -> list[StudyResult]:
    print(f"{what} ...", flush=True, file=sys.stderr)
    return [future.result() for future in futures]


def _row(outcomes: list[StudyResult], wide: list[StudyResult]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds; a run that ended with NaN counts by its step alone."""
    row: dict[str, Any] = {"loss": outcomes[0].entry.title, "nan_steps": [o.nan_step for o in outcomes if o.nan_step is not None]}
    for key, runs, name, factor in (
        ("accuracy", outcomes, "accuracy", 100), ("within", outcomes, "within", 1), ("between", outcomes, "between", 1),
        ("tar_known", outcomes, "tar_known", 100), ("tar", outcomes, "tar", 100), (f"tar_{WIDE}d", wide, "tar", 100),
    ):  # fmt: skip
        values = [factor * getattr(outcome, name) for outcome in runs if outcome.nan_step is None]
        row[key] = {"mean": statistics.fmean(values), "spread": statistics.stdev(values) if len(values) > 1 else 0.0} if values else None
    return row


def _table(rows: list[dict[str, Any]], facts: dict[str, Any], seeds: int) -> str:
    head = f"| loss | accuracy, % | within, ° | to the next class, ° | TAR known, % | TAR held out, % | TAR held out in {WIDE}-D, % | NaN at step |"
    lines = [head, "|---" * 8 + "|"]
    for row in rows:
        cells = [f"{row[k]['mean']:.1f} ± {row[k]['spread']:.1f}" if row[k] else "-" for k in row if k not in ("loss", "nan_steps")]
        lines.append(f"| {row['loss']} | {' | '.join(cells)} | {', '.join(map(str, row['nan_steps'])) or '-'} |")
    lines.append(f"\n{seeds} seeds, mean ± standard deviation; TAR at FAR 1 %, the last {HELD_OUT} classes held out. {facts['seconds']:.0f} s.")
    lines.append(f"Ranks that differ between cosine and distance at unit length: {facts['ranks_that_differ']} of 2,000.")
    lines.append(f"Triplets with a loss: {100 * facts['active_triplets_first']:.0f} % at first, {100 * facts['active_triplets_last']:.0f} % at the end.")
    return "\n".join(lines)
