"""Crops in shards on object storage, or anywhere else that fsspec reads: each shard is fetched once per epoch, whole, some shards ahead.

A shard is a `.tar` in the form of WebDataset (KEY.jpg with its identity as a whole number in KEY.cls, or as `label` in KEY.json) or a `.rec`. Beside it
lies its index, `.tsv`, with one line per crop: key, offset and size in bytes, label. `python -m training shards` writes both.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import struct
import sys
import tarfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
from numpy.typing import NDArray

from device.contract import ClockfaceError
from training.recordio import FRAME, MAGIC, RecordError, parse_record

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
COLUMNS = ("key", "offset", "size", "label")
PAUSES_SECONDS = (1.0, 4.0, 10.0)  # before a fetch is tried again
A_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
THREADS = 8


class ShardError(ClockfaceError):
    """Shards cannot be listed or fetched, or have no index."""

    code = "shard"


class LostCrops(RecordError):
    """A shard is missing, or ends before a crop. The crops of one `place` count as one damage."""

    code = "shard.lost"

    def __init__(self, message: str, place: str) -> None:
        super().__init__(message)
        self.place = place


@dataclass(frozen=True)
class ShardEntry:
    """A crop in a shard: an encoded image, in a `.rec` its record."""

    key: str
    offset: int
    size: int  # bytes
    label: int  # -1 unknown


def names(path: str) -> list[str]:
    """The shards that a path means, in order: with `*`, those that are there; with `{000..127}`, all of these.

    Raises:
        ShardError: there is none, or the storage needs a package that is not installed.
    """
    numbers = A_RANGE.search(path)
    if numbers:
        first, last = numbers.groups()
        return [path[: numbers.start()] + f"{i:0{len(first)}d}" + path[numbers.end() :] for i in range(int(first), int(last) + 1)]
    fs, inside = _storage(path)
    try:
        found = sorted(fs.glob(inside)) if "*" in path else [inside]
    except OSError as error:
        raise ShardError(f"{path} cannot be listed ({error}); check address and access, or name the shards by {{000..127}}") from error
    if not found:
        raise ShardError(f"{path}: no shard has such a name; write some with `python -m training shards write`")
    return [str(fs.unstrip_protocol(one)) for one in found]


def _storage(path: str) -> tuple[Any, str]:
    try:
        fs, inside = fsspec.core.url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise ShardError(f"{path}: {error}. Install what fsspec needs for it: s3fs for s3://, gcsfs for gs://, adlfs for az://, aiohttp for http://") from error
    return fs, str(inside)


def fetch(url: str) -> bytes:
    """All bytes of a file; what fails on the way is tried again.

    Raises:
        ShardError: there is no such file, or the storage does not answer.
    """
    for pause in (*PAUSES_SECONDS, None):
        fs, inside = _storage(url)
        try:
            return bytes(fs.cat_file(inside))
        except FileNotFoundError as error:
            raise ShardError(f"{url} does not exist; check its address", code="shard.missing") from error
        except PermissionError as error:
            raise ShardError(f"{url} may not be read ({error}); give the storage's key in the environment, as its package for fsspec asks for it") from error
        except _errors() as error:
            if pause is None:
                tries = len(PAUSES_SECONDS) + 1
                raise ShardError(f"{url} cannot be fetched, after {tries} tries ({error!r}); when the storage answers, go on with --resume") from error
            time.sleep(pause)
    raise AssertionError


def _errors() -> tuple[type[Exception], ...]:
    """What a storage raises that does not answer, or too late; aiohttp, which reads http://, has errors of its own."""
    of_http = (sys.modules["aiohttp"].ClientError,) if "aiohttp" in sys.modules else ()
    return (OSError, TimeoutError, asyncio.TimeoutError, *of_http)


def scan(url: str, data: bytes) -> Iterator[ShardEntry]:
    """The crops of a shard in its order; of one that is cut short those before the cut."""
    return _scan_records(data) if url.endswith(".rec") else _scan_tar(url, data)


def _scan_tar(url: str, data: bytes) -> Iterator[ShardEntry]:
    waiting: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    try:
        for name, start, size in _members(data):
            stem, _, suffix = name.rpartition(".")
            if f".{suffix.lower()}" in PICTURES:
                waiting[stem] = (start, size)
            elif suffix in ("cls", "json"):
                labels[stem] = _label(url, name, data[start : start + size])
    except tarfile.ReadError as error:
        if not waiting:
            raise ShardError(f"{url} is no .tar ({error}); a shard is a .tar as WebDataset has it, or a .rec") from error
    return (ShardEntry(stem, *span, labels.get(stem, -1)) for stem, span in waiting.items())


