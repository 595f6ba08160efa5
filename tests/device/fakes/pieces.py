"""Work for a process apart (`device/system/apart.py`) that does not end, breaks off, or fails at once; imports nothing, so that the process starts fast."""

from __future__ import annotations

import os
from collections.abc import Iterator

MANY = b"x" * 100_000


def endless(*args: object) -> Iterator[bytes]:
    """As many bytes as somebody reads, beginning with the process's id."""
    yield f"{os.getpid()} ".encode()
    while True:
        yield MANY


def broken(*args: object) -> Iterator[bytes]:
    yield MANY * 3
    raise OSError("the disk is gone")


def failed(*args: object) -> Iterator[bytes]:
    raise OSError("the disk is gone")
