"""The FAT boot partition inside an image, read and written by mtools."""

from __future__ import annotations

from pathlib import Path

from export.disk.tool import call


class Fat:
    """A FAT file system that begins at a byte of an image."""

    def __init__(self, image: Path, start: int) -> None:
        self.where = f"{image}@@{start}"

    def read(self, place: str) -> str | None:
        """A text file; None where it is not there."""
        done = call("mcopy", "-n", "-i", self.where, f"::{place}", "-", accepted=(0, 1))
        return done.stdout.decode(errors="replace") if done.returncode == 0 else None

    def write(self, place: str, text: str) -> None:
        """Write a file, over one that is there; its folder is made where it is missing."""
        folder = place.rpartition("/")[0]
        if folder:
            call("mmd", "-D", "s", "-i", self.where, f"::{folder}", accepted=(0, 1))
        call("mcopy", "-o", "-i", self.where, "-", f"::{place}", feed=text)
