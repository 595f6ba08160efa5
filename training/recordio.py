"""InsightFace RecordIO (`.rec` with `.idx`) without MXNet.

A record is the magic number 0xced7230a, a uint32 whose low 29 bits are the payload's length, the payload and zero
padding to four bytes. The payload is the struct `IfQQ` (flag, label, id, id2), then `flag` float32 labels where
flag > 0, then the encoded image. In face sets record 0 is a header whose first label is the key after the last image;
the records from there on, one per identity, have no image.

Source: the format written by `mxnet.recordio` and InsightFace's `face2rec2.py`.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from device.contract import ClockfaceError

MAGIC = 0xCED7230A
FRAME = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")


class RecordError(ClockfaceError):
    """A record or an index file is missing or malformed."""

    code = "record"


@dataclass(frozen=True)
class Record:
    """One record: its labels (the first is the identity) and the encoded image, empty in a header record."""

    labels: tuple[float, ...]
    payload: bytes

    @property
    def label(self) -> int:
        return int(self.labels[0])


class RecordFile:
    """Random access to the images of a `.rec` file by position; the file stays open until `close`.

    Several threads may read at once: `os.pread` moves no shared file position.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets = _read_index(path.with_suffix(".idx"))
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise RecordError(f"{path} cannot be opened ({error.strerror}); give the .rec file beside its .idx") from error
        first = self.record(0)
        end = first.label if not first.payload else max(self._offsets) + 1
        self.keys = sorted(key for key in self._offsets if 0 < key < end)

    def record(self, key: int) -> Record:
        """Read the record of one key.

        Raises:
            RecordError: the key is not in the index, or there is no record at its offset.
        """
        if key not in self._offsets:
            raise RecordError(f"{self.path}: no record {key} in the index; create the .idx file again")
        return parse_record(self._read_payload(key), f"{self.path}: record {key}")

    def label(self, key: int) -> int | None:
        """The identity of a record, of which only the start is read; None where the record is damaged or the file ends within it."""
        try:
            length = self._length(key)
            whole = self._offsets[key] + FRAME.size + length <= os.fstat(self._file).st_size
            head = os.pread(self._file, min(length, _HEADER.size + 4), self._offsets[key] + FRAME.size)
            flag, label, _, _ = _HEADER.unpack_from(head)
            first = np.frombuffer(head, "<f4", 1, _HEADER.size)[0] if flag else label
            return int(first) if whole else None
        except (RecordError, struct.error, ValueError):
            return None

    def _length(self, key: int) -> int:
        """Number of bytes of a record's payload."""
        offset = self._offsets[key]
        head = os.pread(self._file, FRAME.size, offset)
        if len(head) < FRAME.size or FRAME.unpack(head)[0] != MAGIC:
            raise RecordError(f"{self.path}: record {key} does not start at byte {offset}; create the .idx file again")
        return int(FRAME.unpack(head)[1] & 0x1FFFFFFF)

    def _read_payload(self, key: int) -> bytes:
        length = self._length(key)
        payload = os.pread(self._file, length, self._offsets[key] + FRAME.size)
        if len(payload) < length:
            raise RecordError(f"{self.path}: record {key} is truncated: expected {length} bytes, got {len(payload)}")
        return payload

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def parse_record(payload: bytes, name: str) -> Record:
    """Split a payload into labels and image bytes; `name` is for the error text."""
    if len(payload) < _HEADER.size:
        raise RecordError(f"{name}: expected at least {_HEADER.size} bytes, got {len(payload)}")
    flag, label, _, _ = _HEADER.unpack_from(payload)
    end = _HEADER.size + 4 * flag
    if len(payload) < end:
        raise RecordError(f"{name}: declares {flag} labels, but has {len(payload)} bytes")
    labels = tuple(np.frombuffer(payload, "<f4", flag, _HEADER.size).tolist()) if flag else (label,)
    return Record(labels, payload[end:])


def _read_index(path: Path) -> dict[int, int]:
    try:
        rows = [line.split("\t") for line in path.read_text(encoding="ascii").splitlines()]
        return {int(key): int(offset) for key, offset in rows}
    except FileNotFoundError as error:
        raise RecordError(f"{path} does not exist: a .rec file needs its index; copy it from beside the .rec, or make it with MXNet's rec2idx.py") from error
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} is no RecordIO index ({error}); expected lines of key, tab, offset") from error


def write_records(path: Path, records: list[tuple[int, Record]]) -> None:
    """Write a `.rec` and `.idx` pair; each record has its key."""
    with path.open("wb") as rec, path.with_suffix(".idx").open("w", encoding="ascii") as idx:
        for key, record in records:
            several = len(record.labels) > 1 or not record.payload
            head = _HEADER.pack(len(record.labels) if several else 0, 0.0 if several else record.labels[0], key, 0)
            labels = np.array(record.labels if several else (), "<f4").tobytes()
            payload = head + labels + record.payload
            idx.write(f"{key}\t{rec.tell()}\n")
            rec.write(FRAME.pack(MAGIC, len(payload)) + payload + b"\0" * (-len(payload) % 4))
