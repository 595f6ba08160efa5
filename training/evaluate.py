"""Measure a model, `.pt` or `.onnx`: pairs by folds, TAR at FAR, open-set search, groups, overlap with the training set.

    python -m training evaluate models/clockface-edge.pt --pairs pairs.txt --images DIR [--groups DIR] [--json]
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from training import arguments, metrics, pairs, plots
from training.data import RecordReader, decode
from training.embedding import Embed, Embeddings, embed_all, open_model
from training.overlap import Overlap, overlap

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
FPIRS = (0.1, 0.01)


def evaluate_pairs(embed: Embed, data: pairs.Pairs) -> tuple[dict[str, Any], metrics.ComparisonScores, Embeddings]:
    """The metrics on pairs as `--json` prints them, the scores and the embeddings."""
    if len(np.unique(data.fold)) < 2:
        raise pairs.PairsError("the pairs are in one fold; each fold's threshold is set on the others: make at least two")
    rows, milliseconds = embed_all(embed, data.crops)
    values = (rows[data.first] * rows[data.second]).sum(1)  # (P,)
    scores = metrics.ComparisonScores(values[data.same], values[~data.same])
    folds = metrics.fold_accuracy(values, data.same, data.fold)
    intervals = {f"{far:g}": scores.tar_interval(far) for far in FARS}
    report = {
        "accuracy_mean": folds.mean,
        "accuracy_std": folds.std,
        "threshold": folds.threshold,
        "eer": scores.equal_error_rate(),
        "tar_at_far": {far: interval and dataclasses.asdict(interval) for far, interval in intervals.items()},
        "pairs": len(values),
        "embedding_size": rows.shape[1],
        "ms_per_crop": round(milliseconds, 3),
    }
    return report, scores, rows


def evaluate_all_pairs(rows: Embeddings, people: NDArray[np.int64]) -> dict[str, Any]:
    """All pairs of crops: d' and TAR at FMRs for which a pairs.txt has too few pairs."""
    scores = metrics.all_pairs(rows, people)
    intervals = {f"{far:g}": scores.tar_interval(far) for far in FARS}
    tar = {far: interval and dataclasses.asdict(interval) for far, interval in intervals.items()}
    return {"d_prime": scores.d_prime(), "tar_at_fmr": tar, "mated": len(scores.mated), "non_mated": len(scores.non_mated)}


def evaluate_search(rows: Embeddings, people: NDArray[np.int64], sizes: tuple[int, ...], seed: int = 0, rounds: int = 20) -> list[metrics.Identification]:
    """Open-set search: the first crop of some people is enrolled; their other crops and all crops of other people are searched.

    Args:
        rows: (N, D) unit.
        people: (N,) person of each crop.
        sizes: gallery sizes; a size that leaves nobody who is not enrolled is skipped.
        rounds: random galleries per size, whose searches are pooled.
    """
    everybody = np.unique(people)
    first = {int(p): int(np.flatnonzero(people == p)[0]) for p in everybody}
    results = []
    for size in (s for s in sizes if s < len(everybody)):
        drawn = [_search(rows, people, first, np.random.default_rng((seed, size, r)).choice(everybody, size, replace=False)) for r in range(rounds)]
        strangers, mated, leads = (np.concatenate(column) for column in zip(*drawn, strict=True))
        results += [metrics.open_set(strangers, mated, leads, size, fpir) for fpir in FPIRS]
    return results


def _search(
    rows: Embeddings, people: NDArray[np.int64], first: dict[int, int], enrolled: NDArray[np.int64]
) -> tuple[Embeddings, Embeddings, NDArray[np.bool_]]:
    templates = np.array([first[int(p)] for p in enrolled])
    scores = rows @ rows[templates].T  # (N, G)
    inside = np.isin(people, enrolled)
    probes = np.flatnonzero(inside & ~np.isin(np.arange(len(people)), templates))
    own = np.array([np.flatnonzero(enrolled == people[i])[0] for i in probes], np.int64)
    return scores[~inside].max(1), scores[probes, own], scores[probes].argmax(1) == own


def evaluate_groups(embed: Embed, folder: Path, threshold: float) -> dict[str, Any]:
    """False match rate within each group at one threshold; `groups.tsv` has the file and group of each crop, one crop per person."""
    try:
        with (folder / "groups.tsv").open(encoding="utf-8", newline="") as file:
            rows = [(line["file"], line["race"]) for line in csv.DictReader(file, delimiter="\t")]
        crops = np.stack([decode((folder / name).read_bytes(), name) for name, _ in rows])
    except (OSError, KeyError, ValueError) as error:
        raise ClockfaceError(f"{folder}: expected groups.tsv with columns file and race, and the crops it names ({error})") from error
    embeddings, _ = embed_all(embed, crops)
    group = np.array([name for _, name in rows])
    rates, mean_scores = {}, {}
    for name in sorted(set(group)):
        inside = embeddings[group == name]
        scores = (inside @ inside.T)[np.triu_indices(len(inside), 1)]
        rates[str(name)], mean_scores[str(name)] = float(np.mean(scores >= threshold)), float(scores.mean())
    return {"threshold": threshold, "fmr": rates, "mean_score": mean_scores, "worst_to_mean": metrics.worst_to_mean(rates)}


