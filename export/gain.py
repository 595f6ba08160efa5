"""`python -m export gain TUNED --against BEFORE --people DIR`: whether a tuned model recognises people better on whom it was not tuned.

Every crop is compared with the mean of three others of each person, by the scores that a terminal uses, the model's cohort included, in many random splits.
Each model has the threshold that a share of its own comparisons of different people exceeds. The interval is a bootstrap over people, the same people for
both models. Exit code 1 if the tuned model recognises fewer: then it is not worth making everybody's templates again.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from device.vision.cohort import scores
from device.vision.embedder import Embedder
from export.visits import TEMPLATES, in_batches, unit
from training import arguments
from training.data import FolderReader

SPLITS = 20
ROUNDS = 1000  # of the bootstrap
LEVEL = 0.95
FEWEST = 10  # people
MOST_RATE = 0.05  # FMR up to which scores of different people are kept; draws of people need more than the rate itself


class GainError(ClockfaceError):
    """A tuned model is worse, or it cannot be measured."""

    code = "gain"


@dataclass(frozen=True)
class SplitScores:
    """Scores of crops against people, in all splits.

    Attributes:
        mated, owner: (M,) score of each crop against its own person, and that person, 0..I-1.
        highest, probe, template: (K,) the highest scores against other people, in order, the crop's person and the other one.
    """

    mated: NDArray[np.float32]
    owner: NDArray[np.int64]
    highest: NDArray[np.float32]
    probe: NDArray[np.int64]
    template: NDArray[np.int64]

    @property
    def people(self) -> int:
        return int(self.owner.max()) + 1


@dataclass(frozen=True)
class Gain:
    """TAR of both models at the same FMR, and the difference with its interval."""

    before: float
    tuned: float
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.tuned - self.before

    @property
    def words(self) -> str:
        if self.value < 0:
            return "worse"
        return "better" if self.low > 0 else "not shown to be better: the interval includes 0"


def splits(owner: NDArray[np.int64], seed: int = 0) -> list[list[NDArray[np.int64]]]:
    """For each split the crops of each person in random order; the first three are templates."""
    random = np.random.default_rng(seed)
    people = [np.flatnonzero(owner == person) for person in range(int(owner.max()) + 1)]
    return [[random.permutation(own) for own in people] for _ in range(SPLITS)]


def compared(embedder: Embedder, rows: NDArray[np.float32], each: list[list[NDArray[np.int64]]]) -> SplitScores:
    """Scores of all crops that are no templates against everybody's templates: (N, D) embeddings in the given splits."""
    mated, owners, others = [], [], []
    for people in each:
        templates = unit(np.stack([rows[own[:TEMPLATES]].mean(axis=0) for own in people]))
        owner = np.repeat(np.arange(len(people)), [len(own) - TEMPLATES for own in people])
        found = scores(rows[np.concatenate([own[TEMPLATES:] for own in people])], templates, embedder.cohort)
        at = np.arange(len(owner))
        mated.append(found[at, owner].copy())
        owners.append(owner)
        found[at, owner] = -np.inf
        others.append(found)
    stacked, owner = np.concatenate(others), np.concatenate(owners)  # (M, I), (M,)
    order = np.argsort(-stacked, axis=None)[: max(1000, int(MOST_RATE * stacked.size))]
    rows_, template = np.unravel_index(order, stacked.shape)
    return SplitScores(np.concatenate(mated), owner, stacked.ravel()[order], owner[rows_], template)


def accepted(found: SplitScores, weights: NDArray[np.float64], rate: float) -> float:
    """TAR at the threshold that a share `rate` of the comparisons of different people exceeds; people count by their weights."""
    own = weights[found.owner]
    comparisons = own @ (weights.sum() - own)
    above = np.cumsum(weights[found.probe] * weights[found.template])
    threshold = found.highest[min(int(np.searchsorted(above, rate * comparisons)), len(above) - 1)]
    return float(own @ (found.mated > threshold) / own.sum())


def gain(tuned: SplitScores, before: SplitScores, rate: float, seed: int = 0) -> Gain:
    """The difference in TAR, with a bootstrap over people who are drawn alike for both."""
    people = tuned.people
    random = np.random.default_rng(seed)
    draws = [np.bincount(random.integers(0, people, people), minlength=people).astype(np.float64) for _ in range(ROUNDS)]
    differences = [accepted(tuned, weights, rate) - accepted(before, weights, rate) for weights in draws]
    low, high = np.percentile(differences, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    all_ = np.ones(people)
    return Gain(accepted(before, all_, rate), accepted(tuned, all_, rate), float(low), float(high))


def measured(tuned: Path, before: Path, folder: Path, rate: float) -> tuple[Gain, int]:
    """The gain on the people of a folder who have more than three crops, and how many these are.

    Raises:
        GainError: too few people.
    """
    embedders = [Embedder(path, "cpu") for path in (tuned, before)]
    reader = FolderReader(folder)
    enough = np.flatnonzero(np.bincount(reader.labels)[reader.labels] > TEMPLATES)
    owner = np.unique(reader.labels[enough], return_inverse=True)[1]
    if len(set(owner.tolist())) < FEWEST:
        raise GainError(f"{folder}: {len(set(owner.tolist()))} people with more than {TEMPLATES} crops, at least {FEWEST} are needed", code="gain.people")
    each = splits(owner)
    found = [compared(embedder, in_batches(embedder.embed, (reader.crop(int(row)) for row in enough)), each) for embedder in embedders]
    return gain(found[0], found[1], rate), len(each[0])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the tuned model")
    parser.add_argument("--against", type=Path, required=True, metavar="MODEL", help="the model before")
    parser.add_argument("--people", type=Path, required=True, metavar="DIR", help="crops with one sub-folder per person; nobody the model was tuned on")
    parser.add_argument("--fmr", type=arguments.number(0, MOST_RATE / 2), default=1e-3, help="share of different people above the threshold (default 0.001)")


def run(args: argparse.Namespace) -> int:
    found, people = measured(args.model, args.against, args.people, args.fmr)
    rates = f"{args.against.name} {100 * found.before:.2f} %, {args.model.name} {100 * found.tuned:.2f} %"
    print(f"recognised at FMR {args.fmr:g}, {people} people of {args.people} in {SPLITS} splits: {rates}")
    print(f"gain {100 * found.value:+.2f} points ({100 * found.low:+.2f} to {100 * found.high:+.2f}, {LEVEL:.0%} interval over people): {found.words}")
    if found.value < 0:
        raise GainError(f"{args.model} recognises fewer than {args.against.name}; keep that one", code="gain.worse")
    return 0
