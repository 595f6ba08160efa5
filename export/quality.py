"""`python -m export quality MODEL FOLDER`: which measure of a crop foretells best how alike it is to the person.

    python -m export quality models/sface.onnx faces/dev

FOLDER has one sub-folder of photos or clips per person. Each picture is used as it is and once more spoilt (`export/spoilt.py`). All crops take the device's
detector and quality measures; those that its gate refuses count as well, unless --gate is given. A visit is some photos of a person, each as it is or spoilt.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from export.shots import UNWEIGHTED, Array, Rows, Shots, read
from training import arguments
from training.metrics import ComparisonScores

LEAST = 0.01  # least weight of a crop in a mean, in shares of the median weight
TEMPLATES, VISITS, FPIRS = 3, (3, 5), (1e-2, 1e-3)
FEWEST_PEOPLE = 20  # for FNIR
GROUPS = 300  # of three crops, per person

Draw = tuple[Rows, Rows, Rows, Rows]  # enrolled people (P / 2,), strangers (P / 2,), rows of everybody's templates (P, 3) and visits (P, n); -1: none


@dataclass(frozen=True)
class Worth:
    """What one measure is worth."""

    name: str
    rank: float  # Spearman's correlation with the cosine to the person's other crops
    best: float  # mean cosine of the best of three crops
    once: Sequence[Array]  # for each of VISITS (FPIRS, P) share of visits missed when the mean is weighted with it
    squared: Sequence[Array]  # the same with its square

    @property
    def merit(self) -> float:
        """The mean FNIR, or without visits the cosine of the best of three; less is better."""
        return float(np.nanmean(self.once)) if len(self.once) else -self.best

    def cells(self, plain: Worth) -> list[str]:
        """Figures as text; the last one compares with the unweighted mean."""
        both = [pair for once, squared in zip(self.once, self.squared, strict=True) for pair in zip(once, squared, strict=True)]
        fnir = [f"{100 * np.nanmean(once):.2f}, {100 * np.nanmean(squared):.2f}" for once, squared in both]
        return [self.name, f"{self.rank:.3f}", f"{self.best:.3f}", *fnir, *self._change(plain)]

    def _change(self, plain: Worth) -> list[str]:
        """Difference to the unweighted mean in the shortest visits at the lowest FPIR, with its standard error over people."""
        parts = [100 * (once[-1] - other[-1]) for once, other in zip(self.once, plain.once, strict=True)][:1]
        return [f"{np.nanmean(part):+.2f} +- {np.nanstd(part) / np.sqrt(np.isfinite(part).sum()):.2f}" for part in parts]


def likeness(shots: Shots) -> Array:
    """(N,) cosine of each crop to the mean of the person's unspoilt crops of other takes; NaN where there are none."""
    found = np.full(len(shots.person), np.nan)
    for row, (person, take) in enumerate(zip(shots.person, shots.take, strict=True)):
        others = shots.embedding[(shots.person == person) & (shots.take != take) & ~shots.spoilt]
        if len(others):
            found[row] = shots.embedding[row] @ unit(others.mean(axis=0))
    return found


def best_of_three(shots: Shots, weight: Array, cosine: Array, seed: int) -> float:
    """Mean cosine of the crop with the highest weight among three random ones of a person."""
    rng = np.random.default_rng(seed)
    people = [np.flatnonzero((shots.person == person) & np.isfinite(cosine)) for person in np.unique(shots.person)]
    threes = np.concatenate([rows[rng.random((GROUPS, len(rows))).argsort(axis=1)[:, :3]] for rows in people if len(rows) >= 3])  # (G, 3)
    chosen = np.take_along_axis(threes, weight[threes].argmax(axis=1)[:, None], 1)
    return float(cosine[chosen].mean())


