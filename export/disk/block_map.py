"""Block maps in bmaptool's form (version 2.0): which blocks of an image must be written; the others are free space of its file systems."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from export.disk.tool import DiskImageError

BLOCK = 4096  # bytes
LONGEST = 16 << 20  # bytes of one range: how much is read again when a checksum does not fit


@dataclass(frozen=True)
class MappedRange:
    """Blocks `first` to `last`, both included, and the sha256 of what they hold."""

    first: int
    last: int
    sha256: str


@dataclass(frozen=True)
class BlockMap:
    """The map of one image."""

    image_size: int  # bytes
    ranges: tuple[MappedRange, ...]

    @property
    def mapped_bytes(self) -> int:
        return sum(min((part.last + 1) * BLOCK, self.image_size) - part.first * BLOCK for part in self.ranges)

    def to_xml(self) -> bytes:
        blocks, mapped = -(-self.image_size // BLOCK), sum(part.last - part.first + 1 for part in self.ranges)
        lines = [f'    <Range chksum="{part.sha256}"> {part.first}-{part.last} </Range>' for part in self.ranges]
        text = "\n".join([
            '<?xml version="1.0" ?>', '<bmap version="2.0">', f"  <ImageSize> {self.image_size} </ImageSize>", f"  <BlockSize> {BLOCK} </BlockSize>",
            f"  <BlocksCount> {blocks} </BlocksCount>", f"  <MappedBlocksCount> {mapped} </MappedBlocksCount>",
            "  <ChecksumType> sha256 </ChecksumType>", f"  <BmapFileChecksum> {'0' * 64} </BmapFileChecksum>",
            "  <BlockMap>", *lines, "  </BlockMap>", "</bmap>", "",
        ])  # fmt: skip
        return text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest(), 1).encode()


def make_map(image: Path, free: Iterable[tuple[int, int]]) -> BlockMap:
    """The map of an image.

    Args:
        free: ranges of bytes, end not included, that need not be written; blocks that are free in part are mapped.
    """
    size = image.stat().st_size
    unmapped = sorted((-(-start // BLOCK), end // BLOCK) for start, end in free)
    mapped, at = [], 0
    for start, end in (*unmapped, (-(-size // BLOCK), 0)):
        if at < start:
            mapped.append((at, start - 1))
        at = max(at, end)
    ranges = [piece for first, last in mapped for piece in _pieces(first, last)]
    with image.open("rb") as file:
        parts = tuple(MappedRange(first, last, digest(file, first, last)) for first, last in ranges)
    return BlockMap(size, parts)


def digest(file: BinaryIO, first: int, last: int) -> str:
    """The sha256 of these blocks; the image may end within the last one."""
    file.seek(first * BLOCK)
    return hashlib.sha256(file.read((last - first + 1) * BLOCK)).hexdigest()


def read_map(path: Path) -> BlockMap:
    """Read a map that `make_map` or bmaptool wrote.

    Raises:
        DiskImageError: it is no map, of another version, or was changed.
    """
    data = path.read_bytes()
    stated = re.search(rb"<BmapFileChecksum>\s*([0-9a-f]{64})\s*</BmapFileChecksum>", data)
    try:
        if stated is None or hashlib.sha256(data.replace(stated[1], b"0" * 64, 1)).hexdigest() != stated[1].decode():
            raise ValueError("its own checksum does not fit")
        tree = ElementTree.fromstring(data)
        if int(tree.findtext("BlockSize", "")) != BLOCK or tree.findtext("ChecksumType", "").strip() != "sha256":
            raise ValueError(f"blocks of {BLOCK} bytes and sha256 are needed")
        ranges = tuple(_range(entry.text or "", entry.get("chksum", "")) for entry in tree.iter("Range"))
        return BlockMap(int(tree.findtext("ImageSize", "")), ranges)
    except (ValueError, ElementTree.ParseError) as error:
        message = f"{path} is no usable block map ({error}); make the image again, or delete the map: then every byte is written"
        raise DiskImageError(message, code="disk_image.map") from error


def _range(text: str, sha256: str) -> MappedRange:
    first, _, last = text.strip().partition("-")
    return MappedRange(int(first), int(last or first), sha256)


def _pieces(first: int, last: int) -> Iterator[tuple[int, int]]:
    step = LONGEST // BLOCK
    yield from ((start, min(start + step - 1, last)) for start in range(first, last + 1, step))
