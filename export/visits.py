"""Visits made of labelled crops, and the cohort that their scores are normalised with: what `calibrate` sets thresholds on.

A visit's score is that of the mean of its pictures against the mean of a person's templates, at each look with one picture more. The threshold must hold
for the highest of all looks, so early looks ask for a margin on top of it (alpha spending: K. Lan and D. DeMets, Biometrika 70, 1983).
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError, VisitPoints
from device.vision.cohort import Cohort, scores
from export.crops import SAME_PERSON, Crops, Embeddings
from training.borders import fill_black
from training.data import FolderReader, RecordReader, decode
from training.recordio import RecordFile
from training.teacher import embeddings as teacher_embeddings

TEMPLATES = 3  # per person
LOOKS = 5  # pictures of a visit; later ones hardly move its mean
FEWEST_LOOKS = 2
SPENT = (0.05, 0.15, 0.4, 0.7)  # share of the false matches that the first looks may make
RATE = 1e-4  # FMR at which the early margins are measured
CHANGED_RATE = 0.01  # share of pairs of different people that lie above the score for another face in the same visit
COHORT_SIZE = 3000
COHORT_FACES = COHORT_SIZE + 3000  # and those it is judged on
HIGHEST = (100, 400)  # candidates: cohort scores that count
SPREADS = (0.0, 0.5, 0.75, 1.0)  # candidates: power of the deviation
EVEN = 1.05  # cohorts are as even as the best one if their worst group is within this factor of its
RIDGE = 0.1  # weight of the identity where embeddings are carried over, as a share of the mean variance of a direction
JUDGED_RATE = 1e-3  # FMR at which the groups are compared


class VisitsError(ClockfaceError):
    """The labelled crops or the cohort's cannot be used."""

    code = "visits"


@dataclass(frozen=True)
class Visits:
    """Of I people with labels.

    Attributes:
        templates: (I, D) unit length, the mean of each person's templates.
        looks: (I, K, D) unit length, the mean of the first k pictures of each visit; where a visit has fewer, its last mean is repeated.
        alike: (I, I) bool, pairs that another model takes for one person, and the diagonal.
        data: for the card.
    """

    templates: Embeddings
    looks: NDArray[np.float32]
    alike: NDArray[np.bool_]
    data: str


def from_people(path: Path, run: Callable[[Crops], Embeddings], teacher: Path | None, seed: int = 0) -> Visits:
    """Visits of all people of a RecordIO file, or of a folder with one sub-folder per person, that have enough crops.

    Args:
        run: crops to embeddings.
        teacher: another model, or its embeddings of the same records (.npz); people with two labels would count as false matches.

    Raises:
        VisitsError: too few people.
    """
    reader = RecordReader(path) if path.suffix == ".rec" else FolderReader(path)
    by_person: dict[int, list[int]] = {}
    for row, label in enumerate(reader.labels.tolist()):
        if label >= 0:
            by_person.setdefault(label, []).append(row)
    random = np.random.default_rng(seed)
    rows = [list(map(int, random.permutation(own)))[: TEMPLATES + LOOKS] for own in by_person.values() if len(own) >= TEMPLATES + FEWEST_LOOKS]
    if len(rows) < 100:
        raise VisitsError(f"{path}: {len(rows)} people with at least {TEMPLATES + FEWEST_LOOKS} labelled crops; at least 100 are needed")
    flat = [row for own in rows for row in own]
    embeddings = in_batches(run, (reader.crop(row) for row in flat))
    place = {row: index for index, row in enumerate(flat)}
    each = [embeddings[[place[row] for row in own]] for own in rows]
    alike = np.eye(len(each), dtype=bool)
    if teacher is not None:
        known = teacher_embeddings(str(teacher), reader)
        centres = unit(np.stack([known[own].mean(axis=0) for own in rows]))
        alike |= centres @ centres.T > SAME_PERSON
    data = f"visits of {len(each)} people of {path.stem}: up to {LOOKS} crops each against the mean of {TEMPLATES} others"
    return Visits(unit(np.stack([own[:TEMPLATES].mean(axis=0) for own in each])), np.stack([_means(own[TEMPLATES:]) for own in each]), alike, data)


