"""An exclusive lock between processes: an advisory lock on a file, released when the process that holds it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from device.system.ownership import acting_as_owner, open_file


class FileLock:
    """Held from construction until `release` or the end of its `with` block; the file remains, readable by its owner only.

    Raises:
        BlockingIOError: another process, or another lock in this process, holds it and `wait` is false.
        OSError: the file cannot be created or opened, or is a link.
    """

    def __init__(self, path: Path, wait: bool = True) -> None:
        with acting_as_owner(path):
            self._file = open_file(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(self._file)
            raise

    def sign(self) -> None:
        """Write this process's id into the file, where `signature` reads it."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        os.close(self._file)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def signature(path: Path) -> str:
    """The id of the process that signed the lock last; "unknown" where none did."""
    with acting_as_owner(path), os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        return file.read(32).decode("ascii", "replace") or "unknown"
