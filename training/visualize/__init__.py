"""Plot what each loss does to embeddings of digits in two dimensions: pictures, an animation, tables over several seeds, and one page to look through."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

from training import arguments
from training.visualize import argument, dial, page, studies, table
from training.visualize.circle import margins
from training.visualize.digits import DEBIAN_FASHION, HELD_OUT, Digits, DigitsError, idx_folder, sklearn_digits, split
from training.visualize.entries import ALPHAS, ANIMATED, ARCCOS, ENTRIES, LAMBDAS, PAIRS, TRIPLETS
from training.visualize.study import BATCH, PanelEntry, StudyResult, train
from training.visualize.theme import THEMES, save

FRAMES = 36  # of the animation and the slider, closer together at first, when most changes
NAN_SEEDS = 20
LOSSES = "Losses, trained without the last classes"  # heading of the table over all of them
Runs = list[list[Future[StudyResult]]]  # for each entry its seeds
Outcomes = list[list[StudyResult]]  # the same, ended


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=arguments.folder, required=True, metavar="DIR", help="folder for the pictures and index.html")
    parser.add_argument("--idx", type=Path, metavar="DIR", help=f"folder of MNIST or Fashion-MNIST IDX files; {DEBIAN_FASHION} is used where present")
    parser.add_argument("--losses", nargs="+", metavar="TITLE", help="only these losses in the panel, by their titles there")
    parser.add_argument("--epochs", type=arguments.count, default=25, help="passes over the digits (default 25)")
    parser.add_argument("--seeds", type=arguments.count, default=3, help="seeds of the tables (default 3)")
    parser.add_argument("--processes", type=arguments.count, default=2, help="number of parallel runs (default 2)")
    parser.add_argument("--json", action="store_true", help="print the tables as JSON")


def run(args: argparse.Namespace) -> int:
    chosen = _chosen(args.losses)
    started = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    folder = args.idx or (DEBIAN_FASHION if DEBIAN_FASHION.is_dir() else None)
    others = split(folder.name, *idx_folder(folder)) if folder else None
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.processes, spawn, torch.set_num_threads, (1,)) as pool:  # for such small nets, one process per core is faster than threads
        tables, facts = _draw(pool, chosen, others, args)
    facts |= {"seconds": time.monotonic() - started, "processor_seconds": _processor_seconds()}
    print(json.dumps({"losses": tables.pop(LOSSES), **tables, **facts}) if args.json else table.report(tables, facts))
    return 0


def _draw(pool: Executor, chosen: Sequence[PanelEntry], others: Digits | None, args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train everything, save the pictures as soon as their runs have ended, then the page; returns the tables by heading, and single figures."""
    digits = split("digits", *sklearn_digits())
    limit = args.epochs * -(-len(digits.train_labels) // BATCH)
    runs = _submit_all(pool, chosen, digits, others, args, limit)
    facts: dict[str, Any] = {"seeds": args.seeds, "epochs": args.epochs, "nan_limit": limit} | _single_pictures(args.out, digits)
    found = {name: _collect(each, name) for name, each in _pictured(runs)}
    _panels(args.out, found, others.name if others else None)
    _studies(args.out, found, limit)
    facts["nan_steps"] = {seeds[0].entry.title: [outcome.nan_step for outcome in seeds] for seeds in found["arccos"]}
    tables = {
        LOSSES: [table.full_row(*pair) for pair in zip(_collect(runs["flat"], "seeds"), _collect(runs["wide"], f"seeds, {table.WIDE}-D"), strict=True)],
        "Center loss by λ": [table.row(seeds) for seeds in found["lambdas"]],
        "Losses on pairs": [table.row(seeds, table.COMMON | table.BY_DISTANCE) for seeds in found["pairs"]],
        "Triplets by mining and α": [table.row(seeds) for seeds in found["triplets"]],
    }
    page.write(args.out, {name: _firsts(found[name]) for name in ("losses", "lambdas", "pairs", "triplets")}, tables, facts, others.name if others else None)
    return tables, facts


def _submit_all(pool: Executor, chosen: Sequence[PanelEntry], digits: Digits, others: Digits | None, args: argparse.Namespace, limit: int) -> dict[str, Runs]:
    """Runs by name, in the order in which they are needed."""
    steps = {round(limit * (k / FRAMES) ** 2) for k in range(FRAMES)}
    seeds, open_set = range(args.seeds), split("digits", *sklearn_digits(), HELD_OUT)
    runs = {"losses": _submit(pool, chosen, digits, range(1), args.epochs, steps)}
    for name, entries in (("lambdas", LAMBDAS), ("pairs", PAIRS), ("triplets", TRIPLETS)):
        runs[name] = _submit(pool, entries, digits, seeds, args.epochs, steps)
    runs["arccos"] = _submit(pool, ARCCOS, digits, range(NAN_SEEDS), args.epochs)
    if others is not None:
        runs["others"] = _submit(pool, chosen, others, range(1), args.epochs)
    for name, size in (("flat", 2), ("wide", table.WIDE)):
        runs[name] = _submit(pool, chosen, open_set, seeds, args.epochs, size=size)
    return runs


def _pictured(runs: dict[str, Runs]) -> Iterable[tuple[str, Runs]]:
    return [(name, each) for name, each in runs.items() if name not in ("flat", "wide")]


def _single_pictures(out: Path, digits: Digits) -> dict[str, Any]:
    """Pictures that need no run of the pool; returns what they measured."""
    builds = {"target_logits": argument.target_logits, "softmax_twice": argument.softmax_twice, "ranking": argument.ranking, "margins": margins}
    for name, build in builds.items():
        save(out / f"{name}.png", build)
    shares = argument.active_shares(digits)
    save(out / "active_triplets.png", lambda theme: argument.active_triplets(shares, theme))
    first, *_, last = argument.smoothed(shares).tolist()
    return {"ranks_that_differ": argument.rank_agreement()[3], "active_triplets_first": first, "active_triplets_last": last}


def _panels(out: Path, found: dict[str, Outcomes], others: str | None) -> None:
    """Everything that is made of dials."""
    losses = _firsts(found["losses"])
    moving = [outcome for outcome in losses if outcome.entry.title in ANIMATED]
    for theme in THEMES if moving else ():
        dial.animate(moving, theme.file(out / "training.gif"), theme)
    panels = {
        "panel": (losses, f"{len(losses)} losses, ten digits, one plane", 6),
        "center_lambda": (_firsts(found["lambdas"]), "Center loss by λ", len(LAMBDAS)),
        "pairs": (_firsts(found["pairs"]), "Two ways to learn from pairs", len(PAIRS)),
        "triplet_dials": (_firsts(found["triplets"]), "Triplets by mining and α", len(ALPHAS)),
    }
    if others is not None:
        panels[f"panel-{others}"] = (_firsts(found["others"]), f"The same losses on {others}", 6)
    for name, (outcomes, title, columns) in panels.items():
        save(out / f"{name}.png", partial(dial.panel, outcomes, title, columns=columns))


def _studies(out: Path, found: dict[str, Outcomes], limit: int) -> None:
    save(out / "triplet_alpha.png", partial(studies.alphas, found["triplets"]))
    save(out / "nan_steps.png", partial(studies.nan_steps, found["arccos"], limit))


def _chosen(titles: Iterable[str] | None) -> list[PanelEntry]:
    unknown = set(titles or ()) - {entry.title for entry in ENTRIES}
    if unknown:
        raise DigitsError(f"--losses {', '.join(sorted(unknown))}: not in the panel; it has {', '.join(entry.title for entry in ENTRIES)}")
    return [entry for entry in ENTRIES if not titles or entry.title in titles]


def _submit(
    pool: Executor, entries: Iterable[PanelEntry], digits: Digits, seeds: Iterable[int], epochs: int, steps: set[int] | None = None, size: int = 2
) -> Runs:
    """One run for each entry and seed; the first seed keeps the snapshots at `steps`."""
    return [[pool.submit(train, entry, digits, seed, epochs, None if seed else steps, size) for seed in seeds] for entry in entries]


def _collect(runs: Runs, what: str) -> Outcomes:
    print(f"{what} ...", flush=True, file=sys.stderr)
    return [[future.result() for future in seeds] for seeds in runs]


def _firsts(outcomes: Iterable[Sequence[StudyResult]]) -> list[StudyResult]:
    return [seeds[0] for seeds in outcomes]


def _processor_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
