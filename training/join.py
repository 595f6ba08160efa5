"""Join two teachers into one, in the embedding space of the second, for a student that starts from the second.

    python -m training join everyday --centred models/sface.onnx --own donor

Both teachers' embeddings are averaged over crop and mirror image. Those of the first minus their mean, and those of the second, at unit length, are scaled
by the square roots of `share` and 1 - share and concatenated, so that a cosine of the joined embeddings is the weighted mean of both cosines. The principal
directions over all crops of the recipe are kept and rotated as near to the second's embeddings as possible (orthogonal Procrustes: P. Schoenemann,
Psychometrika 31, 1966).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from training import arguments, config, data, donor, teacher

Rows = NDArray[np.float64]  # (N, D)
Array = NDArray[np.floating]


def joined(first: Array, second: Array, share: float, size: int) -> Rows:
    """(N, A) and (N, size) unit rows -> (N, size) unit rows in the space of the second.

    Args:
        share: weight of the first in each cosine, 0..1.
        size: principal directions kept, at most A + size.
    """
    centred = unit(first - first.mean(0, dtype=np.float64))
    both = np.hstack([np.sqrt(share) * centred, np.sqrt(1 - share) * second])  # (N, A + size)
    kept = unit(both @ main_directions(both, size))
    return kept @ rotation(kept, second)


def main_directions(rows: Rows, size: int) -> Rows:
    """(N, D) -> (D, size) principal directions of the rows about the origin, to which cosines refer, too."""
    _, vectors = np.linalg.eigh(rows.T @ rows)  # ascending
    return np.asarray(vectors[:, ::-1][:, :size])


def rotation(rows: Rows, target: Array) -> Rows:
    """(D, D) the rotation or reflection that brings `rows` nearest to `target`, both (N, D)."""
    left, _, right = np.linalg.svd(rows.T @ target)
    return np.asarray(left @ right)


def unit(rows: Array) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float64)


def quantized(rows: Rows) -> dict[str, NDArray[Any]]:
    """Unit rows as int8 with one scale per row, in the format that `teacher.load` reads."""
    scale = np.abs(rows).max(1) / 127
    return {"embedding": np.rint(rows / scale[:, None]).astype(np.int8), "scale": scale.astype(np.float32)}


def complete(path: Path, reader: data.CropReader) -> teacher.Embeddings:
    """Embeddings of all crops of a source by one model.

    Raises:
        TeacherError: a crop is corrupted.
    """
    rows = teacher.embeddings(str(path), reader)
    missing = np.flatnonzero(~rows.any(1))
    if len(missing):
        raise teacher.TeacherError(f"{len(missing)} crops cannot be read, such as {reader.names[missing[0]]}; remove them from the source")
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="recipe whose sources are embedded; the `teacher` (.npz) of each is written")
    parser.add_argument("--centred", type=Path, required=True, metavar="MODEL", help="the first teacher, .onnx or .pt; its mean is subtracted")
    parser.add_argument("--own", required=True, metavar="MODEL", help="the second teacher, in whose space the student starts: a donor's name, .pt or .onnx")
    parser.add_argument("--share", type=arguments.number(0, 1), default=0.65, help="weight of the first teacher in each cosine (default 0.65)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a TOML line that overrides the recipe")


def run(args: argparse.Namespace) -> int:
    sources = config.load(args.recipe, tuple(args.set)).data.sources
    targets = [Path(config.expanded(source.teacher)) for source in sources]
    if not 0 < args.share < 1:
        raise ClockfaceError(f"--share = {args.share:g}: expected a value between 0 and 1")
    if any(target.suffix != ".npz" for target in targets):
        raise ClockfaceError(f"recipe {args.recipe}: each source needs an .npz file as `teacher`, which is written")
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
