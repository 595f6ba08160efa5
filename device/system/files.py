"""File changes that survive a power cut: the content reaches the disk before the name that points to it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


class Disk:
    """Each change is on the disk when the method returns; interrupted at any step, it leaves the old state or the new one."""

    def sync(self, path: Path) -> None:
        """Flush one file or folder to the disk."""
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)

    def sync_tree(self, folder: Path) -> None:
        """Flush everything below a folder, then the folder itself."""
        for place, _, names in os.walk(folder, topdown=False):
            for name in names:
                if not (path := Path(place, name)).is_symlink():
                    self.sync(path)
            self.sync(Path(place))

    def rename(self, source: Path, target: Path) -> None:
        """Give a finished file, link or folder its final name; a file or link of that name is replaced."""
        os.replace(source, target)
        self.sync(target.parent.resolve())  # resolved, since the folder may be reached through a link

    def link(self, place: Path, target: str) -> None:
        """Make `place` a symbolic link to `target`; an existing link is replaced in one step."""
        new = place.with_name(f".{place.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        self.rename(new, place)

    def write(self, path: Path, data: bytes, mode: int = 0o644, alone: bool = True) -> None:
        """Write a small file atomically: readers see the old content or the new, never a part.

        Args:
            mode: of the new file, regardless of the umask and of the old file's mode.
            alone: no other process writes this file at the same time. The draft then has a fixed name, so that the next
                write removes one that a power cut left behind; otherwise each writer has a draft of its own.
        """
        opened, draft = _draft(path, alone)
        try:
            with os.fdopen(opened, "wb") as file:
                os.fchmod(opened, mode)
                file.write(data)
            self.sync(draft)
            self.rename(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def _draft(path: Path, alone: bool) -> tuple[int, Path]:
    """A new empty file beside `path`, open for writing, mode 600."""
    if not alone:
        opened, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
        return opened, Path(name)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    return os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), draft
