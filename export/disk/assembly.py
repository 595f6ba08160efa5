"""An image in the making: a copy of the base, its partitions laid out anew, the parts put in, and only what is used written."""

from __future__ import annotations

import lzma
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from device.vision.catalogue import sha256
from export.disk.block_map import make_map
from export.disk.contents import ImageContents, boot_line
from export.disk.ext4 import Ext4, Placed
from export.disk.fat import Fat
from export.disk.table import GPT_COPY, MIB, Partition, Table, has_ext, read_table
from export.disk.tool import DiskImageError

CHUNK = 1 << 20  # bytes
DATA_SIZE = 512 * MIB  # of the data partition in the image; it grows on the board
XZ = b"\xfd7zXZ\x00"


@dataclass(frozen=True)
class ImageDraft:
    """An image in the making, in a folder beside its target."""

    image: Path
    root_file: Path
    table: Table
    root: Partition

    @property
    def fat(self) -> Fat | None:
        return Fat(self.image, self.table.fat.start) if self.table.fat else None


def unpacked(base: Path, beside: Path) -> ImageDraft:
    """A copy of the base, and its root file system in a file of its own. The base is only read."""
    image, root_file = beside / "image", beside / "root"
    with base.open("rb") as raw:
        packed = raw.read(len(XZ)) == XZ
        raw.seek(0)
        with lzma.open(raw) if packed else raw as source:
            copy(source, image, 0)  # type: ignore[arg-type]
    table = read_table(image)
    candidates = [part for part in table.partitions if has_ext(image, part.start)]
    if not candidates:
        raise DiskImageError(f"{base.name} has no ext4 root file system; take the image of Raspberry Pi OS, Debian or Ubuntu", code="disk_image.base")
    root = max(candidates, key=lambda part: part.size)
    with image.open("rb") as source:
        source.seek(root.start)
        copy(source, root_file, 0, root.size)
    return ImageDraft(image, root_file, table, root)


def copy(source: BinaryIO, target: Path, at: int, size: int | None = None, sparse: bool = True) -> None:
    """Copy to a place in a file; `sparse` leaves blocks of zeros out, so the target must have zeros there."""
    left = size
    with target.open("r+b" if target.exists() else "wb") as file:
        file.seek(at)
        while block := source.read(CHUNK if left is None else min(CHUNK, left)):
            if sparse and block.count(0) == len(block):
                file.seek(len(block), os.SEEK_CUR)
            else:
                file.write(block)
            left = None if left is None else left - len(block)
        file.truncate(max(file.tell(), target.stat().st_size))


def laid_out(draft: ImageDraft, root_free: int, step: int) -> tuple[Table, Partition | None]:
    """The table of the image, and the data partition in it.

    The root grows, where it is the last partition; the data partition begins at the next multiple of `step`, so that the next
    image has it at the same place.

    Raises:
        DiskImageError: the root needs room and cannot grow.
    """
    used = draft.root.size - sum(end - start for start, end in Ext4(draft.root_file).free())
    if not draft.table.label:
        return draft.table.with_resized(draft.root, max(draft.root.size, _up(used + root_free, MIB))), None
    last = max(part.end for part in draft.table.partitions)
    table, start = draft.table, _up(last, MIB)
    if draft.root.end == last:
        start = _up(max(draft.root.end, draft.root.start + used + root_free), step)
        table = table.with_resized(draft.root, start - draft.root.start)
    elif draft.root.size - used < root_free:
        raise DiskImageError(
            f"the base has {(draft.root.size - used) // MIB} MiB free in its root, which is not its last partition and cannot grow; --root-free asks for less",
            code="disk_image.full",
        )
    more = {"uuid": str(uuid4()), "name": "clockface-data"} if table.label == "gpt" else {}
    table = table.with_added(start, DATA_SIZE, more)
    return table, table.partitions[-1]


def _up(size: int, step: int) -> int:
    return -(-size // step) * step


def assembled(draft: ImageDraft, table: Table, data: Partition | None, placed: list[Placed], contents: ImageContents) -> Iterator[tuple[int, int]]:
    """Put the parts into the image; yields the ranges of bytes that are free space."""
    root = next(part for part in table.partitions if part.start == draft.root.start)
    filled = Ext4(draft.root_file)
    if root.size > draft.root.size:
        filled.grow(root.size)
    filled.remove(contents.removed)
    boot = [] if draft.fat else [Placed(f"/boot/clockface/{name}", text.encode()) for name, text in contents.boot.items()]
    filled.put([*placed, *boot])
    filled.check()
    last = all(part.end <= draft.root.end for part in draft.table.partitions)
    if not table.label:
        draft.image.write_bytes(b"")
    else:
        end = max(part.end for part in table.partitions) + (_up(GPT_COPY, MIB) if table.label == "gpt" else 0)
        with draft.image.open("r+b") as file:
            if last:
                file.truncate(root.start)  # nothing of the base's root shows through
            file.truncate(end)
        table.write(draft.image)
        _write_boot(draft, contents)
    yield from _into(draft.image, filled, root, sparse=last)
    if data:
        empty = Ext4.make(draft.image.with_name("data"), data.size, "clockface-data")
        empty.put(contents.data)
        empty.check()
        yield from _into(draft.image, empty, data)


def _into(image: Path, part: Ext4, place: Partition, sparse: bool = True) -> Iterator[tuple[int, int]]:
    """Copy what a file system uses and nothing of its free space, where deleted files still are; yields that space, as bytes of the image."""
    at = 0
    with part.path.open("rb") as source, image.open("r+b") as target:
        for start, end in (*part.free(), (place.size, place.size)):
            source.seek(at)
            copy(source, image, place.start + at, start - at, sparse)
            target.seek(place.start + start)
            for size in () if sparse else (min(CHUNK, end - piece) for piece in range(start, end, CHUNK)):
                target.write(bytes(size))
            at = end
            if start < end:
                yield place.start + start, place.start + end


def _write_boot(draft: ImageDraft, contents: ImageContents) -> None:
    fat = draft.fat
    if fat is None:
        return
    for name, text in contents.boot.items():
        fat.write(f"clockface/{name}", text)
    line = fat.read("cmdline.txt")
    if line is not None:
        fat.write("cmdline.txt", boot_line(line))


def finish(image: Path, out: Path, free: list[tuple[int, int]]) -> None:
    """Map and checksum beside the image; each is renamed into place once it is whole."""
    with image.open("rb") as file:
        os.fsync(file.fileno())
    block_map = make_map(image, free)
    for name, content in ((f"{out.name}.bmap", block_map.to_xml()), (f"{out.name}.sha256", f"{sha256(image)}  {out.name}\n".encode())):
        part = image.with_name(name)
        part.write_bytes(content)
        os.replace(part, out.with_name(name))
    os.replace(image, out)
    print(f"{out}.bmap: {block_map.mapped_bytes / MIB:,.0f} of {block_map.image_size / MIB:,.0f} MiB are to be written")