def _means(pictures: Embeddings) -> Embeddings:
    """(K, D) -> (LOOKS, D): the mean of the first one, two, ... pictures."""
    means = unit(np.cumsum(pictures, axis=0))
    return means[np.minimum(np.arange(LOOKS), len(means) - 1)]


def embedded(records: RecordFile, keys: Sequence[int], run: Callable[[Crops], Embeddings], filled: bool = False) -> Embeddings:
    """Embeddings of these records; `filled`: black borders of tightly cut photos are mirrored first."""
    crops = (decode(records.record(int(key)).payload, f"record {key}") for key in keys)
    return in_batches(run, (fill_black(crop) if filled else crop for crop in crops))


def in_batches(run: Callable[[Crops], Embeddings], crops: Iterable[NDArray[np.uint8]], batch: int = 64) -> Embeddings:
    """Embeddings of crops that need not all be in memory."""
    rest = iter(crops)
    return np.concatenate([run(np.stack(part)) for part in iter(lambda: list(itertools.islice(rest, batch)), [])])


def table(path: Path) -> list[dict[str, str]]:
    """The table beside a RecordIO file.

    Raises:
        VisitsError: there is none, or it has no groups.
    """
    try:
        with path.with_suffix(".tsv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except OSError as error:
        raise VisitsError(f"{path}: expected a table beside it, {path.with_suffix('.tsv').name} ({error.strerror})") from error
    if not rows or not {"key", "race"} <= rows[0].keys():
        raise VisitsError(f"{path.with_suffix('.tsv')}: expected the columns key and race; they say which groups a cohort is judged on")
    return rows


def group_of(path: Path) -> dict[int, str]:
    """The group of each record of a RecordIO file, by key."""
    return {int(row["key"]): row["race"] for row in table(path)}


def shuffled(records: RecordFile, seed: int = 0) -> list[int]:
    """The keys of a RecordIO file, always in the same random order: the first are the cohort, the next judge it, the others are neither."""
    return [int(key) for key in np.random.default_rng(seed).permutation(np.array(records.keys))]


def unit(rows: NDArray[Any]) -> Embeddings:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9), np.float32)


def points(visits: Visits, cohort: Cohort | None) -> VisitPoints:
    """The early margins, and the score that tells another face."""
    non_mated = ~visits.alike
    final = np.quantile(scores(visits.looks[:, -1], visits.templates, cohort)[non_mated], 1 - RATE)
    early: list[float] = []
    for look, share in reversed(list(enumerate(SPENT))):
        needed = np.quantile(scores(visits.looks[:, look], visits.templates, cohort)[non_mated], 1 - share * RATE)
        early.insert(0, max(round(float(needed - final), 4), early[0] if early else 0.0))
    first = visits.looks[:, 0] @ visits.looks[:, 0].T
    changed = float(np.quantile(first[non_mated], 1 - CHANGED_RATE))
    return VisitPoints(tuple(early), round(changed, 4), visits.data)


def highest_look(visits: Visits, cohort: Cohort | None, found: VisitPoints) -> NDArray[np.float32]:
    """(I, I): the highest score that each visit reached against each person, early margins taken off."""
    best = np.full(visits.alike.shape, -np.inf, np.float32)
    for look in range(LOOKS):
        np.maximum(best, scores(visits.looks[:, look], visits.templates, cohort) - np.float32(found.margin(look + 1)), out=best)
    return best