def _members(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of each whole file in a .tar."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for member in tar:
            if member.isfile() and member.offset_data + member.size <= len(data):
                yield member.name, member.offset_data, member.size


def _label(url: str, name: str, text: bytes) -> int:
    try:
        return int(json.loads(text)["label"] if name.endswith(".json") else text)
    except (ValueError, KeyError, TypeError) as error:
        raise ShardError(f"{url}: {name} has no identity ({error!r}); expected a whole number, in .json as `label`") from error


def _scan_records(data: bytes) -> Iterator[ShardEntry]:
    at, number = 0, 0
    while at + FRAME.size <= len(data):
        magic, length = FRAME.unpack_from(data, at)
        start, size = at + FRAME.size, length & 0x1FFFFFFF
        if magic != MAGIC or start + size > len(data):
            return
        try:
            record = parse_record(data[start : start + size], str(number))
        except (RecordError, struct.error):
            return
        if record.payload:
            yield ShardEntry(str(number), start + size - len(record.payload), len(record.payload), record.label)
        at, number = start + size + -size % 4, number + 1


def index_name(url: str) -> str:
    return url.rpartition(".")[0] + ".tsv"


def as_table(entries: list[ShardEntry]) -> str:
    return "\n".join(["\t".join(COLUMNS), *(f"{one.key}\t{one.offset}\t{one.size}\t{one.label}" for one in entries)]) + "\n"


def read_index(url: str) -> list[ShardEntry]:
    """The index of a shard, without the crops that lie behind its end: a torn shard loses those, and it is said.

    Raises:
        ShardError: there is no index, or it cannot be read.
    """
    try:
        lines = csv.DictReader(io.StringIO(fetch(index_name(url)).decode("utf-8")), delimiter="\t")
        entries = [ShardEntry(line["key"], int(line["offset"]), int(line["size"]), int(line["label"])) for line in lines]
    except ShardError as error:
        raise ShardError(f"{error}; `python -m training shards index {url}` writes it") from error if error.code == "shard.missing" else error
    except (KeyError, ValueError, TypeError) as error:
        raise ShardError(f"{index_name(url)}: expected tab-separated columns {', '.join(COLUMNS)} ({error!r}); write it anew: training shards index") from error
    fs, inside = _storage(url)
    try:
        size = fs.size(inside)
    except FileNotFoundError:
        size = 0
    whole = [one for one in entries if size is None or one.offset + one.size <= size]
    if len(whole) < len(entries):
        print(f"warning: {url} is torn: {len(entries) - len(whole)} of its {len(entries)} crops are not used", file=sys.stderr)
    return whole


class OpenShards:
    """The bytes of a few shards at a time, fetched ahead in the order in which they are going to be read.

    Args:
        get: the bytes of a shard by its number.
        count: shards that are read at the same time; up to three times as many are kept.
    """

    def __init__(self, get: Callable[[int], bytes], count: int) -> None:
        self._get, self._count, self._lock = get, count, threading.Lock()
        self._pool = ThreadPoolExecutor(min(count, THREADS))
        self._kept: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._order: list[int] = []
        self._place: dict[int, int] = {}

    def expect(self, order: list[int]) -> None:
        """The shards of the next reads, each once."""
        with self._lock:
            self._order, self._place = order, {shard: place for place, shard in enumerate(order)}

    def of(self, shard: int) -> bytes:
        with self._lock:
            place = self._place.get(shard)
            following = [] if place is None else self._order[place + 1 : place + 1 + self._count]
            for one in (*following, shard):
                if one not in self._kept:
                    self._kept[one] = self._pool.submit(self._get, one)
            self._kept.move_to_end(shard)
            while len(self._kept) > 3 * self._count:
                self._kept.popitem(last=False)
            wanted = self._kept[shard]
        return wanted.result()


class ShardReader:
    """Crops of shards; as `CropReader`, with the shard of each.

    Raises:
        ShardError: there are no shards, or one has no index.
    """

    def __init__(self, path: str, count: int) -> None:
        self.urls = names(path)
        with ThreadPoolExecutor(THREADS) as pool:
            tables = list(pool.map(read_index, self.urls))
        self.shards = np.repeat(np.arange(len(tables)), [len(table) for table in tables])  # (N,)
        self.labels = np.array([one.label for table in tables for one in table], np.int64)
        self._spans = np.array([(one.offset, one.size) for table in tables for one in table], np.int64).reshape(-1, 2)
        self._first = np.cumsum([0, *(len(table) for table in tables)])
        self.names: Sequence[str] = _Names(self)
        self._open = OpenShards(lambda shard: fetch(self.urls[shard]), count)
        if not len(self.labels):
            raise ShardError(f"{path}: {len(self.urls)} shards without a crop; write them anew with `python -m training shards write`")

    def expect(self, positions: NDArray[np.int64]) -> None:
        """The crops that are read next, in their order."""
        found, first = np.unique(self.shards[positions], return_index=True)
        self._open.expect(found[np.argsort(first)].tolist())

    def encoded(self, position: int) -> bytes:
        """The encoded image.

        Raises:
            LostCrops: its shard is missing, or ends before it.
        ShardError: the storage does not answer.
        """
        shard = int(self.shards[position])
        try:
            data = self._open.of(shard)
        except ShardError as error:
            if error.code != "shard.missing":
                raise
            raise LostCrops(f"{error}; its crops are lost", self.urls[shard]) from error
        offset, size = self._spans[position].tolist()
        if offset + size > len(data):
            raise LostCrops(f"{self.urls[shard]} ends after {len(data)} bytes; the crops behind are lost", self.urls[shard])
        return data[offset : offset + size]

    def name(self, position: int) -> str:
        shard = int(self.shards[position])
        return f"{self.urls[shard]}: crop {position - int(self._first[shard])}"


class _Names(Sequence[str]):
    """Made where they are asked for: there may be hundreds of millions."""

    def __init__(self, reader: ShardReader) -> None:
        self._reader = reader

    def __len__(self) -> int:
        return len(self._reader.labels)

    def __getitem__(self, position: Any) -> Any:
        return [self[i] for i in range(*position.indices(len(self)))] if isinstance(position, slice) else self._reader.name(range(len(self))[position])
