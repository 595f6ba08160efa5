"""The partition table of a disk image: MBR or GPT, read and written by sfdisk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export.disk.tool import DiskImageError, call

SECTOR = 512  # bytes
MIB = 1 << 20  # bytes
BOOT_CODE = 440  # bytes at the start of the disk that belong to a boot loader, not to the table
EXT_MAGIC = b"\x53\xef"  # at byte 1080 of a file system (Documentation/filesystems/ext4, super block)
FAT_KINDS = ("1", "4", "6", "b", "c", "e", "ef", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7")
EXTENDED = ("5", "f", "85")
LINUX = {"dos": "83", "gpt": "0FC63DAF-8483-4772-8E79-3D69D8477DE4"}
MOST = {"dos": 4, "gpt": 128}  # partitions
GPT_COPY = 34 * SECTOR  # bytes at the end of the disk


@dataclass(frozen=True)
class Partition:
    """One entry of the table."""

    number: int
    start: int  # byte in the image
    size: int  # bytes
    kind: str  # as sfdisk writes it
    more: Mapping[str, Any]  # uuid, name, attrs, bootable

    @property
    def end(self) -> int:
        return self.start + self.size

    def line(self) -> str:
        """As a line of an sfdisk script."""
        words = [f"start={self.start // SECTOR}", f"size={self.size // SECTOR}", f"type={self.kind}"]
        words += [f"{key}={json.dumps(self.more[key])}" for key in ("uuid", "name", "attrs") if self.more.get(key)]
        return f"disk{self.number} : {', '.join(words)}{', bootable' if self.more.get('bootable') else ''}"


@dataclass(frozen=True)
class Table:
    """A disk's partitions; `label` is dos or gpt, or empty where the whole file is one file system."""

    label: str
    disk_id: str
    partitions: tuple[Partition, ...]

    @property
    def fat(self) -> Partition | None:
        """The boot partition: the first with FAT."""
        return next((part for part in self.partitions if part.kind in FAT_KINDS), None)

    def with_resized(self, partition: Partition, size: int) -> Table:
        changed = replace(partition, size=size)
        return replace(self, partitions=tuple(changed if part == partition else part for part in self.partitions))

    def with_added(self, start: int, size: int, more: Mapping[str, Any]) -> Table:
        """A further Linux partition, under the first free number."""
        taken = {part.number for part in self.partitions}
        number = next(number for number in range(1, len(taken) + 2) if number not in taken)
        if number > MOST[self.label]:
            raise DiskImageError(f"the base has {len(taken)} partitions and room for no further one; take a base with fewer", code="disk_image.base")
        return replace(self, partitions=(*self.partitions, Partition(number, start, size, LINUX[self.label], more)))

    def part_uuid(self, partition: Partition) -> str:
        """What PARTUUID= in an fstab means (blkid(8))."""
        if self.label == "gpt":
            return str(partition.more["uuid"]).lower()
        return f"{int(self.disk_id, 16):08x}-{partition.number:02x}"

    def script(self) -> str:
        lines = sorted(self.partitions, key=lambda part: part.number)
        return "\n".join([f"label: {self.label}", f"label-id: {self.disk_id}", "unit: sectors", "", *(part.line() for part in lines), ""])

    def write(self, image: Path) -> None:
        """Write the table; the boot loader's code before it stays."""
        with image.open("rb") as file:
            code = file.read(BOOT_CODE)
        call("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "never", "--wipe-partitions", "never", str(image), feed=self.script())
        with image.open("r+b") as file:
            file.write(code)


def read_table(image: Path) -> Table:
    """The table of an image or a device; without one, an ext4 file system that fills the file.

    Raises:
        DiskImageError: neither, or partitions within a partition.
    """
    if has_ext(image, 0):
        return Table("", "", (Partition(1, 0, image.stat().st_size // SECTOR * SECTOR, "", {}),))
    done = call("sfdisk", "--json", str(image), accepted=(0, 1))
    if done.returncode:
        raise DiskImageError(f"{image} is no disk image: it has neither a partition table nor ext4", code="disk_image.base")
    told = json.loads(done.stdout)["partitiontable"]
    label = told["label"]
    partitions = tuple(_partition(entry) for entry in told.get("partitions", ()))
    if label not in LINUX or any(part.kind in EXTENDED for part in partitions):
        message = f"{image}: a table of the kind {label}, or with logical partitions, is not supported; take a base with MBR or GPT"
        raise DiskImageError(message, code="disk_image.base")
    return Table(label, told["id"], partitions)


def has_ext(image: Path, start: int) -> bool:
    """Whether ext2, 3 or 4 begins at this byte."""
    with image.open("rb") as file:
        file.seek(start + 1080)
        return file.read(2) == EXT_MAGIC


def _partition(entry: Mapping[str, Any]) -> Partition:
    number = int(entry["node"][len(entry["node"].rstrip("0123456789")) :])
    more = {key: entry[key] for key in ("uuid", "name", "attrs", "bootable") if key in entry}
    return Partition(number, entry["start"] * SECTOR, entry["size"] * SECTOR, entry["type"], more)