def evaluate_overlap(embed: Embed, data: pairs.Pairs, path: Path) -> list[Overlap]:
    """Test people who seem to be in the RecordIO file that the model was trained on."""
    reader = RecordReader(path)
    rows, _ = embed_all(embed, data.crops)
    blocks = (range(start, min(start + 512, len(reader.names))) for start in range(0, len(reader.names), 512))
    training = np.concatenate([embed_all(embed, np.stack([reader.crop(i) for i in block]))[0] for block in blocks])
    return overlap(rows, [name.rsplit("_", 1)[0] for name in data.names], training, reader.names)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help=".pt or .onnx")
    parser.add_argument("--pairs", type=Path, help="pairs.txt in LFW's format")
    parser.add_argument("--images", type=Path, help="folder of the crops named in --pairs")
    parser.add_argument("--bin", type=Path, help="pairs in InsightFace's .bin format")
    parser.add_argument("--people", type=Path, metavar="DIR", help="crops with one sub-folder per person: all their pairs")
    parser.add_argument("--all-pairs", action="store_true", help="with --pairs: measure all pairs of its crops, too")
    parser.add_argument("--groups", type=Path, help="folder with groups.tsv: false match rate by group at the threshold of FAR 1e-2")
    parser.add_argument("--train", type=Path, help=".rec of the training set: warn of test people who seem to be in it")
    parser.add_argument("--overlap-by", type=Path, metavar="MODEL", help="with --train: a stronger embedder for the comparison (default: the model itself)")
    parser.add_argument("--out", type=arguments.folder, help="folder for the DET curve and the histogram as PNG")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    if [bool(args.pairs), bool(args.bin), bool(args.people)].count(True) != 1 or bool(args.pairs) != bool(args.images):
        raise ClockfaceError("give either --pairs with --images, or --bin, or --people")
    embed = open_model(args.model)
    data = pairs.from_people(args.people) if args.people else pairs.from_bin(args.bin) if args.bin else pairs.from_text(args.pairs, args.images)
    report, scores, rows = evaluate_pairs(embed, data)
    if args.pairs:
        people = np.unique([name.rsplit("_", 1)[0] for name in data.names], return_inverse=True)[1]
        if args.all_pairs:
            report["all_pairs"] = evaluate_all_pairs(rows, people)
        report["search"] = [dataclasses.asdict(found) for found in evaluate_search(rows, people, (10, 50, 100))]
    if args.groups:
        report["groups"] = evaluate_groups(embed, args.groups, scores.threshold_at(1e-2))
    if args.train:
        report["overlap"] = [dataclasses.asdict(one) for one in evaluate_overlap(open_model(args.overlap_by or args.model), data, args.train)]
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        plots.det(scores, args.out / "det.png")
        plots.histogram(scores, args.out / "scores.png")
    print(json.dumps(report, indent=1) if args.json else as_text(report))
    return 0


def as_text(report: dict[str, Any]) -> str:
    """The report as lines of text."""
    folds = f"{100 * report['accuracy_mean']:.2f} % +- {100 * report['accuracy_std']:.2f}"
    lines = [
        f"accuracy   {folds} ({report['pairs']} pairs), threshold {report['threshold']:.3f}",
        f"EER        {100 * report['eer']:.2f} %",
    ]
    for far, found in report["tar_at_far"].items():
        text = f"{100 * found['value']:.1f} % ({100 * found['low']:.1f} to {100 * found['high']:.1f})" if found else "insufficient data"
        lines.append(f"TAR at FAR {far}: {text}")
    if "all_pairs" in report:
        shown = (f"{100 * found['value']:.2f} % at FMR {fmr}" for fmr, found in report["all_pairs"]["tar_at_fmr"].items() if found)
        lines.append(f"all pairs  d' {report['all_pairs']['d_prime']:.3f}, TAR {', '.join(shown)}")
    for found in report.get("search", ()):
        text = "insufficient data" if found["fnir"] is None else f"FNIR {100 * found['fnir']:.1f} % at threshold {found['threshold']:.3f}"
        lines.append(f"gallery {found['gallery']}, FPIR {found['fpir']:g}: {text}")
    if "groups" in report:
        lines += [f"FMR {name}: {100 * rate:.2f} %" for name, rate in report["groups"]["fmr"].items()]
        lines.append(f"worst group / mean: {report['groups']['worst_to_mean']:.2f} at threshold {report['groups']['threshold']:.3f}")
    if "overlap" in report:
        lines.append(f"people who seem to be in the training set: {len(report['overlap']) or 'none'}")
        lines += [f"WARNING {one['person']}: like {one['record']} (score {one['score']:.2f})" for one in report["overlap"]]
    lines.append(f"{report['ms_per_crop']} ms per crop, embedding size {report['embedding_size']}")
    return "\n".join(lines)
