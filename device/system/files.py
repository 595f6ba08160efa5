"""Changes of files that survive a power cut: content reaches the disk before the name that shows it."""

from __future__ import annotations

import os
from pathlib import Path


class Disk:
    """Each method has reached the disk when it returns; stopped anywhere, the old state or the new one is there."""

    def sync(self, path: Path) -> None:
        """Flush one file or folder."""
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)

    def sync_tree(self, folder: Path) -> None:
        """Flush everything below a folder, then the folder."""
        for place, _, names in os.walk(folder, topdown=False):
            for name in names:
                if not (path := Path(place, name)).is_symlink():
                    self.sync(path)
            self.sync(Path(place))

    def rename(self, source: Path, target: Path) -> None:
        """Give a finished file, link or folder its name; a file or link of that name is replaced."""
        os.replace(source, target)
        self.sync(target.parent)

    def link(self, place: Path, target: str) -> None:
        """Make `place` a symbolic link to `target`, in one step also where it was another link."""
        new = place.with_name(f".{place.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        self.rename(new, place)

    def write(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        """Write a small file whole."""
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
        self.sync(new)
        self.rename(new, path)
