"""`python -m export calibrate`: thresholds from non-mated scores, written into the model's card.

One search of a gallery of N people is falsely positive with FPIR = 1 - (1 - FMR)^N, where FMR is the false-match rate of one
comparison. So the threshold for (N, FPIR) is the score that a share FMR of all non-mated comparisons exceeds. Where fewer than
ten comparisons would lie above it, the data cannot carry it and the card says "insufficient data".
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from rich.progress import track

from device.contract import CROP_SIZE, ClockfaceError, OperatingPoint
from device.embedder import Embedder
from device.images import IMAGE_SUFFIXES, read_image
from export.adopt import set_card, write

SIZES = (10, 50, 100, 500, 1_000, 5_000, 10_000, 50_000)  # people
FEWEST = 10  # non-mated comparisons that must lie above a threshold
ROUNDS = 200  # of the bootstrap over identities


class CalibrateError(ClockfaceError):
    """The data cannot be used to set a threshold."""


def false_match_rate(size: int, fpir: float) -> float:
    """The FMR of one comparison at which a search of `size` people has this FPIR."""
    return float(-np.expm1(np.log1p(-fpir) / size))


def thresholds(embeddings: NDArray[np.float32], rates: Sequence[float], seed: int = 0) -> NDArray[np.float64]:
    """The score that a share `rate` of the non-mated comparisons exceeds, with its 95 % interval.

    Args:
        embeddings: (P, D) unit length, one a person, all different people.
        rates: FMRs.

    Returns:
        (len(rates), 3) float64: threshold, low, high; NaN where fewer than FEWEST comparisons lie above. The interval
        is a bootstrap over identities: comparisons that share a person are not independent.
    """
    people = len(embeddings)
    scores = (embeddings @ embeddings.T)[np.triu_indices(people, 1)]  # (P (P - 1) / 2,)
    first, second = (index.astype(np.int32) for index in np.triu_indices(people, 1))
    keep = min(len(scores), max(2, int(np.ceil(3 * max(rates) * len(scores)))))  # only the upper tail is ever looked at
    top = np.argpartition(scores, -keep)[-keep:]
    top = top[np.argsort(-scores[top])]  # highest first
    tail, first, second = np.asarray(scores[top], np.float64), first[top], second[top]
    draws = [np.ones(people)]
    random = np.random.default_rng(seed)
    draws += [np.bincount(random.integers(0, people, people), minlength=people).astype(float) for _ in range(ROUNDS)]
    found = np.array([_at(tail, weights[first] * weights[second], _pairs(weights), rates) for weights in draws])  # (1 + ROUNDS, R)
    low, high = np.percentile(found[1:], [2.5, 97.5], axis=0)
    result = np.stack([found[0], low, high], axis=1)
    above = np.array(rates) * people * (people - 1) / 2
    result[above < FEWEST] = np.nan
    return result


def _pairs(weights: NDArray[np.float64]) -> float:
    """Comparisons between different people of a bootstrap draw."""
    return float((weights.sum() ** 2 - (weights**2).sum()) / 2)


def _at(scores: NDArray[np.float64], weights: NDArray[np.float64], total: float, rates: Sequence[float]) -> NDArray[np.float64]:
    """Weighted upper quantiles of scores in descending order."""
    above = np.cumsum(weights)
    places = np.searchsorted(above, np.array(rates) * total, side="right")
    return scores[np.minimum(places, len(scores) - 1)]


def operating_points(embeddings: NDArray[np.float32], fpirs: Sequence[float], data: str) -> list[OperatingPoint]:
    """One operating point for each gallery size and FPIR."""
    wanted = [(size, fpir) for fpir in fpirs for size in SIZES]
    values = thresholds(embeddings, [false_match_rate(size, fpir) for size, fpir in wanted])
    points = []
    for (size, fpir), row in zip(wanted, values, strict=True):
        threshold, low, high = (None if np.isnan(value) else round(float(value), 4) for value in row)
        points.append(OperatingPoint(size, fpir, threshold, low, high, "measured" if threshold is not None else "insufficient data", data))
    return points


def read_crops(folder: Path) -> NDArray[np.uint8]:
    """(P, 112, 112, 3) uint8 RGB: the pictures of a folder, one a person; of each sub-folder (a person) the first.

    Raises:
        CalibrateError: too few, or a picture that is not an aligned crop.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES) if folder.is_dir() else []
    people = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    paths += [first for person in people if (first := min((p for p in person.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES), default=None))]
    crops = []
    for path in paths:
        image = read_image(path)
        if image.shape != (CROP_SIZE, CROP_SIZE, 3):
            size = f"{image.shape[1]} x {image.shape[0]}"
            raise CalibrateError(f"{path}: expected an aligned crop of {CROP_SIZE} x {CROP_SIZE}, got {size}; run `python -m training prepare`")
        crops.append(image[:, :, ::-1])
    if len(crops) < 20:
        raise CalibrateError(f"{folder}: {len(crops)} people with aligned crops, at least 20 are needed")
    return np.stack(crops)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path)
    parser.add_argument("--folder", type=Path, action="append", required=True, help="aligned crops of different people, or a folder a person; may be repeated")
    parser.add_argument("--fpir", type=float, nargs="+", default=[0.1, 0.01, 0.001])


def run(args: argparse.Namespace) -> int:
    if not all(0 < fpir < 1 for fpir in args.fpir):
        raise CalibrateError(f"--fpir {args.fpir}: expected rates between 0 and 1")
    embedder = Embedder(args.model, "cpu")
    crops = np.concatenate([read_crops(folder) for folder in args.folder])
    batches = [crops[start : start + 16] for start in range(0, len(crops), 16)]
    embeddings = np.concatenate([embedder.embed(batch) for batch in track(batches, "embedding")])
    data = f"{len(crops)} people, one aligned crop each, {len(crops) * (len(crops) - 1) // 2} non-mated comparisons"
    points = operating_points(embeddings, args.fpir, data)
    model = onnx.load(args.model)
    set_card(model, replace(embedder.card, operating_points=tuple(points)))
    write(model, args.model, lambda part: check_written(part, points))
    for point in points:
        words = f"{point.threshold:.4f} ({point.low:.4f} to {point.high:.4f})" if point.threshold is not None else point.method
        print(f"{point.gallery_size:>6} people, FPIR {point.fpir:g}: {words}")
    return 0


def check_written(part: Path, points: Sequence[OperatingPoint]) -> None:
    """The file as written loads and says what it should."""
    if Embedder(part, "cpu").card.operating_points != tuple(points):
        raise CalibrateError(f"{part.name}: the card did not survive writing; the model is left as it was")
