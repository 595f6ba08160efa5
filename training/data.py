"""Aligned crops of several sources as one numbered set, with identity labels and teacher embeddings; corrupted crops are counted and skipped."""

from __future__ import annotations

import csv
import re
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from device.contract import CROP_SIZE, ClockfaceError
from training import synthetic, teacher
from training.borders import fill_black
from training.config import DataSettings, SourceSettings, expanded
from training.recordio import Record, RecordError, RecordFile
from training.shards import LostCrops, ShardReader

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
Crop = NDArray[np.uint8]  # (112, 112, 3) RGB
NAMED = 10  # corrupted crops that are named; all are counted


class DataError(ClockfaceError):
    """The training data cannot be used."""

    code = "data"


class CropReader(Protocol):
    """One source: crops by position."""

    labels: NDArray[np.int64]  # (N,) identity, -1 unknown

    @property
    def names(self) -> Sequence[str]:
        """(N,) names for messages."""

    def crop(self, position: int) -> Crop: ...


class RecordReader:
    """Crops of an InsightFace RecordIO file; with `rows`, only the records that `chosen_keys` selects. A damaged record has no label, and no crop."""

    def __init__(self, path: Path, rows: str = "") -> None:
        self._file = RecordFile(path)
        self._keys = chosen_keys(path.with_suffix(".tsv"), rows, self._file.keys) if rows else self._file.keys
        self.names = [f"{path}: record {key}" for key in self._keys]
        found = [self._file.label(key) for key in self._keys]
        self.labels = np.array([-1 if label is None else label for label in found], np.int64)

    def crop(self, position: int) -> Crop:
        return decode(self.record(position).payload, self.names[position])

    def record(self, position: int) -> Record:
        return self._file.record(self._keys[position])


def chosen_keys(table: Path, rows: str, keys: list[int]) -> list[int]:
    """The keys whose line in a tab-separated table with a column `key` meets a condition, e.g. "source = fairface" or "source != fairface".

    Raises:
        DataError: the table or column is missing, `rows` has another form, or no record is selected.
    """
    asked = re.fullmatch(r"\s*(\w+)\s*(!?=)\s*(.+?)\s*", rows)
    if asked is None:
        raise DataError(f"rows = {rows!r}: expected COLUMN = VALUE or COLUMN != VALUE, such as 'source = fairface'")
    column, relation, value = asked.groups()
    try:
        with table.open(encoding="utf-8", newline="") as file:
            found = {int(line["key"]) for line in csv.DictReader(file, delimiter="\t") if (line[column] == value) == (relation == "=")}
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{table}: expected tab-separated columns key and {column} ({error!r}); leave `rows` out, or write the table") from error
    chosen = [key for key in keys if key in found]
    if not chosen:
        raise DataError(f"{table}: rows = {rows!r} selects no record; use a value that occurs in column {column}")
    return chosen


class ShardCrops(ShardReader):
    """Crops of shards on object storage."""

    def crop(self, position: int) -> Crop:
        return decode(self.encoded(position), self.names[position])


class FilledReader:
    """Crops of another reader with their black edges filled; names differ from those of the original crops, because cached embeddings depend on them."""

    def __init__(self, reader: CropReader) -> None:
        self._reader = reader
        self.labels, self.names = reader.labels, [f"{name}, edges filled" for name in reader.names]

    def crop(self, position: int) -> Crop:
        return fill_black(self._reader.crop(position))


class FolderReader:
    """Crops of a folder with one sub-folder per person, in order of name."""

    def __init__(self, path: Path) -> None:
        people = sorted(p for p in path.iterdir() if p.is_dir()) if path.is_dir() else []
        images = [(i, f) for i, p in enumerate(people) for f in sorted(p.iterdir()) if f.suffix.lower() in IMAGE_SUFFIXES]
        if not images:
            raise DataError(f"{path} has no sub-folders with images, one per person; run `python -m training prepare` first")
        self._paths = [f for _, f in images]
        self.names = [str(f) for f in self._paths]
        self.labels = np.array([i for i, _ in images], np.int64)
        self.crop(0)  # photos that are no crops are told at once

    def crop(self, position: int) -> Crop:
        return decode(self.encoded(position), self.names[position])

    def encoded(self, position: int) -> bytes:
        return self._paths[position].read_bytes()


