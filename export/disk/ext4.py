"""An ext4 file system in a file of its own, read and changed by debugfs: no root, no loop device."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from device.vision.catalogue import sha256
from export.disk.tool import DiskImageError, call

BLOCK = 4096  # bytes
SAFE = re.compile(r"/[A-Za-z0-9._+@/-]*")  # what needs no quoting in a script of debugfs
NOT_FOUND = "File not found by ext2_lookup"


@dataclass(frozen=True)
class Placed:
    """A file, link or folder that goes into a file system, owned by root."""

    place: str  # from its root, such as /etc/fstab
    content: bytes | Path | None = None  # of a file, or the file to read it from; None: a link or folder
    link: str = ""  # what a link points to
    mode: int = 0o644

    def __post_init__(self) -> None:
        if not SAFE.fullmatch(self.place) or ".." in self.place.split("/") or (self.link and not SAFE.fullmatch(f"/{self.link}")):
            raise DiskImageError(f"{self.place!a}: a path of letters, digits and .-_+@ from / is needed", code="disk_image.path")


class Ext4:
    """A file with an ext4 file system."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, path: Path, size: int, label: str) -> Ext4:
        """A new, empty one; what must be zero is written, so that it may be put over old data block by block."""
        with path.open("wb") as file:
            file.truncate(size)
        options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
        call("mke2fs", "-q", "-t", "ext4", "-b", str(BLOCK), "-m", "1", "-L", label, "-E", options, str(path))
        return cls(path)

    def grow(self, size: int) -> None:
        """Repair what a mount would, then let it fill `size` bytes."""
        call("e2fsck", "-f", "-p", str(self.path), accepted=(0, 1))
        with self.path.open("r+b") as file:
            file.truncate(size)
        call("resize2fs", str(self.path))

    def kind(self, place: str) -> str:
        """directory, regular, symlink or another type of debugfs; empty where nothing is there."""
        told = self._ask(f"stat {place}")
        return found[1] if (found := re.search(r"Type: ([a-z]+)", told)) else ""

    def read(self, place: str) -> bytes | None:
        """A file's content; None where it is not there. A link is not followed."""
        done = call("debugfs", "-R", f"cat {place}", str(self.path))
        return None if NOT_FOUND in done.stderr.decode(errors="replace") else done.stdout

    def names(self, folder: str) -> list[str]:
        """What lies in a folder; nothing where it is not there."""
        lines = self._ask(f"ls -p {folder}").splitlines()
        return [fields[5] for line in lines if len(fields := line.split("/")) > 6 and fields[5] not in (".", "..", "")]

    def remove(self, places: Iterable[str]) -> None:
        self._change([f"rm {place}" for place in places])

    def put(self, placed: Iterable[Placed]) -> None:
        """Write files, links and folders, over those that are there, then read every file again.

        Raises:
            DiskImageError: a folder of the path is a link or a file, or what was written does not come back.
        """
        entries = list(placed)
        with tempfile.TemporaryDirectory(prefix=".put-", dir=self.path.parent) as beside:
            self._change(self._commands(entries, Path(beside)))
            for entry in entries:
                self._compare(entry, Path(beside) / "again")

    def check(self) -> None:
        """Raises: DiskImageError: e2fsck finds a fault."""
        call("e2fsck", "-f", "-n", str(self.path))

    def free(self) -> Iterator[tuple[int, int]]:
        """Ranges of bytes, end not included, that neither a file nor the file system itself uses."""
        told = call("dumpe2fs", str(self.path)).stdout.decode(errors="replace")
        block = int(re.findall(r"^Block size: +(\d+)$", told, re.MULTILINE)[0])
        for line in re.findall(r"^  Free blocks: (.+)$", told, re.MULTILINE):
            for first, last in re.findall(r"(\d+)(?:-(\d+))?", line):
                yield int(first) * block, (int(last or first) + 1) * block

    def _ask(self, command: str) -> str:
        return call("debugfs", "-R", command, str(self.path)).stdout.decode(errors="replace")

    def _change(self, commands: Iterable[str]) -> None:
        call("debugfs", "-w", "-f", "-", str(self.path), feed="\n".join([*commands, ""]))

    def _commands(self, entries: list[Placed], beside: Path) -> Iterator[str]:
        made: set[str] = set()
        for number, entry in enumerate(entries):
            path = PurePosixPath(entry.place)
            folders = [*reversed(path.parents)][1:] + ([path] if entry.content is None and not entry.link else [])
            for folder in map(str, folders):
                if folder not in made and (kind := self.kind(folder)) != "directory":
                    if kind:
                        raise DiskImageError(f"{folder} in the base is a {kind}, a folder was expected; take another base", code="disk_image.base")
                    yield f"mkdir {folder}"
                made.add(folder)
            if entry.content is None and not entry.link:
                yield f"sif {path} mode 04{entry.mode:04o}"
                continue
            if self.kind(entry.place):
                yield f"rm {path}"
            if entry.link:
                yield f"symlink {path} {entry.link}"
                continue
            source = entry.content
            if isinstance(source, bytes):
                source = beside / str(number)
                source.write_bytes(entry.content if isinstance(entry.content, bytes) else b"")
            yield f"cd {path.parent}"
            yield f'write "{source}" {path.name}'
            yield "cd /"
            yield f"sif {path} mode 010{entry.mode:04o}"

    def _compare(self, entry: Placed, again: Path) -> None:
        kind = "symlink" if entry.link else "directory" if entry.content is None else "regular"
        same = self.kind(entry.place) == kind
        if same and isinstance(entry.content, bytes):
            same = self.read(entry.place) == entry.content
        elif same and isinstance(entry.content, Path):
            again.unlink(missing_ok=True)
            self._ask(f'dump {entry.place} "{again}"')
            same = again.exists() and sha256(again) == sha256(entry.content)
        if not same:
            raise DiskImageError(f"{entry.place} could not be written into the image; is there room? --root-free MIB gives more", code="disk_image.full")
