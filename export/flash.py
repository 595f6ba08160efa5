"""`python -m export flash IMAGE DEVICE`: write an image to a card or disk, read it back and compare (docs/image.md)."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from device.vision.catalogue import sha256
from export.disk.block_map import BLOCK, digest, read_map
from export.disk.table import MIB, SECTOR, Partition, Table, read_table
from export.disk.target import FlashError, FlashTarget, find_target

CHUNK = 4 * MIB
FLUSH_EVERY = 64 * MIB  # so that the progress tells what is on the card, not in memory
TABLE_ENDS = MIB  # no partition begins before this byte
BLKFLSBUF = 0x1261  # <linux/fs.h>: forget what is cached of a device
LABEL = b"clockface-data"
HALF_GPT = "ee"  # what sfdisk sees of a GPT whose second copy, at the end of the disk, is missing
PACKED = {  # how a packed file begins -> what unpacks it and keeps it
    b"\xfd7zXZ\0": "xz -dk", b"\x1f\x8b": "gunzip -k", b"\x28\xb5\x2f\xfd": "zstd -d", b"BZh": "bunzip2 -k", b"PK\x03\x04": "unzip",
}  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """Bytes of a file that go to the same place on the device."""

    source: Path
    start: int
    size: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", type=Path, metavar="IMAGE", help="what `python -m export image` wrote; IMAGE.bmap beside it is used")
    parser.add_argument("device", type=Path, metavar="DEVICE", help="the whole card, stick or disk, such as /dev/sdb; or a file that is as large")
    parser.add_argument("--keep-data", action="store_true", help="keep the data partition of the terminal that is on the device; the same layout is needed")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    if not args.image.is_file():
        raise FlashError(f"{args.image} does not exist; `python -m export image` makes one", code="flash.image")
    check_image(args.image)
    target = find_target(args.device)
    if args.device.samefile(args.image):
        raise FlashError(f"{args.device} is the image itself; name the card or stick, `lsblk` lists them", code="flash.device")
    print("\n".join(target.lines()))
    target.check(args.image.stat().st_size)
    with tempfile.TemporaryDirectory(prefix="clockface-flash-") as folder:
        pieces = whole(args.image)
        if args.keep_data:
            pieces = keeping_data(args.image, target, pieces, Path(folder) / "table")
        confirm(target, args.keep_data, args.yes)
        digests = write(target, pieces)
        compare(target, pieces, digests)
    print(f"{target.path}: {sum(piece.size for piece in pieces) / MIB:,.0f} MiB written, read back and found equal")
    return 0


def check_image(image: Path) -> None:
    """Whether a file is a whole disk as it stands.

    Raises:
        FlashError: it is packed, or no disk; or it is cut short, where no map or checksum beside it would show that.
    """
    with image.open("rb") as file:
        begin = file.read(SECTOR)
    if unpack := next((program for magic, program in PACKED.items() if begin.startswith(magic)), None):
        raise FlashError(f"{image} is packed; unpack it first: `{unpack} {image}`", code="flash.image")
    if begin[-2:] != b"\x55\xaa":
        raise FlashError(f"{image} is no image of a whole disk: it begins without a partition table", code="flash.image")
    if any(image.with_name(image.name + suffix).is_file() for suffix in (".bmap", ".sha256")):
        return
    size, parts = image.stat().st_size, read_table(image).partitions
    if any(part.start + part.size > size or part.kind == HALF_GPT for part in parts):
        raise FlashError(f"{image} is cut short: it ends at {size:,} bytes, its partitions do not; copy it again", code="flash.image")


def whole(image: Path) -> list[Piece]:
    """Everything of an image that must be written, after its checksums were verified.

    Raises:
        FlashError: the image is not what its map or checksum says.
        DiskImageError: the map is not usable.
    """
    size = image.stat().st_size
    beside, summed = (image.with_name(image.name + suffix) for suffix in (".bmap", ".sha256"))
    if beside.is_file():
        block_map = read_map(beside)
        with image.open("rb") as file:
            sound = block_map.image_size == size and all(digest(file, part.first, part.last) == part.sha256 for part in block_map.ranges)
        pieces = [Piece(image, part.first * BLOCK, min((part.last + 1) * BLOCK, size) - part.first * BLOCK) for part in block_map.ranges]
    else:
        sound = not summed.is_file() or sha256(image) == summed.read_text(encoding="ascii").split()[0]
        pieces = [Piece(image, 0, size)]
    if not sound:
        raise FlashError(f"{image} was changed since it was made: copy or make it again; nothing was written", code="flash.image")
    return pieces


def keeping_data(image: Path, target: FlashTarget, pieces: Sequence[Piece], draft: Path) -> list[Piece]:
    """What to write so that the data partition stays, and a table with its present size.

    Raises:
        FlashError: there is none, or it begins elsewhere than in the image.
    """
    old, new = read_table(target.path), read_table(image)
    data, room = _data_partition(target.path, old), _data_partition(image, new)
    if data is None or room is None or (data.start, data.number, old.label) != (room.start, room.number, new.label):
        message = f"{target.path} has no data partition of a terminal where {image.name} has one; without --keep-data everything is replaced"
        raise FlashError(message, code="flash.keep")
    with image.open("rb") as source, draft.open("wb") as file:
        file.write(source.read(TABLE_ENDS))
        file.truncate(target.size)
    new.with_resized(room, data.size).write(draft)
    spans = [(max(piece.start, TABLE_ENDS), min(piece.start + piece.size, data.start)) for piece in pieces]
    below = [Piece(image, start, end - start) for start, end in spans if start < end]
    copies = [Piece(draft, target.size // SECTOR * SECTOR - 33 * SECTOR, 33 * SECTOR)] if new.label == "gpt" else []
    return [Piece(draft, 0, TABLE_ENDS), *below, *copies]


def _data_partition(disk: Path, table: Table) -> Partition | None:
    with disk.open("rb") as file:
        for part in table.partitions:
            file.seek(part.start + 1024 + 120)  # the volume's name in the super block of ext4
            if file.read(16).rstrip(b"\0") == LABEL:
                return part
    return None


def confirm(target: FlashTarget, keep_data: bool, yes: bool) -> None:
    """Raises: FlashError: nobody agreed."""
    fate = "everything but the data partition" if keep_data else "EVERYTHING"
    if yes:
        return
    print(f"{fate} on {target.path} will be replaced. Type {target.path} to go on: ", end="", flush=True)
    if sys.stdin.readline().strip() != str(target.path):
        raise FlashError("not confirmed; nothing was written", code="flash.not_confirmed")


def write(target: FlashTarget, pieces: Sequence[Piece]) -> list[str]:
    """Write the pieces; the first, with the partition table, comes last, so that a card that was pulled out too early does not start.

    Returns:
        the sha256 of each piece.
    """
    digests = [""] * len(pieces)
    with opened(target, os.O_RDWR) as device:
        progress = CopyProgress("written", sum(piece.size for piece in pieces))
        for number in [*range(1, len(pieces)), 0]:
            digests[number] = _write_piece(device, pieces[number], progress)
        os.fsync(device)
        progress.end()
    return digests


def _write_piece(device: int, piece: Piece, progress: CopyProgress) -> str:
    found, at = hashlib.sha256(), piece.start
    with piece.source.open("rb") as source:
        source.seek(piece.start)
        while at < piece.start + piece.size:
            block = source.read(min(CHUNK, piece.start + piece.size - at))
            if not block:
                raise FlashError(f"{piece.source} became shorter while it was written; write it again", code="flash.image")
            found.update(block)
            written = 0
            while written < len(block):
                written += os.pwrite(device, block[written:], at + written)
            if (at + len(block)) // FLUSH_EVERY != at // FLUSH_EVERY:
                os.fdatasync(device)
            at += len(block)
            progress.add(len(block))
    return found.hexdigest()


def compare(target: FlashTarget, pieces: Sequence[Piece], digests: Sequence[str]) -> None:
    """Read every piece from the device.

    Raises:
        FlashError: one is not what was written.
    """
    with opened(target, os.O_RDONLY) as device:
        if target.is_block:
            with contextlib.suppress(OSError):  # needs root; the pages were dropped by the next line, too
                fcntl.ioctl(device, BLKFLSBUF)
        os.posix_fadvise(device, 0, 0, os.POSIX_FADV_DONTNEED)
        progress = CopyProgress("compared", sum(piece.size for piece in pieces))
        for piece, expected in zip(pieces, digests, strict=True):
            found, at = hashlib.sha256(), piece.start
            while at < piece.start + piece.size and (block := os.pread(device, min(CHUNK, piece.start + piece.size - at), at)):
                found.update(block)
                at += len(block)
                progress.add(len(block))
            if found.hexdigest() != expected:
                raise FlashError(f"{target.path} does not give back what was written at {piece.start // MIB} MiB; take another card", code="flash.compare")
        progress.end()


@contextlib.contextmanager
def opened(target: FlashTarget, flags: int) -> Iterator[int]:
    """The device, for this program alone: the kernel refuses one that anything has mounted.

    Raises:
        FlashError: it is in use, or not allowed.
    """
    try:
        device = os.open(target.path, flags | (os.O_EXCL if target.is_block else 0))
    except OSError as error:
        remedy = "sudo is needed" if isinstance(error, PermissionError) else "close what uses it"
        raise FlashError(f"{target.path} cannot be opened ({error.strerror}): {remedy}", code="flash.busy") from error
    try:
        yield device
    except OSError as error:
        raise FlashError(f"{target.path}: {error.strerror} while it was written or read; take another card or reader", code="flash.broken") from error
    finally:
        os.close(device)


class CopyProgress:
    """Tells about once a second how far a copy is, on standard error; without a terminal at each tenth."""

    def __init__(self, word: str, total: int) -> None:
        self._word, self._total, self._done, self._told, self._began = word, total, 0, 0.0, time.monotonic()
        self._seen = sys.stderr.isatty()

    def add(self, size: int) -> None:
        before, self._done = self._done, self._done + size
        now = time.monotonic()
        if now - self._told >= 1 if self._seen else before * 10 // self._total != self._done * 10 // self._total:
            self._told = now
            self._say("\r" if self._seen else "", "" if self._seen else "\n")

    def end(self) -> None:
        if self._seen:
            self._say("\r", "\n")

    def _say(self, before: str, after: str) -> None:
        rate = self._done / MIB / max(time.monotonic() - self._began, 1e-3)
        text = f"{before}{self._done * 100 // max(self._total, 1):3d} % {self._word}, {rate:,.0f} MiB/s"
        print(text, end=after, file=sys.stderr, flush=True)
