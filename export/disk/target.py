"""The card, stick or disk that an image is written to: what it is, what is on it, and whether it may be overwritten."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.contract import ClockfaceError
from export.disk.tool import call

COLUMNS = "NAME,SIZE,MODEL,TYPE,FSTYPE,LABEL,MOUNTPOINTS,RO"
WHOLE = ("disk", "loop", "file")  # kinds that an image may go to
OF_THE_SYSTEM = ("/", "/boot", "/boot/efi", "/boot/firmware", "/usr", "/var", "/home", "[SWAP]")


class FlashError(ClockfaceError):
    """An image cannot be written to a device, or did not arrive there whole."""

    code = "flash"


@dataclass(frozen=True)
class OnDisk:
    """A disk, or something on it."""

    name: str
    size: int  # bytes
    what: str  # file system and label, empty where none is known
    mounted: tuple[str, ...]
    kind: str = "part"  # of lsblk


@dataclass(frozen=True)
class FlashTarget:
    """Where an image goes: a whole disk, or a file in place of one."""

    path: Path
    model: str
    size: int  # bytes
    is_block: bool
    read_only: bool
    kind: str  # disk, part, loop ... of lsblk; file
    contents: tuple[OnDisk, ...]  # the disk itself first

    def lines(self) -> Iterator[str]:
        """For somebody who has to decide whether this is the right one."""
        yield f"{self.path}: {self.model or 'unknown model'}, {self.size / 1e9:.1f} GB"
        for found in self.contents:
            if found.what or found.mounted or found.name != str(self.path):
                where = f", in use as {', '.join(found.mounted)}" if found.mounted else ""
                yield f"  {found.name}: {found.size / 1e9:.1f} GB, {found.what or 'nothing known'}{where}"

    def check(self, needed: int) -> None:
        """Raises: FlashError: it is a part of a disk or made of disks, in use, read-only, empty or too small."""
        used = [place for found in self.contents for place in found.mounted]
        if any(place in OF_THE_SYSTEM for place in used):
            raise FlashError(f"{self.path} is the disk that this system runs from; name the card or stick, `lsblk` lists them", code="flash.system_disk")
        if used:
            raise FlashError(f"{self.path} is in use as {', '.join(used)}; sudo umount it first", code="flash.mounted")
        if holders := [f"{found.name} ({found.kind})" for found in self.contents[1:] if found.kind not in ("part", *WHOLE)]:
            raise FlashError(f"{self.path} carries {', '.join(holders)}, which is open: close it first, or name another disk", code="flash.mounted")
        if self.kind not in ("part", *WHOLE):
            raise FlashError(f"{self.path} is no card ({self.kind}), but a part of disks or made of them; name a whole card", code="flash.partition")
        if self.kind == "part":
            raise FlashError(f"{self.path} is a part of a disk; name the whole disk, without the partition's number", code="flash.partition")
        if self.read_only:
            raise FlashError(f"{self.path} is read-only; is the card's lock switched on?", code="flash.read_only")
        if not self.size:
            raise FlashError(f"{self.path} is empty: is there a card in the reader?", code="flash.too_small")
        if self.size < needed:
            raise FlashError(f"{self.path} has {self.size:,} bytes, {needed:,} are needed; take a larger one", code="flash.too_small")


def find_target(path: Path) -> FlashTarget:
    """What is known of a device, or of a file that stands in for one.

    Raises:
        FlashError: it is neither.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise FlashError(f"{path}: {error.strerror}; name a device such as /dev/sdb, `lsblk` lists them", code="flash.device") from error
    if stat.S_ISREG(status.st_mode):
        return FlashTarget(path, "a file", status.st_size, False, False, "file", ())
    if not stat.S_ISBLK(status.st_mode):
        raise FlashError(f"{path} is no disk; name a device such as /dev/sdb, `lsblk` lists them", code="flash.device")
    (disk,) = json.loads(call("lsblk", "--json", "--bytes", "--paths", "--output", COLUMNS, str(path.resolve())).stdout)["blockdevices"]
    return described(path, disk)


def described(path: Path, disk: Mapping[str, Any]) -> FlashTarget:
    """A device as lsblk tells of it, with all that is on it or made of it."""
    return FlashTarget(path, (disk["model"] or "").strip(), int(disk["size"]), True, bool(disk["ro"]), disk["type"], tuple(_all(disk)))


def _all(entry: Mapping[str, Any]) -> Iterator[OnDisk]:
    what = " ".join(part for part in (entry["fstype"], f"'{entry['label']}'" if entry["label"] else "") if part)
    yield OnDisk(entry["name"], int(entry["size"]), what, tuple(place for place in entry["mountpoints"] if place), entry["type"])
    for child in entry.get("children", ()):
        yield from _all(child)