def draws(shots: Shots, pictures: int, splits: int, seed: int) -> Iterator[Draw]:
    """Random halves of the people, and for each person three unspoilt templates and a visit of so many other photos."""
    rng = np.random.default_rng(seed)
    people, takes = shots.person.max() + 1, shots.take.max() + 1
    slots = np.full((people, takes, 2), -1)  # row of the crop of each photo, as it is and spoilt
    slots[shots.person, shots.take, shots.spoilt.astype(int)] = np.arange(len(shots.person))
    for _ in range(splits):
        halves = np.array_split(rng.permutation(people), 2)
        mixed = np.take_along_axis(slots, rng.permuted(np.tile(np.arange(takes), (people, 1)), axis=1)[:, :, None], 1)
        chosen = rng.integers(0, 2, (people, pictures, 1))
        yield halves[0], halves[1], mixed[:, :TEMPLATES, 0], np.take_along_axis(mixed[:, TEMPLATES : TEMPLATES + pictures], chosen, 2)[:, :, 0]


def mean(embedding: Array, rows: Rows, weight: Array) -> Array:
    """(K, n) rows of crops, -1 for none -> (K, D) their weighted means, of unit length; zeros where there is none."""
    shares = np.where(rows >= 0, np.maximum(weight[rows] / np.median(weight), LEAST), 0.0)
    return unit((embedding[rows] * shares[:, :, None]).sum(axis=1))


def missed(shots: Shots, weight: Array, drawn: Sequence[Draw]) -> Array:
    """(FPIRS, P) share of each person's visits that do not name them at the threshold that so few strangers' visits pass; NaN without a visit."""
    own, who, foreign = [], [], []
    for enrolled, strangers, templates, visits in drawn:
        there, come = enrolled[(templates[enrolled] >= 0).any(axis=1)], strangers[(visits[strangers] >= 0).any(axis=1)]
        gallery = mean(shots.embedding, templates[there], np.ones(len(weight)))
        scores = mean(shots.embedding, visits[there], weight) @ gallery.T
        seen = (visits[there] >= 0).any(axis=1)
        own.append(np.where(scores.argmax(axis=1) == np.arange(len(there)), scores.max(axis=1), -1.0)[seen])
        who.append(there[seen])
        foreign.append((mean(shots.embedding, visits[come], weight) @ gallery.T).max(axis=1))
    mated, person, count = np.concatenate(own), np.concatenate(who), shots.person.max() + 1
    thresholds = [ComparisonScores(mated, np.concatenate(foreign)).threshold_at(fpir) for fpir in FPIRS]
    with np.errstate(invalid="ignore"):
        return np.array([np.bincount(person, mated < at, count) / np.bincount(person, minlength=count) for at in thresholds])


def unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def table(shots: Shots, splits: int, seed: int) -> list[Worth]:
    """One row per measure, the best first."""
    cosine, known = likeness(shots), np.isfinite(likeness(shots))
    enough = shots.person.max() + 1 >= FEWEST_PEOPLE and shots.take.max() + 1 >= TEMPLATES + max(VISITS)
    drawn = [list(draws(shots, pictures, splits, seed)) for pictures in VISITS if enough]
    rows = []
    for name, weight in shots.weights.items():
        rank = float(spearmanr(weight[known], cosine[known]).statistic) if np.ptp(weight[known]) else 0.0
        fnir = [[missed(shots, weight**power, some) for some in drawn] for power in (1, 2)]
        rows.append(Worth(name, rank, best_of_three(shots, weight, cosine, seed), *fnir))
    return sorted(rows, key=lambda row: row.merit)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="a file that meets the contract")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="one sub-folder of photos or clips per person")
    parser.add_argument("--gate", action="store_true", help="leave out crops that the device would refuse")
    parser.add_argument("--splits", type=arguments.count, default=150, help="random halves of the people")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    shots = read(args.model, args.folder, args.seed)
    kept = shots.accepted if args.gate else np.ones(len(shots.person), np.bool_)
    rows = table(shots.only(kept), args.splits, args.seed)
    plain = next(row for row in rows if row.name == UNWEIGHTED)
    print(f"{kept.sum()} crops of {len(np.unique(shots.person))} people, {(kept & shots.spoilt).sum()} of them spoilt; {args.splits} splits")
    visits = [f"FNIR %, {pictures} crops, FPIR {fpir:g}: weight, squared" for pictures in VISITS for fpir in FPIRS] if len(plain.once) else []
    change = [f"to unweighted, {VISITS[0]} crops, FPIR {FPIRS[-1]:g}"] if visits else []
    head = ["measure", "Spearman", "best of three", *visits, *change]
    print("\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *(row.cells(plain) for row in rows)]))
    return 0
