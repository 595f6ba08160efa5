"""Standard output of a service: what it prints is for people who may be watching, and never a reason to end."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Expendable(io.TextIOBase):
    """A text stream whose lines are dropped where they cannot be written: the disk of the log is full, the terminal window or the reader is gone.

    Characters outside the stream's character set are written as \\uXXXX.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def write(self, text: str) -> int:
        encoding = self._stream.encoding or "utf-8"
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


@contextmanager
def expendable_output() -> Iterator[None]:
    """Let nothing that is printed within the block end the process."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Expendable(sys.stdout), Expendable(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in before:
            _end(stream)


def _end(stream: TextIO) -> None:
    """Write what is buffered, or drop it, so that the end of the process does not fail either."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
