"""What a report shows of a run: figures on people who were not trained on, groups, the pairs that went most wrong."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from training import checkpoint, config, metrics, validation
from training.config import Recipe
from training.data import Crops
from training.metrics import Interval

FARS = (1e-2, 1e-3, 1e-4, 1e-5)
GROUP_FAR = 1e-2  # the false match rate at whose threshold groups are compared
GROUP_COLUMNS = ("group", "race")
WORST = 6  # pairs of each kind


@dataclass(frozen=True)
class Pair:
    """Two crops and their score."""

    first: int
    second: int
    score: float


@dataclass(frozen=True)
class GroupFigures:
    """One group at the threshold of all: false matches among its people, and rejections of them."""

    name: str
    crops: int
    fmr: Interval
    fnmr: Interval | None  # None: nobody in it has two crops


@dataclass(frozen=True)
class RunMeasures:
    """The best checkpoint, measured on all pairs of the validation crops."""

    crops: Crops
    scores: metrics.ComparisonScores
    people: int
    tar: dict[float, Interval | None]
    threshold: float  # at GROUP_FAR
    groups: list[GroupFigures]
    same_unlike: list[Pair]  # one person, lowest scores
    others_alike: list[Pair]  # two people, highest scores


def measure(out: Path, recipe: Recipe) -> RunMeasures:
    """Embed the validation crops of a run by its best checkpoint and compare all pairs.

    Raises:
        CheckpointError: there is no best.pt yet.
        DataError: the crops are no longer where the recipe says.
    """
    embedder, _ = checkpoint.load_embedder(out / "best.pt")
    watched, numbers = validation.watched(recipe)
    device = torch.device("cuda" if torch.cuda.is_available() and recipe.run.device != "cpu" else "cpu")
    rows, numbers = validation.embed(embedder.to(device), watched, numbers, recipe)
    people = watched.labels[numbers]
    scores = metrics.all_pairs(rows, people)
    threshold = scores.threshold_at(GROUP_FAR)
    groups = _groups(rows, people, groups_of(watched, numbers), threshold)
    return RunMeasures(
        watched, scores, len(np.unique(people)), {far: scores.tar_interval(far) for far in FARS}, threshold, groups, *_worst(rows, people, numbers)
    )


def groups_of(crops: Crops, numbers: NDArray[np.int64]) -> NDArray[np.str_] | None:
    """The group of each crop where a table beside the crops has one: `groups.tsv` in a folder, the `.tsv` of a `.rec`; None where nothing is known."""
    known: dict[str, str] = {}
    for source in crops.sources:
        path = Path(config.expanded(source.path))
        table = path / "groups.tsv" if source.kind == "folder" else path.with_suffix(".tsv")
        known |= _table(table, path, source.kind)
    found = np.array([known.get(crops.name(int(number)).removesuffix(", edges filled"), "") for number in numbers])
    return found if (found != "").any() else None


def _table(table: Path, path: Path, kind: str) -> dict[str, str]:
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    column = next((name for name in GROUP_COLUMNS if lines and name in lines[0]), None)
    key = "file" if kind == "folder" else "key"
    if column is None or key not in lines[0]:
        return {}
    return {str(path / line[key]) if kind == "folder" else f"{path}: record {line[key]}": line[column] for line in lines}


def _groups(rows: NDArray[np.float32], people: NDArray[np.int64], group: NDArray[np.str_] | None, threshold: float) -> list[GroupFigures]:
    found = []
    for name in sorted(set(group.tolist()) - {""}) if group is not None else ():
        scores = metrics.all_pairs(rows[group == name], people[group == name])
        if len(scores.non_mated):
            matches = metrics.wilson(int((scores.non_mated >= threshold).sum()), len(scores.non_mated))
            missed = metrics.wilson(int((scores.mated < threshold).sum()), len(scores.mated)) if len(scores.mated) else None
            found.append(GroupFigures(name, int((group == name).sum()), matches, missed))
    return found


def _worst(rows: NDArray[np.float32], people: NDArray[np.int64], numbers: NDArray[np.int64]) -> tuple[list[Pair], list[Pair]]:
    first, second = np.triu_indices(len(rows), 1)
    scores = (rows @ rows.T)[first, second]
    same = people[first] == people[second]
    chosen = []
    for pairs, sign in ((np.flatnonzero(same), 1.0), (np.flatnonzero(~same), -1.0)):
        order = pairs[np.argsort(sign * scores[pairs], kind="stable")[:5000]]
        chosen.append(_each_once([Pair(int(numbers[first[i]]), int(numbers[second[i]]), float(scores[i])) for i in order]))
    return chosen[0], chosen[1]


def _each_once(pairs: list[Pair]) -> list[Pair]:
    """The first pairs, no crop in two of them: one bad crop would fill the page."""
    used: set[int] = set()
    kept: list[Pair] = []
    for pair in pairs:
        if not {pair.first, pair.second} & used and len(kept) < WORST:
            kept.append(pair)
            used |= {pair.first, pair.second}
    return kept


def picture(crops: Crops, number: int) -> bytes:
    """A crop as WebP."""
    crop = crops.crop(number)
    assert crop is not None  # it was embedded
    return cv2.imencode(".webp", crop[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, 90])[1].tobytes()