def decode(data: bytes, name: str) -> Crop:
    """Encoded image -> (112, 112, 3) uint8 RGB.

    Raises:
        RecordError: not an image, or of another size.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise RecordError(f"{name}: not a readable image")
    if image.shape[:2] != (CROP_SIZE, CROP_SIZE):
        raise RecordError(f"{name}: expected a {CROP_SIZE} x {CROP_SIZE} aligned crop, got {image.shape[1]} x {image.shape[0]}; run `training prepare`")
    return np.ascontiguousarray(image[:, :, ::-1])  # BGR -> RGB


@dataclass(frozen=True)
class Corruption:
    """Number of records that could not be read, and the messages of the first `NAMED`."""

    count: int
    names: tuple[str, ...]


class Crops:
    """All sources as one set; people of different sources have different labels.

    Attributes:
        labels: (N,) int64, 0..classes-1, -1 where unknown.
        teacher: (N, D) float32 unit rows, or None without a teacher; rows of a source without one are zero.
        shards: (N,) int64 number of the shard, or None where crops can be read in any order.
    """

    def __init__(self, settings: DataSettings) -> None:
        if not settings.sources:
            raise DataError("the recipe has no [[data.sources]]; add at least one")
        self.sources = settings.sources
        self._readers = [reader(source, settings.open_shards) for source in settings.sources]
        self.shards = _joined_shards(self._readers)
        self._starts = np.cumsum([0] + [len(r.names) for r in self._readers])
        self.labels, self.classes = _joined_labels(settings.sources, self._readers)
        self.teacher = teacher.joined([(s.teacher, r) for s, r in zip(settings.sources, self._readers, strict=True)])
        self._cache = np.empty((len(self), CROP_SIZE, CROP_SIZE, 3), np.uint8) if settings.cache else None
        self._cached = np.zeros(len(self), bool)
        self._limit = settings.max_corrupted
        self._bad: dict[int, str] = {}
        self._places: set[str] = set()  # where they are: a shard that is torn is one
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def corruption(self) -> Corruption:
        return Corruption(len(self._bad), tuple(dict.fromkeys(self._bad.values()))[:NAMED])

    def crop(self, index: int) -> Crop | None:
        """The crop of a number, or None if it is corrupted; it is then counted.

        Raises:
            DataError: more crops are corrupted than `data.max_corrupted` allows.
        """
        if index in self._bad:
            return None
        if self._cache is not None and self._cached[index]:
            return np.asarray(self._cache[index], np.uint8)
        reader, position = self.place(index)
        try:
            crop = reader.crop(position)
        except RecordError as error:
            self._skip(index, str(error), error.place if isinstance(error, LostCrops) else str(index))
            return None
        if self._cache is not None:
            self._cache[index] = crop
            self._cached[index] = True
        return crop

    def name(self, index: int) -> str:
        """The name of a crop, for messages."""
        reader, position = self.place(index)
        return reader.names[position]

    def place(self, index: int) -> tuple[CropReader, int]:
        """The reader of a crop, and its position there."""
        source = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._readers[source], index - int(self._starts[source])

    def decoded(self, workers: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """(N, 112, 112, 3) all crops, kept in memory from now on, and (N,) which of them can be used: the others are corrupted."""
        if self._cache is None:
            self._cache = np.empty((len(self), CROP_SIZE, CROP_SIZE, 3), np.uint8)
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda numbers: [self.crop(int(number)) is None for number in numbers], np.array_split(np.arange(len(self)), 100 * workers)))
        return self._cache, self._cached

    def expect(self, lists: list[NDArray[np.int64]]) -> None:
        """The crops that are read next, in their order: shards are fetched ahead."""
        for start, reader in zip(self._starts.tolist(), self._readers, strict=False):
            if isinstance(reader, ShardReader) and lists:
                numbers = np.concatenate(lists)
                reader.expect(numbers[(numbers >= start) & (numbers < start + len(reader.labels))] - start)

    def _skip(self, index: int, message: str, place: str) -> None:
        with self._lock:
            self._bad[index] = message
            known = place in self._places
            self._places.add(place)
            count = len(self._places)
        if count <= NAMED and not known:
            print(f"warning: {message}; it is not used", file=sys.stderr)
        if count > self._limit:
            raise DataError(f"{count} corrupted records or shards, more than data.max_corrupted = {self._limit}; repair the source; the last: {message}")


def reader(source: SourceSettings, open_shards: int = 1) -> CropReader:
    """The reader of a source, with the settings of the recipe."""
    plain = plain_reader(source, open_shards)
    return FilledReader(plain) if source.fill_black else plain


def plain_reader(source: SourceSettings, open_shards: int = 1) -> CropReader:
    """The reader of a source that leaves black edges as they are."""
    if source.rows and source.kind != "recordio":
        raise DataError(f"rows = {source.rows!r}: a source of kind {source.kind} has no table of rows; remove this setting")
    if source.kind == "shards":
        return ShardCrops(expanded(source.path), open_shards)
    if source.kind == "drawn":
        return synthetic.SyntheticReader(source.path)
    path = Path(expanded(source.path))
    return FolderReader(path) if source.kind == "folder" else RecordReader(path, source.rows)


def _joined_shards(readers: list[CropReader]) -> NDArray[np.int64] | None:
    """Numbers of the shards of all sources.

    Raises:
        DataError: some sources are shards and others are not, or their edges are to be filled.
    """
    sharded = [reader for reader in readers if isinstance(reader, ShardReader)]
    if not sharded:
        return None
    if len(sharded) < len(readers):
        raise DataError("shards are read in their order, other sources in any; write them into shards, too: python -m training shards write (fills edges)")
    starts = np.cumsum([0, *(len(reader.urls) for reader in sharded)])
    return np.concatenate([reader.shards + start for reader, start in zip(sharded, starts, strict=False)])


def _joined_labels(sources: tuple[SourceSettings, ...], readers: list[CropReader]) -> tuple[NDArray[np.int64], int]:
    parts, classes = [], 0
    for source, reader in zip(sources, readers, strict=True):
        known = reader.labels >= 0 if source.labelled else np.zeros(len(reader.labels), bool)
        values, dense = np.unique(reader.labels[known], return_inverse=True)
        part = np.full(len(known), -1, np.int64)
        part[known] = dense + classes
        classes += len(values)
        parts.append(part)
    return np.concatenate(parts), classes


@dataclass(frozen=True)
class Split:
    """Numbers of the crops to train on and of the held-out identities."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def split(labels: NDArray[np.int64], identities: int, seed: int) -> Split:
    """Hold out whole identities with at least two crops each; their class numbers stay unused."""
    counts = np.bincount(labels[labels >= 0], minlength=1)
    candidates = np.flatnonzero(counts >= 2)
    if len(candidates) < identities + 2:
        raise DataError(f"data.validation_identities = {identities}, but only {len(candidates)} identities have two crops; reduce it")
    held = np.random.default_rng((seed, 1)).choice(candidates, identities, replace=False)
    out = np.isin(labels, held)
    return Split(np.flatnonzero(~out), np.flatnonzero(out))
