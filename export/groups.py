"""`python -m export groups MODEL... --folder DIR FILE.rec`: are strangers of some groups taken for one another more often than those of others?

Every crop shows another person. The threshold is the score that a share of all comparisons exceeds; the false matches within the worst group are given as
a multiple of the mean of all groups, with the model's cohort and without. P. Grother, M. Ngan and K. Hanaoka, NISTIR 8280, 2019.
The 95 % interval is by bootstrap over people. With few false matches the group that has most by chance is the worst, so the figure is rather too high.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.vision.cohort import Cohort, Statistics
from device.vision.embedder import Embedder
from device.vision.images import read_image
from export.crops import CropSet, Embeddings, embed
from export.visits import COHORT_FACES, VisitsError, group_of, shuffled
from training.borders import fill_black
from training.data import decode
from training.recordio import RecordFile

SOURCES = "folders of crops with groups.tsv (file, race), or .rec files with a table beside them (key, race): those of their faces that calibrate does not use"
RATES = (1e-3, 1e-4)
PEOPLE = 8000  # of a RecordIO file
ROUNDS = 200  # of the bootstrap over people
BLOCK = 1000  # people compared with everybody at a time
SPARE = 2  # times as many comparisons are kept as lie above the threshold, since it moves in the draws


@dataclass(frozen=True)
class WorstGroup:
    """False matches within the worst group over the mean of all groups, with its 95 % interval; NaN where there are too few people for it."""

    people: str  # whose
    value: float
    low: float
    high: float
    matches: int  # false matches within groups that the figure rests on

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


class Strangers:
    """The highest of all scores of different people.

    Args:
        rows: (N, D) unit embeddings, one per person.
        groups: (N,) the group of each.
        rate: the FMR at which the groups are compared.
    """

    def __init__(self, rows: Embeddings, groups: NDArray[Any], cohort: Cohort | None, rate: float) -> None:
        self._people, self._allowed = len(rows), rate
        self._names, self._groups = np.unique(groups, return_inverse=True)
        most = int(SPARE * rate * len(rows) * (len(rows) - 1) / 2) + 1
        kept: list[NDArray[np.float64]] = [np.zeros((3, 0))]
        for part in _compared(rows, cohort):  # (3, P): score, first, second
            every = np.concatenate([*kept, part], axis=1)
            kept = [every[:, np.argsort(-every[0], kind="stable")[:most]]]
        self._first, self._second = kept[0][1:].astype(np.int64)

    def worst(self, people: str, seed: int = 0) -> WorstGroup:
        """The figure with its interval."""
        random, count = np.random.default_rng(seed), self._people
        value, matches = self._ratio(np.ones(count))
        drawn = [self._ratio(np.bincount(random.integers(0, count, count), minlength=count).astype(np.float64))[0] for _ in range(ROUNDS)]
        low, high = np.percentile(drawn, [2.5, 97.5])  # NaN where a draw has no false match
        return WorstGroup(people, value, float(low), float(high), matches)

    def _ratio(self, weights: NDArray[np.float64]) -> tuple[float, int]:
        """The worst group's rate over the mean, and the false matches within all groups, where each person occurs so often."""
        pairs = weights[self._first] * weights[self._second]
        above = np.searchsorted(np.cumsum(pairs), self._allowed * _pairs(weights) + 1e-6, side="right")
        first, second, pairs = self._groups[self._first[:above]], self._groups[self._second[:above]], pairs[:above]
        own = first == second
        compared = [_pairs(weights[self._groups == group]) for group in range(len(self._names))]
        with np.errstate(invalid="ignore"):
            rates = np.bincount(first[own], pairs[own], len(self._names)) / np.array(compared)
            return float(rates.max() / rates.mean()), int(pairs[own].sum())


def _pairs(weights: NDArray[np.float64]) -> float:
    """How many pairs of different people there are where each occurs so often."""
    return float(weights.sum() ** 2 - (weights**2).sum()) / 2


def _compared(rows: Embeddings, cohort: Cohort | None) -> Iterator[NDArray[np.float64]]:
    """Each person with everybody after them, in parts: (3, P) score, first, second."""
    known = Statistics.none(len(rows)) if cohort is None else cohort.statistics(rows)
    for start in range(0, len(rows), BLOCK):
        these, others = slice(start, start + BLOCK), slice(start, None)
        found = rows[these] @ rows[others].T
        if cohort is not None:
            found = cohort.normalise(found, *(Statistics(known.mean[part], known.deviation[part]) for part in (these, others)))
        first, second = np.triu_indices(len(found), 1, found.shape[1])
        yield np.stack([found[first, second].astype(np.float64), first + start, second + start])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--folder", type=Path, nargs="+", required=True, metavar="PATH", help=SOURCES)


def run(args: argparse.Namespace) -> int:
    everybody = [read(source) for source in args.folder]
    for model in args.models:
        embedder = Embedder(model, "cpu")
        for crops, groups in everybody:
            (rows,) = embed(embedder.embed, [crops])
            for words, cohort in (("with its cohort", embedder.cohort), ("without", None)):
                if cohort is None and words != "without":
                    continue
                found = [(rate, Strangers(rows, groups, cohort, rate).worst(crops.name)) for rate in RATES]
                figures = ", ".join(f"{one} at FMR {rate:g} by {one.matches} false matches" for rate, one in found)
                print(f"{embedder.card.name} {words}, {len(rows)} people of {crops.name}: worst group {figures}")
    return 0


def read(source: Path) -> tuple[CropSet, NDArray[Any]]:
    """The crops of different people and the group of each, from a folder or from a RecordIO file.

    Raises:
        VisitsError: there is no table, or a crop that it names is missing.
    """
    return _from_records(source) if source.suffix == ".rec" else _from_folder(source)


def _from_records(path: Path) -> tuple[CropSet, NDArray[Any]]:
    group, records = group_of(path), RecordFile(path)
    keys = shuffled(records)[COHORT_FACES:][:PEOPLE]
    if not keys:
        raise VisitsError(f"{path}: no faces beside the {COHORT_FACES} that calibrate uses; give a folder instead")
    crops = np.stack([fill_black(decode(records.record(key).payload, f"record {key}")) for key in keys])
    return CropSet(path.stem, crops, tuple(map(str, keys))), np.array([group[key] for key in keys])


def _from_folder(folder: Path) -> tuple[CropSet, NDArray[Any]]:
    try:
        with (folder / "groups.tsv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        crops = np.stack([read_image(folder / row["file"])[:, :, ::-1] for row in rows])
        return CropSet(folder.name, crops, tuple(row["file"] for row in rows)), np.array([row["race"] for row in rows])
    except (OSError, KeyError, ValueError) as error:
        raise VisitsError(f"{folder}: expected groups.tsv with columns file and race, and the crops it names ({error})") from error
