"""Join two teachers into one, in the space of the second: what a student that starts from the second is pulled towards.

    python -m training join everyday --centred models/sface.onnx --own donor

Embeddings of the first, less their mean, and of the second, each unit and averaged over crop and mirror image, stand side by side times the square roots
of `share` and 1 - share, so that a cosine of the joined is the weighted mean of both cosines. The main directions of all of the recipe's crops are kept and
turned as near to the second's embeddings as a rotation can (orthogonal Procrustes: P. Schoenemann, Psychometrika 31, 1966).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from training import config, data, donor, teacher

Rows = NDArray[np.float64]  # (N, D)
Array = NDArray[np.floating]


def joined(first: Array, second: Array, share: float, size: int) -> Rows:
    """(N, A) and (N, size) unit rows -> (N, size) unit rows, a fixed bank in the space of the second.

    Args:
        share: of the first in each cosine.
        size: main directions kept, at most A + size.
    """
    centred = unit(first - first.mean(0, dtype=np.float64))
    both = np.hstack([np.sqrt(share) * centred, np.sqrt(1 - share) * second])  # (N, A + size)
    kept = unit(both @ main_directions(both, size))
    return kept @ rotation(kept, second)


def main_directions(rows: Rows, size: int) -> Rows:
    """(D, size): the directions in which the rows are largest; about the origin, for cosines are."""
    _, vectors = np.linalg.eigh(rows.T @ rows)  # ascending
    return np.asarray(vectors[:, ::-1][:, :size])


def rotation(rows: Rows, target: Array) -> Rows:
    """(D, D) the rotation or reflection that brings `rows` nearest to `target`, both (N, D)."""
    left, _, right = np.linalg.svd(rows.T @ target)
    return np.asarray(left @ right)


def unit(rows: Array) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float64)


def quantized(rows: Rows) -> dict[str, NDArray[Any]]:
    """Unit rows as int8 with a scale a row, as `teacher.load` reads them."""
    scale = np.abs(rows).max(1) / 127
    return {"embedding": np.rint(rows / scale[:, None]).astype(np.int8), "scale": scale.astype(np.float32)}


def complete(path: Path, reader: data.CropReader) -> teacher.Embeddings:
    """One model's embeddings of a source; every crop must have one.

    Raises:
        TeacherError: corrupted crops.
    """
    rows = teacher.embeddings(str(path), reader)
    missing = np.flatnonzero(~rows.any(1))
    if len(missing):
        raise teacher.TeacherError(f"{len(missing)} crops cannot be read, such as {reader.names[missing[0]]}; take them out of the source")
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="its sources are embedded, and each source's `teacher` (.npz) is written")
    parser.add_argument("--centred", type=Path, required=True, metavar="MODEL", help="the first teacher, .onnx or .pt; its mean is taken off")
    parser.add_argument("--own", required=True, metavar="MODEL", help="the second, whose space the student starts in: a donor's name, .pt or .onnx")
    parser.add_argument("--share", type=float, default=0.65, help="of the first in each cosine")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a TOML line over the recipe")


def run(args: argparse.Namespace) -> int:
    sources = config.load(args.recipe, tuple(args.set)).data.sources
    targets = [Path(config.expanded(source.teacher)) for source in sources]
    if not 0 < args.share < 1 or any(target.suffix != ".npz" for target in targets):
        raise ClockfaceError("--share must lie between 0 and 1, and each source of the recipe must name an .npz as its teacher, which is written")
    readers = [data.reader(source) for source in sources]
    own = donor.resolve(args.own)
    parts = [(complete(args.centred, reader), complete(own, reader)) for reader in readers]
    first, second = (np.concatenate(column) for column in zip(*parts, strict=True))
    rows = joined(first, second, args.share, second.shape[1])
    for target, part in zip(targets, np.split(rows, np.cumsum([len(reader.names) for reader in readers])[:-1]), strict=True):
        teacher.write(target, **quantized(part))
        print(f"{target}: {len(part)} embeddings of size {part.shape[1]}")
    print(f"mean cosine to {args.own}: {float((rows * second).sum(1).mean()):.3f}")
    return 0
