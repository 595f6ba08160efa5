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

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from rich.progress import track

from device.contract import CROP_SIZE, ClockfaceError, OperatingPoint
from device.embedder import Embedder
from device.images import IMAGE_SUFFIXES, read_image
from export.artefact import set_card, write
from training.pairs import from_text
from training.recordio import RecordFile

SIZES = (10, 50, 100, 500, 1_000, 5_000, 10_000, 50_000)  # people
FEWEST = 10  # non-mated comparisons that must lie above a threshold
SAME_PERSON = 0.4  # cosine of the teacher above which two unlabelled crops count as one person
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


def read_pairs(path: Path, images: Path) -> NDArray[np.uint8]:
    """(P, 112, 112, 3) uint8 RGB: the first crop of each person of an LFW-style pairs.txt."""
    pairs = from_text(path, images)
    people = [name.rsplit("_", 1)[0] for name in pairs.names]
    return pairs.crops[np.unique(people, return_index=True)[1]]


def read_records(path: Path, people: int, teacher: Path | None, seed: int = 0) -> NDArray[np.uint8]:
    """(P, 112, 112, 3) uint8 RGB: `people` unlabelled crops (label -1) of a RecordIO file, drawn at random.

    Unlabelled sets show some people twice, and such a pair would stand in the tail as a false match that is none. The
    teacher, another model's embeddings of the same records in key order (`embedding`, `scale`), finds them: of a pair
    that it takes for one person the second is left out.
    """
    records = RecordFile(path)
    unlabelled = [(row, key) for row, key in enumerate(records.keys) if records.record(key).label == -1]
    chosen = np.random.default_rng(seed).permutation(unlabelled)[:people]  # (P, 2): row of the teacher, key
    if teacher is not None:
        table = np.load(teacher)
        known = table["embedding"][chosen[:, 0]].astype(np.float32) * table["scale"][chosen[:, 0], None]
        chosen = chosen[~repeated(known, SAME_PERSON)]
    return np.stack([_decoded(records.record(int(key)).payload, f"{path}, record {key}") for key in chosen[:, 1]])


def _decoded(payload: bytes, name: str) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    if image is None or image.shape != (CROP_SIZE, CROP_SIZE, 3):
        raise CalibrateError(f"{name}: expected an aligned crop of {CROP_SIZE} x {CROP_SIZE}; prepare the set again")
    return np.asarray(image[:, :, ::-1], dtype=np.uint8)


def repeated(embeddings: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """(P,) bool: which rows are as alike as one person to a row before them."""
    alike = np.triu(embeddings @ embeddings.T, 1) > threshold
    return np.asarray(alike.any(axis=0))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path)
    parser.add_argument("--folder", type=Path, action="append", default=[], help="aligned crops of different people, or a folder a person; may be repeated")
    parser.add_argument("--pairs", type=Path, help="LFW-style pairs.txt: the first crop of each person in it")
    parser.add_argument("--images", type=Path, help="folder of the crops that --pairs names (without it: the folder of pairs.txt)")
    parser.add_argument("--rec", type=Path, help="an InsightFace .rec file: its unlabelled crops are taken as different people")
    parser.add_argument("--people", type=int, default=6000, help="crops drawn from --rec")
    parser.add_argument("--teacher", type=Path, help="another model's embeddings of the records (.npz): who it finds twice is left out")
    parser.add_argument("--fpir", type=float, nargs="+", default=[0.1, 0.01, 0.001])


def run(args: argparse.Namespace) -> int:
    if not all(0 < fpir < 1 for fpir in args.fpir):
        raise CalibrateError(f"--fpir {args.fpir}: expected rates between 0 and 1")
    embedder = Embedder(args.model, "cpu")
    if not (args.folder or args.rec or args.pairs):
        raise CalibrateError("no data: give --folder, --pairs or --rec, or several of them")
    sets = [read_crops(folder) for folder in args.folder]
    if args.pairs is not None:
        sets.append(read_pairs(args.pairs, args.images or args.pairs.parent))
    if args.rec is not None:
        sets.append(read_records(args.rec, args.people, args.teacher))
    crops = np.concatenate(sets)
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