@dataclass(frozen=True)
class Tried:
    """One cohort, or none, with what it gains and costs."""

    cohort: Cohort | None
    worst_group: float  # false matches of the worst group over the mean of all, where all together have JUDGED_RATE
    missed: float  # share of visits below the threshold that RATE / 10 of the non-mated ones exceed

    def entry(self) -> dict[str, Any]:
        """For the card."""
        about = {"highest": self.cohort.highest, "spread": self.cohort.spread} if self.cohort else {"highest": 0, "spread": 0.0}
        return {**about, "worst_group": round(self.worst_group, 2), "missed": round(self.missed, 4)}


def choose_cohort(path: Path, run: Callable[[Crops], Embeddings], visits: Visits) -> tuple[Tried, list[Tried]]:
    """Of the cohorts that treat the groups most evenly the one that misses fewest visits, and all that were tried; none where each misses more than none.

    Args:
        path: RecordIO file of different people with a table of the same name (.tsv: key, race); its faces go into the model file, so its licence counts.
    """
    group, records = group_of(path), RecordFile(path)
    keys = shuffled(records)[:COHORT_FACES]
    if len(keys) < COHORT_SIZE + 500:
        raise VisitsError(f"{path}: {len(keys)} faces; a cohort and the faces it is judged on need at least {COHORT_SIZE + 500}")
    rows = embedded(records, keys, run, filled=True)
    judged, groups = rows[COHORT_SIZE:], np.array([group[key] for key in keys[COHORT_SIZE:]])
    data = f"{COHORT_SIZE} faces of {path.stem}"
    strangers = rows[:COHORT_SIZE]
    candidates = [None, *(Cohort.of(strangers, visits.templates, highest, spread, data) for highest in HIGHEST for spread in SPREADS)]
    tried = [Tried(cohort, worst_group(scores(judged, judged, cohort), groups), missed(visits, cohort)) for cohort in candidates]
    return best_of(tried), tried


def carried(cohort: Cohort, visits: Visits, before: Visits) -> Cohort:
    """The cohort of a model for one that was tuned from it, without the cohort's pictures.

    The new embeddings of its faces are predicted by the linear map that fits those of the visits best (ridge regression about the identity).

    Args:
        cohort: of the model before.
        visits, before: the same visits by the tuned model and by the model before, of the same embedding size.
    """
    old, new = (np.concatenate([found.templates, found.looks[:, 0]]).astype(np.float64) for found in (before, visits))
    kept = RIDGE * len(old) / old.shape[1] * np.eye(old.shape[1])
    change = np.linalg.solve(old.T @ old + kept, old.T @ (new - old))
    rows = cohort.directions.astype(np.float64)
    return Cohort.of(unit(rows + rows @ change), visits.templates, cohort.highest, cohort.spread, f"{cohort.data}, carried over")


def best_of(tried: Sequence[Tried]) -> Tried:
    """Of those that miss no more visits than the first, which is without a cohort, and are about as even as the most even one, that which misses fewest."""
    allowed = [one for one in tried if one.missed <= tried[0].missed]
    most_even = min(one.worst_group for one in allowed)
    return min((one for one in allowed if one.worst_group <= EVEN * most_even), key=lambda one: one.missed)


def worst_group(found: NDArray[np.float32], groups: NDArray[Any], rate: float = JUDGED_RATE) -> float:
    """False matches within the worst group over the mean of all groups, at the threshold that a share `rate` of all (N, N) pairs exceeds."""
    upper = np.triu(np.ones(found.shape, np.bool_), 1)
    alike = upper & (found > np.quantile(found[upper], 1 - rate))
    rates = []
    for name in np.unique(groups):
        own = np.flatnonzero(groups == name)
        rates.append(float(alike[np.ix_(own, own)].sum() / (len(own) * (len(own) - 1) / 2)))
    return max(rates) / (sum(rates) / len(rates))


def missed(visits: Visits, cohort: Cohort | None) -> float:
    """Share of mated visits of three pictures below the threshold for an FMR of RATE / 10."""
    found = scores(visits.looks[:, 2], visits.templates, cohort)
    return float((np.diag(found) < np.quantile(found[~visits.alike], 1 - RATE / 10)).mean())
