"""`python -m export calibrate MODEL...`: thresholds from non-mated scores, written into each model's card.

    python -m export calibrate own.onnx own-int8.onnx --visits labelled.rec --cohort faces.rec    a visit against mean templates, with a cohort
    python -m export calibrate own.onnx --folder crops --rec unlabelled.rec --other sface.onnx    single pictures, where nobody has labels

A search of a gallery of N people compares with all of them, so FPIR = 1 - (1 - FMR)^N. The threshold for (N, FPIR) is the score that a share FMR of
all non-mated comparisons exceeds. If fewer than ten comparisons lie above it, it is extrapolated by a fitted tail, within limits, and the card says
"extrapolated"; where the fit is not supported either, it says "insufficient data". Each threshold has an interval, and so has its true FPIR: the wider
of a bootstrap over people, because comparisons that share a person are not independent, and the exact binomial interval.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from device.contract import ClockfaceError, OperatingPoint, VisitPoints
from device.vision.cohort import Cohort
from device.vision.embedder import Embedder
from export import artefact, crops, tail
from export.crops import CropSet, Embeddings
from export.visits import Visits, carried, choose_cohort, from_people, highest_look, points

SIZES = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)  # people
FPIRS = (0.1, 0.01, 0.001)
FEWEST = 10  # non-mated comparisons that must lie above a measured threshold
FITTED = 1_000  # comparisons that the tail is fitted to
FARTHEST = 200.0  # how many times beyond FEWEST the fitted tail may extrapolate
ROUNDS = 200  # of the bootstrap over people
SAME_BY_OTHER = 0.6  # cosine of another model above which two crops count as one person, in sets that no teacher has checked
LEVEL = 0.95  # confidence level of all intervals


class CalibrateError(ClockfaceError):
    """The data cannot be used to set a threshold."""

    code = "calibrate"


@dataclass(frozen=True)
class Threshold:
    """The score for one FMR, its interval, and the interval of its true FMR; NaN for insufficient data."""

    value: float
    low: float
    high: float
    fmr_low: float
    fmr_high: float
    method: str  # "measured", "extrapolated" or "insufficient data"


NOTHING = Threshold(*(float("nan"),) * 5, "insufficient data")


def false_match_rate(size: int, fpir: float) -> float:
    """The FMR of one comparison at which a search of `size` people has this FPIR."""
    return float(-np.expm1(np.log1p(-fpir) / size))


def identification_rate(size: int, fmr: float) -> float:
    """The FPIR of a search of `size` people at this FMR of one comparison."""
    return float(-np.expm1(size * np.log1p(-min(fmr, 1 - 1e-12))))


class NonMated:
    """The highest of all non-mated scores, in order, and bootstrap draws of the people.

    Args:
        scores: (M,) of all comparisons between different people.
        first: (M,) person on one side.
        second: (M,) person on the other side.
        people: how many there are.
        largest_rate: the highest FMR for which a threshold will be set.
    """

    def __init__(
        self, scores: NDArray[np.float32], first: NDArray[np.int32], second: NDArray[np.int32], people: int, largest_rate: float, seed: int = 0
    ) -> None:
        self.total = len(scores)
        self._share = self.total / (people * (people - 1))  # of all ordered pairs
        self.mean, self.deviation = float(scores.mean()), float(scores.std())
        keep = min(len(scores), max(2, FITTED + 1, int(np.ceil(3 * largest_rate * len(scores)))))  # only the upper tail is needed
        top = np.argpartition(scores, -keep)[-keep:]
        top = top[np.argsort(-scores[top], kind="stable")]  # highest first
        self.scores = np.asarray(scores[top], np.float64)
        self._first, self._second = first[top], second[top]
        random = np.random.default_rng(seed)
        self._draws = [np.bincount(random.integers(0, people, people), minlength=people).astype(np.float64) for _ in range(ROUNDS)]
        self._start = float(self.scores[min(FITTED, keep - 1)])

    @classmethod
    def of_people(cls, embeddings: Embeddings, largest_rate: float, seed: int = 0) -> NonMated:
        """Single pictures, (P, D) unit length, one per person, each compared with every other once."""
        first, second = (index.astype(np.int32) for index in np.triu_indices(len(embeddings), 1))
        return cls((embeddings @ embeddings.T)[first, second], first, second, len(embeddings), largest_rate, seed)

    @classmethod
    def of_visits(cls, visits: Visits, cohort: Cohort | None, found: VisitPoints, largest_rate: float) -> NonMated:
        """The visit of each person against everybody else's templates."""
        first, second = (index.astype(np.int32) for index in np.nonzero(~visits.alike))
        return cls(highest_look(visits, cohort, found)[first, second], first, second, len(visits.alike), largest_rate)

    def thresholds(self, rates: Sequence[float]) -> list[Threshold]:
        """One threshold for each FMR."""
        wanted = np.array(rates)
        at = self._quantiles(np.ones_like(self.scores), self.total, wanted)  # (R,) measured
        fitted = self._fit(np.ones_like(self.scores), self.total)
        measurable = wanted * self.total >= FEWEST
        reachable = wanted * self.total >= FEWEST / FARTHEST
        values = np.where(measurable, at, fitted.score(wanted))
        draws = [self._draw(weights, wanted, values) for weights in self._draws]
        drawn, drawn_rates, drawn_tails, tail_rates = (np.array(rows) for rows in zip(*draws, strict=True))  # (ROUNDS, R) each
        supported = self._supported(fitted)
        found = []
        for i, rate in enumerate(wanted):
            if measurable[i]:
                exact = exact_interval(int(np.floor(rate * self.total)), self.total)
                fmr = _middle(drawn_rates[:, i])
                found.append(Threshold(values[i], *_middle(drawn[:, i]), min(fmr[0], exact[0]), max(fmr[1], exact[1]), "measured"))
            elif reachable[i] and supported and values[i] < 1:
                found.append(Threshold(values[i], *_middle(drawn_tails[:, i]), *_middle(tail_rates[:, i]), "extrapolated"))
            else:
                found.append(NOTHING)
        return found

    def _draw(self, people: NDArray[np.float64], rates: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """One bootstrap draw: measured thresholds, the shares above the given ones, and both again by the tail fitted to the draw."""
        weights, total = self._weights(people)
        above = np.concatenate([[0.0], np.cumsum(weights)])
        shares = above[np.searchsorted(-self.scores, -values, side="left")] / total
        fitted = self._fit(weights, total)
        return self._quantiles(weights, total, rates), shares, fitted.score(rates), fitted.rate(values)

    def _weights(self, people: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """How often each comparison occurs in a draw, and how many comparisons between different people the draw has."""
        return people[self._first] * people[self._second], self._share * float(people.sum() ** 2 - (people**2).sum())

    def _quantiles(self, weights: NDArray[np.float64], total: float, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        places = np.searchsorted(np.cumsum(weights), rates * total, side="right")
        return self.scores[np.minimum(places, len(self.scores) - 1)]

    def _fit(self, weights: NDArray[np.float64], total: float) -> tail.Tail:
        above = self.scores > self._start
        return tail.fit(self.scores[above], weights[above], self._start, total)

    def _supported(self, fitted: tail.Tail) -> bool:
        """Whether the fit predicts the highest observed scores: its threshold at ten comparisons must lie in the bootstrap interval of the measured one."""
        rate = np.array([FEWEST / self.total])
        observed = [self._quantiles(*self._weights(people), rate)[0] for people in self._draws]
        low, high = _middle(np.array(observed))
        return bool(self.scores.size > FITTED and low <= fitted.score(rate)[0] <= high)


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def exact_interval(count: int, of: int) -> tuple[float, float]:
    """Conservative binomial interval of a share. Source: C. Clopper and E. Pearson, Biometrika 26, 1934."""
    outside = (1 - LEVEL) / 2
    low = stats.beta.ppf(outside, count, of - count + 1) if count else 0.0
    high = stats.beta.ppf(1 - outside, count + 1, of - count) if count < of else 1.0
    return float(low), float(high)


def operating_points(non_mated: NonMated, fpirs: Sequence[float], data: str) -> list[OperatingPoint]:
    """One operating point for each gallery size and FPIR."""
    wanted = [(size, fpir) for fpir in fpirs for size in SIZES]
    found = non_mated.thresholds([false_match_rate(size, fpir) for size, fpir in wanted])
    return [_point(size, fpir, threshold, data) for (size, fpir), threshold in zip(wanted, found, strict=True)]


def _point(size: int, fpir: float, threshold: Threshold, data: str) -> OperatingPoint:
    if threshold.method == "insufficient data":
        return OperatingPoint(size, fpir, None, None, None, threshold.method, data)
    fpir_low, fpir_high = (float(f"{identification_rate(size, fmr):.3g}") for fmr in (threshold.fmr_low, threshold.fmr_high))
    value, low, high = (round(min(float(score), 1.0), 4) for score in (threshold.value, threshold.low, threshold.high))  # a fitted tail may exceed 1
    return OperatingPoint(size, fpir, value, low, high, threshold.method, data, fpir_low, fpir_high)


def statistics(non_mated: NonMated, people: int, data: str) -> dict[str, Any]:
    """The card's entry on the distribution of the non-mated scores."""
    scores = non_mated.scores
    rates = [rate for rate in (1e-3, 1e-4, 1e-5, 1e-6) if FEWEST <= rate * non_mated.total < len(scores)]
    at = {f"{rate:g}": round(float(scores[int(rate * non_mated.total)]), 4) for rate in rates}
    spread = {"mean": round(non_mated.mean, 4), "deviation": round(non_mated.deviation, 4), "largest": round(float(scores[0]), 4)}
    return {"measure": "non_mated", "data": data, "people": people, "comparisons": non_mated.total, **spread, "score_at_fmr": at}


def compared(sets: Sequence[CropSet], rows: Sequence[Embeddings], rate: float = 1e-3) -> list[str]:
    """Score at FMR `rate` within and between the sets: a set that the model was trained on may score too low."""
    lines = []
    for i, one in enumerate(sets):
        for j in range(i, len(sets)):
            scores = rows[i] @ rows[j].T
            values = scores[np.triu_indices(len(scores), 1)] if i == j else scores.ravel()
            lines.append(f"{one.name} against {sets[j].name}: {np.quantile(values, 1 - rate):.4f} at FMR {rate:g}, {len(values)} comparisons")
    return lines


def without_repeated(chosen: CropSet, other: Path, threshold: float) -> CropSet:
    """The set without repeated people, as another model finds them; a set that a teacher has checked is returned unchanged."""
    if chosen.checked:
        return chosen
    (rows,) = crops.embed(Embedder(other, "cpu").embed, [chosen])
    keep = ~crops.repeated(rows, threshold)
    print(f"{chosen.name}: {len(keep) - keep.sum()} of {len(keep)} crops left out: {other.name} finds the same person earlier in the set (above {threshold:g})")
    return CropSet(chosen.name, chosen.crops[keep], tuple(label for label, kept in zip(chosen.labels, keep, strict=True) if kept))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--other", type=Path, help="another model (.onnx) that finds people shown twice in a set; the second crop is left out")
    parser.add_argument("--same", type=float, default=SAME_BY_OTHER, help="score of --other above which two crops show one person")
    parser.add_argument("--note", default="", help="remark on the data for the card, such as that the model was trained on some of it")
    parser.add_argument("--visits", type=Path, metavar="PEOPLE", help="labelled .rec, or a folder per person: thresholds are set on their visits")
    parser.add_argument("--visits-teacher", type=Path, help="another model (.onnx) or its embeddings of --visits (.npz): labels that show one person are found")
    parser.add_argument("--cohort-of", type=Path, metavar="MODEL", help="instead of --cohort: that of the model that this one was tuned from, carried over")
    parser.add_argument("--cohort", type=Path, metavar="REC", help="different people with a table (.tsv: key, race) beside them; some go into the model file")
    parser.add_argument("--fpir", type=float, nargs="+", default=list(FPIRS))
    crops.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.cohort is not None and args.cohort_of is not None:
        raise CalibrateError("give --cohort or --cohort-of, not both")
    if not all(0 < fpir < 1 for fpir in args.fpir):
        raise CalibrateError(f"--fpir {args.fpir}: expected rates between 0 and 1")
    embedders = [Embedder(model, "cpu") for model in args.models]  # an unusable model is refused before the work begins
    if args.visits is not None:
        for model, embedder in zip(args.models, embedders, strict=True):
            calibrate_visits(model, embedder, args)
        return 0
    if args.cohort is not None or args.cohort_of is not None:
        raise CalibrateError(f"{'--cohort' if args.cohort else '--cohort-of'} needs --visits: what a cohort costs is measured on visits")
    sets = crops.from_arguments(args)
    if args.other is not None:
        sets = [without_repeated(chosen, args.other, args.same) for chosen in sets]
    for model, embedder in zip(args.models, embedders, strict=True):
        calibrate(model, embedder, sets, args.fpir, args.note)
    return 0


def calibrate(model: Path, embedder: Embedder, sets: Sequence[CropSet], fpirs: Sequence[float], note: str = "") -> None:
    """Set the thresholds of one model and write them into its card."""
    rows = crops.embed(embedder.embed, sets)
    everybody = np.concatenate(rows)
    names = " and ".join(f"{len(chosen.crops)} of {chosen.name}" for chosen in sets)
    data = f"{len(everybody)} people ({names}), one aligned crop each, {len(everybody) * (len(everybody) - 1) // 2} non-mated comparisons"
    data += f"; {note}" if note else ""
    non_mated = NonMated.of_people(everybody, false_match_rate(min(SIZES), max(fpirs)))
    single = operating_points(non_mated, fpirs, data)
    card = embedder.card
    kept = tuple(entry for entry in card.accuracy if entry.get("measure") != "non_mated")
    entry = statistics(non_mated, len(everybody), data)
    artefact.write_card(model, dataclasses.replace(card, operating_points=tuple(single), accuracy=(*kept, entry), visits=None))
    print(f"{model}: {data}")
    print("\n".join([*compared(sets, rows), *map(as_text, single)]))


def calibrate_visits(model: Path, embedder: Embedder, args: argparse.Namespace) -> None:
    """Set thresholds, early margins and the cohort of one model and write them into its file."""
    visits = from_people(args.visits, embedder.embed, args.visits_teacher)
    cohort, entries = None, []
    if args.cohort_of is not None:
        before = Embedder(args.cohort_of, "cpu")
        cohort = carried(before.cohort, visits, from_people(args.visits, before.embed, None)) if before.cohort else None
    if args.cohort is not None:
        chosen, tried = choose_cohort(args.cohort, embedder.embed, visits)
        cohort, entries = chosen.cohort, [{"measure": "cohort", "chosen": one is chosen, **one.entry()} for one in tried]
    found = points(visits, cohort)
    data = f"{visits.data}; scores {'normalised with ' + cohort.data if cohort else 'plain cosines'}{'; ' + args.note if args.note else ''}"
    non_mated = NonMated.of_visits(visits, cohort, found, false_match_rate(min(SIZES), max(args.fpir)))
    operating = operating_points(non_mated, args.fpir, data)
    kept = [entry for entry in embedder.card.accuracy if entry.get("measure") not in ("non_mated", "cohort")]
    accuracy = (*kept, *entries, statistics(non_mated, len(visits.alike), data))
    artefact.write_card(model, dataclasses.replace(embedder.card, operating_points=tuple(operating), accuracy=accuracy, visits=found), cohort)
    print(f"{model}: {data}")
    for entry in entries:
        words = f"cohort, {entry['highest']} highest, spread {entry['spread']:g}" if entry["highest"] else "no cohort"
        print(f"  {words:<34} worst group {entry['worst_group']:.2f} times the mean, {100 * entry['missed']:.2f} % of visits missed{' *' * entry['chosen']}")
    print(f"early margins {found.early}, another face below {found.changed}")
    print("\n".join(map(as_text, operating)))


def as_text(point: OperatingPoint) -> str:
    """An operating point as one line of text."""
    about = f"{point.gallery_size:>6} people, FPIR {point.fpir:g}: "
    if point.threshold is None:
        return about + point.method
    if point.fpir_low is None or point.fpir_high is None:  # a card written before these intervals
        return about + f"{point.threshold:.4f}, {point.method}"
    return about + f"{point.threshold:.4f} ({point.low:.4f} to {point.high:.4f}), FPIR {interval(point.fpir_low, point.fpir_high)}, {point.method}"


def interval(low: float, high: float) -> str:
    """Two shares in per cent, with three digits but never finer than a thousandth of a per cent."""
    first, last = (f"{float(f'{100 * share:.3g}'):.3f}".rstrip("0").rstrip(".") for share in (low, high))
    return f"{first} to {last} %"
