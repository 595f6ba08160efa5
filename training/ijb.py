"""IJB-B and IJB-C as InsightFace hands them out: loose crops with landmarks, templates of several media, pairs of templates.

    loose_crop/1.jpg ...
    meta/ijbc_name_5pts_score.txt        1.jpg, x and y of five landmarks in the crop, score of the detection
    meta/ijbc_face_tid_mid.txt           1.jpg, template, medium: the same pictures in the same order
    meta/ijbc_template_pair_label.txt    template, template, 1 if both show one person

Sources: B. Maze et al., "IARPA Janus Benchmark - C", ICB 2018; InsightFace, `recognition/arcface_torch/eval_ijbc.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from device.contract import ClockfaceError, align
from device.vision.images import read_image
from training.embedding import BATCH, Embed, Embeddings

IMAGES, META = "loose_crop", "meta"
POINTS, MEDIA, PAIRS = "name_5pts_score.txt", "face_tid_mid.txt", "template_pair_label.txt"
CHUNK = 200_000  # comparisons at a time


class IjbError(ClockfaceError):
    """The set is not in the form that InsightFace hands it out in."""

    code = "ijb"


@dataclass(frozen=True)
class Ijb:
    """Pictures, the templates that they belong to, and pairs of templates.

    Attributes:
        images: (N,) files.
        landmarks: (N, 5, 2) px.
        faceness: (N,) score of the detection, the weight of a picture.
        template, medium: (N,) int64.
        first, second: (P,) int64, templates.
        same: (P,) bool.
    """

    images: tuple[Path, ...]
    landmarks: NDArray[np.float64]
    faceness: NDArray[np.float64]
    template: NDArray[np.int64]
    medium: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]


def check(folder: Path, prefix: str) -> None:
    """Raises:
    IjbError: a file or folder of the set is missing.
    """
    wanted = [folder / IMAGES, *(folder / META / f"{prefix}_{name}" for name in (POINTS, MEDIA, PAIRS))]
    if missing := [path for path in wanted if not path.exists()]:
        raise IjbError(f"{missing[0]} does not exist; give the folder that has {IMAGES} and {META}, as InsightFace hands the set out")


def read(folder: Path, prefix: str) -> Ijb:
    """The set in a folder; its pictures are not yet read.

    Args:
        prefix: what its files' names start with, `ijbb` or `ijbc`.

    Raises:
        IjbError: a file is missing or has another form.
    """
    check(folder, prefix)
    meta = folder / META
    points, media, listed = (meta / f"{prefix}_{name}" for name in (POINTS, MEDIA, PAIRS))
    names, values = _table(points, 11)
    others, places = _table(media, 2)
    first, pairs = _table(listed, 2)
    if names != others:
        raise IjbError(f"{points.name} and {media.name} do not list the same pictures in the same order; copy {META} again")
    same = pairs[:, 1].astype(np.int64)
    if set(np.unique(same)) != {0, 1}:
        raise IjbError(f"{listed.name}: expected pairs with the label 1 and pairs with 0 as the last word")
    numbers = places.astype(np.int64)
    one, other = _numbers(first, listed), pairs[:, 0].astype(np.int64)
    if strangers := ({*one, *other} - {*numbers[:, 0]}):
        raise IjbError(f"{listed.name}: template {min(strangers)} has no picture in {media.name}")
    images = tuple(folder / IMAGES / name for name in names)
    return Ijb(images, values[:, :10].reshape(-1, 5, 2), values[:, 10], numbers[:, 0], numbers[:, 1], one, other, same == 1)


def _table(path: Path, numbers: int) -> tuple[list[str], NDArray[np.float64]]:
    """The first word of each line, and the numbers after it."""
    lines = path.read_text(encoding="utf-8").split("\n")
    rows = [line.split() for line in lines if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != numbers + 1:
            raise IjbError(f"{path.name}, line {number}: expected a word and {numbers} numbers, got {' '.join(row)!r:.80}")
    try:
        return [row[0] for row in rows], np.array([row[1:] for row in rows], np.float64).reshape(len(rows), numbers)
    except ValueError as error:
        raise IjbError(f"{path.name}: {error}; expected a word and {numbers} numbers in each line") from error


def _numbers(words: list[str], path: Path) -> NDArray[np.int64]:
    try:
        return np.array(words, np.int64)
    except ValueError as error:
        raise IjbError(f"{path.name}: {error}; expected two templates and a label in each line") from error


def embed_images(embed: Embed, protocol: Ijb) -> tuple[Embeddings, Embeddings]:
    """(N, D) unit rows of the aligned pictures, and of their mirror images."""
    plain, other = [], []
    for start in track(range(0, len(protocol.images), BATCH), "embedding", console=Console(stderr=True), transient=True):
        chosen = range(start, min(start + BATCH, len(protocol.images)))
        crops = np.stack([align(read_image(protocol.images[i]), protocol.landmarks[i]) for i in chosen])
        plain.append(embed(crops))
        other.append(embed(np.ascontiguousarray(crops[:, :, ::-1])))
    return np.concatenate(plain), np.concatenate(other)


def templates(rows: Embeddings, protocol: Ijb) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(T,) templates, ascending, and (T, D) their unit embeddings: pictures weighted by faceness, averaged per medium, summed over media."""
    weighted = rows * protocol.faceness[:, None]
    media, place = np.unique(np.stack([protocol.template, protocol.medium], axis=1), axis=0, return_inverse=True)
    means = _sums(weighted, place.reshape(-1), len(media)) / np.bincount(place.reshape(-1))[:, None]
    numbers, place = np.unique(media[:, 0], return_inverse=True)
    totals = _sums(means, place, len(numbers))
    return numbers, totals / np.maximum(np.linalg.norm(totals, axis=1, keepdims=True), 1e-12)


def _sums(rows: NDArray[np.floating], place: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, place, rows)
    return sums


def scores(rows: Embeddings, protocol: Ijb) -> NDArray[np.float32]:
    """(P,) cosine of each pair of templates."""
    numbers, embeddings = templates(rows, protocol)
    first, second = np.searchsorted(numbers, protocol.first), np.searchsorted(numbers, protocol.second)
    starts = range(0, len(first), CHUNK)
    parts = [(embeddings[first[i : i + CHUNK]] * embeddings[second[i : i + CHUNK]]).sum(1) for i in starts]
    return np.concatenate(parts).astype(np.float32)
