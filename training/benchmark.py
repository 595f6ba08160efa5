"""Accuracy on public verification sets in the tables that papers print, with mirror and without.

    python -m training benchmark lfw cfp-fp agedb DIR --model own.onnx --model models/sface.onnx
    python -m training benchmark ijb-c DIR --model own.onnx

DIR of the first has `lfw.bin`, `cfp_fp.bin`, `agedb_30.bin`, as InsightFace's training sets bring them; that of `ijb-c` has `loose_crop` and `meta`.
"With mirror" is the sum of the embeddings of a crop and of its mirror image. Both are of unit length here, whereas InsightFace adds what its nets give.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from training import ijb, pairs
from training.embedding import Embed, Embeddings, embed_all, open_model
from training.metrics import ComparisonScores, FoldAccuracy, Interval

BINS = {  # set -> file, title
    "lfw": ("lfw.bin", "LFW"),
    "cfp-fp": ("cfp_fp.bin", "CFP-FP"),
    "cfp-ff": ("cfp_ff.bin", "CFP-FF"),
    "agedb": ("agedb_30.bin", "AgeDB-30"),
    "calfw": ("calfw.bin", "CALFW"),
    "cplfw": ("cplfw.bin", "CPLFW"),
}
TEMPLATES = {"ijb-b": ("ijbb", "IJB-B"), "ijb-c": ("ijbc", "IJB-C")}  # set -> start of its files' names, title
BIN_FARS = (1e-2, 1e-3)  # 3,000 non-mated pairs show no lower one
IJB_FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
FOLDS = 10
THRESHOLDS = np.arange(0, 4, 0.01)  # squared distances between unit vectors, InsightFace's steps
HOW = ("without mirror", "with mirror")


class BenchmarkError(ClockfaceError):
    """A public verification set is not where it should be."""

    code = "benchmark"


@dataclass(frozen=True)
class BenchmarkRow:
    """A model on one set, in one way."""

    model: str
    set: str
    how: str  # one of HOW
    comparisons: int
    accuracy: float | None  # mean over the folds; None for sets of templates
    accuracy_std: float | None
    tar_at_far: dict[str, Interval | None]  # None: too few non-mated comparisons


def fold_accuracy_in_steps(scores: NDArray[np.floating], same: NDArray[np.bool_], folds: int = FOLDS) -> FoldAccuracy:
    """Accuracy over folds of pairs in their order, each at the one of THRESHOLDS that is best on the others.

    Args:
        scores: (P,) cosines.
        same: (P,) whether the pair is mated.

    Source: InsightFace, `recognition/arcface_torch/eval/verification.py`.
    """
    right = ((2 - 2 * scores[:, None] < THRESHOLDS) == same[:, None]).astype(np.int64)  # (P, T)
    accuracies, chosen = [], []
    for inside in np.array_split(np.arange(len(scores)), folds):
        best = int(np.argmax(right.sum(0) - right[inside].sum(0)))
        accuracies.append(float(right[inside, best].mean()))
        chosen.append(1 - THRESHOLDS[best] / 2)
    return FoldAccuracy(float(np.mean(accuracies)), float(np.std(accuracies)), float(np.mean(chosen)), tuple(accuracies))


def mirrored(plain: Embeddings, other: Embeddings) -> Embeddings:
    """(N, D) unit rows of the sums of two embeddings."""
    total = plain + other
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12), np.float32)


def of_bin(model: str, embed: Embed, path: Path, title: str) -> list[BenchmarkRow]:
    """A model on the pairs of a `.bin` file, without mirror and with it."""
    data = pairs.from_bin(path)
    if len(data.same) < FOLDS:
        raise BenchmarkError(f"{path}: {len(data.same)} pairs, fewer than the {FOLDS} folds")
    plain, other = (embed_all(embed, crops)[0] for crops in (data.crops, data.crops[:, :, ::-1]))
    found = []
    for how, rows in zip(HOW, (plain, mirrored(plain, other)), strict=True):
        values = (rows[data.first] * rows[data.second]).sum(1)
        folds = fold_accuracy_in_steps(values, data.same)
        tar = _tar(ComparisonScores(values[data.same], values[~data.same]), BIN_FARS)
        found.append(BenchmarkRow(model, title, how, len(values), folds.mean, folds.std, tar))
    return found


def of_templates(model: str, embed: Embed, folder: Path, prefix: str, title: str) -> list[BenchmarkRow]:
    """A model on the pairs of templates of IJB-B or IJB-C, without mirror and with it."""
    protocol = ijb.read(folder, prefix)
    plain, other = ijb.embed_images(embed, protocol)
    found = []
    for how, rows in zip(HOW, (plain, mirrored(plain, other)), strict=True):
        values = ijb.scores(rows, protocol)
        tar = _tar(ComparisonScores(values[protocol.same], values[~protocol.same]), IJB_FARS)
        found.append(BenchmarkRow(model, title, how, len(values), None, None, tar))
    return found


def _tar(scores: ComparisonScores, fars: tuple[float, ...]) -> dict[str, Interval | None]:
    return {f"{far:g}": scores.tar_interval(far) for far in fars}


def as_text(rows: list[BenchmarkRow]) -> str:
    """Two tables: sets of pairs with their accuracy, sets of templates with TAR at FAR."""
    listed = [row for row in rows if row.accuracy is not None]
    templates = [row for row in rows if row.accuracy is None]
    parts = [_table(some, head) for some, head in ((listed, _accuracy), (templates, _rates)) if some]
    return "\n\n".join(parts)


def _accuracy(row: BenchmarkRow) -> dict[str, str]:
    tar = {f"{row.set}, TAR % at FAR {far}": _percent(found) for far, found in row.tar_at_far.items()}
    return {f"{row.set}, accuracy %": f"{100 * (row.accuracy or 0):.2f} ± {100 * (row.accuracy_std or 0):.2f}", **tar}


def _rates(row: BenchmarkRow) -> dict[str, str]:
    return {f"{row.set}, TAR % at FAR {far}": _percent(found) for far, found in row.tar_at_far.items()}


def _percent(found: Interval | None) -> str:
    return "insufficient data" if found is None else f"{100 * found.value:.2f}"


def _table(rows: list[BenchmarkRow], cells_of: Callable[[BenchmarkRow], dict[str, str]]) -> str:
    """One line per model and way, the sets side by side."""
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        lines.setdefault((row.model, row.how), {}).update(cells_of(row))
    head = list(next(iter(lines.values())))
    table = [["model", "", *head], ["---"] * (len(head) + 2), *([model, how, *cells.values()] for (model, how), cells in lines.items())]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sets", nargs="+", choices=(*BINS, *TEMPLATES), metavar="SET", help=", ".join((*BINS, *TEMPLATES)))
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the sets lie")
    parser.add_argument("--model", type=Path, action="append", required=True, metavar="FILE", help=".pt or .onnx; may be repeated")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    for name in args.sets:  # what is missing is told before the work begins
        if name in BINS and not (args.folder / BINS[name][0]).is_file():
            raise BenchmarkError(f"{args.folder / BINS[name][0]} does not exist; give the folder with it, as InsightFace's training sets bring it")
        if name in TEMPLATES:
            ijb.check(args.folder, TEMPLATES[name][0])
    models = {path.stem: open_model(path) for path in args.model}
    rows: list[BenchmarkRow] = []
    for name in dict.fromkeys(args.sets):
        for model, embed in models.items():
            if name in BINS:
                rows += of_bin(model, embed, args.folder / BINS[name][0], BINS[name][1])
            else:
                rows += of_templates(model, embed, args.folder, *TEMPLATES[name])
    print(json.dumps([_as_json(row) for row in rows], indent=1) if args.json else as_text(rows))
    return 0


def _as_json(row: BenchmarkRow) -> dict[str, Any]:
    return {**vars(row), "tar_at_far": {far: found and vars(found) for far, found in row.tar_at_far.items()}}
