"""Standard output of a service: what it prints is for people who may be watching, and never a reason to end.

On a terminal it may end in a status line that is written again and again; whatever is printed next, on standard output or error, takes its place.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, TextIO

CLEAR = "\r\033[K"  # to the beginning of a terminal's line, and erase it


class Expendable(io.TextIOBase):
    """A text stream whose lines are dropped where they cannot be written: the disk of the log is full, the terminal window or the reader is gone.

    Characters outside the stream's character set are written as \\uXXXX.
    """

    _with_status: ClassVar[Expendable | None] = None  # the stream on which a status line stands

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def write(self, text: str) -> int:
        self.end_status()
        self._put(text)
        return len(text)

    def show_status(self, text: str) -> None:
        self._put(f"{CLEAR}{text}")
        self.flush()
        Expendable._with_status = self

    @classmethod
    def end_status(cls) -> None:
        """Erase the status line, so that what follows begins on a clean line."""
        stream, cls._with_status = cls._with_status, None
        if stream is not None:
            stream._put(CLEAR)
            stream.flush()

    def _put(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

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
        Expendable.end_status()
        sys.stdout, sys.stderr = before
        for stream in before:
            _end(stream)


def show_status(text: str) -> None:
    """Write the status line of a service; the next one, or whatever is printed, takes its place."""
    if isinstance(sys.stdout, Expendable):
        sys.stdout.show_status(text)


def _end(stream: TextIO) -> None:
    """Write what is buffered, or drop it, so that the end of the process does not fail either."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
