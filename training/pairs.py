"""Sets of labelled pairs: LFW's pairs.txt with folders, and InsightFace's `.bin`, read without running pickle code."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from training.data import IMAGE_SUFFIXES, FolderReader, decode


class PairsError(ClockfaceError):
    """A set of pairs cannot be read."""

    code = "pairs"


@dataclass(frozen=True)
class Pairs:
    """Pairs of crops; each crop is stored once.

    Attributes:
        crops: (N, 112, 112, 3) uint8 RGB.
        names: (N,) name of each crop.
        first, second: (P,) int64, numbers of crops.
        same: (P,) bool.
        fold: (P,) int64.
    """

    crops: NDArray[np.uint8]
    names: tuple[str, ...]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]


def from_text(path: Path, images: Path) -> Pairs:
    """Read `pairs.txt`: "folds pairs", then for each fold lines "name a b" (mated) and as many "name a name b" (non-mated)."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        folds, each = (int(x) for x in lines[0])
    except (OSError, ValueError, IndexError) as error:
        raise PairsError(f"{path} is no pairs.txt ({error}); its first line gives folds and pairs, e.g. '10 300'") from error
    if len(lines) - 1 != 2 * folds * each:
        raise PairsError(f"{path}: expected 2 x {folds} x {each} pairs, got {len(lines) - 1}")
    sides = [(_side(row, 0, path), _side(row, len(row) - 2 if len(row) == 4 else 0, path, last=True)) for row in lines[1:]]
    names = sorted({side for pair in sides for side in pair})
    number = {name: i for i, name in enumerate(names)}
    crops = np.stack([decode(_find(images, *name).read_bytes(), "/".join(map(str, name))) for name in names])
    first, second = (np.array([number[pair[i]] for pair in sides], np.int64) for i in (0, 1))
    same = np.array([a[0] == b[0] for a, b in sides])
    return Pairs(crops, tuple(f"{name}_{i:04d}" for name, i in names), first, second, same, np.arange(len(sides)) // (2 * each))


def _side(row: list[str], at: int, path: Path, last: bool = False) -> tuple[str, int]:
    try:
        if len(row) not in (3, 4):
            raise ValueError("expected 3 or 4 words")
        return row[at], int(row[-1] if last else row[1])
    except ValueError as error:
        raise PairsError(f"{path}: line {' '.join(row)!r}: {error}") from error


def _find(images: Path, name: str, number: int) -> Path:
    stem = images / name / f"{name}_{number:04d}"
    for suffix in IMAGE_SUFFIXES:
        file = stem.with_name(stem.name + suffix)
        if file.is_file():
            return file
    raise PairsError(f"{stem}.*: no such image; give the folder of the crops with --images")


def from_people(folder: Path, folds: int = 10) -> Pairs:
    """All pairs of the crops of a folder with one sub-folder per person; a fold has the pairs whose first crop is of some of the people.

    Raises:
        DataError: there are no crops.
        PairsError: nobody has two, or there is one person.
    """
    reader = FolderReader(folder)
    first, second = np.triu_indices(len(reader.names), 1)
    same = reader.labels[first] == reader.labels[second]
    if same.all() or not same.any():
        raise PairsError(f"{folder}: pairs of one person and of different people are needed; give several people with at least two crops each")
    crops = np.stack([reader.crop(position) for position in range(len(reader.names))])
    return Pairs(crops, tuple(reader.names), first, second, same, reader.labels[first] % min(folds, int(reader.labels.max()) + 1))


class _PlainUnpickler(pickle.Unpickler):
    """Builds lists, tuples, bytes and bools, for which pickle needs no class; every class is refused before it is imported."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes
            return _latin1
        raise PairsError(f"a .bin file may contain lists of bytes and bools only, this one requires {module}.{name}; do not use it")


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise PairsError(f"the .bin file has text encoded as {encoding!r}, expected latin1; do not use it")
    return text.encode("latin1")


def from_bin(path: Path, folds: int = 10) -> Pairs:
    """Read InsightFace's `.bin`: a pickle of (list of 2P encoded images, list of P bools)."""
    try:
        data = _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        encoded, same = data
        images, flags = list(map(bytes, _checked(encoded, bytes))), np.array(list(_checked(same, bool)), bool)
    except (OSError, pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise PairsError(f"{path} is no .bin of pairs ({error}); beside a pairs.txt give the folder of its crops: --images") from error
    if len(images) != 2 * len(flags) or not len(flags):
        raise PairsError(f"{path}: expected two images per pair, got {len(images)} images and {len(flags)} pairs")
    crops = np.stack([decode(image, f"{path}: image {i}") for i, image in enumerate(images)])
    if flags.all() or not flags.any():
        raise PairsError(f"{path} has {'no non-mated' if flags.all() else 'no mated'} pairs; error rates need both kinds")
    first = np.arange(0, len(images), 2)
    fold = np.arange(len(flags)) * min(folds, len(flags)) // len(flags)
    return Pairs(crops, tuple(f"image {i}" for i in range(len(images))), first, first + 1, flags, fold)


def _checked(values: Any, kind: type) -> Iterable[Any]:
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, kind) for value in values):
        raise PairsError(f"a .bin file must contain a list of {kind.__name__}")
    return values
