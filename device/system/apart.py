"""Long work in a process apart: it writes bytes to its standard output, which whoever started it reads as fast as it likes.

The process has low priority, and ends by itself when nobody reads any more. `python -m device.system.apart` takes the work on standard input.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from device.system.priority import yield_to_others

ROOT = Path(__file__).resolve().parents[2]  # of the package `device`
COMMAND = (sys.executable, "-m", __name__)
Work = Callable[..., Iterable[bytes]]  # a function of a module


def environment() -> dict[str, str]:
    """For the process: it needs one core and finds this program's packages."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def order(work: Work, *args: Any) -> bytes:
    """What the process is given; nobody else can write to its standard input."""
    return pickle.dumps((work, args))


def serve() -> None:
    """In the process: carry the work out."""
    yield_to_others()
    work, args = pickle.load(sys.stdin.buffer)
    try:
        for piece in work(*args):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    serve()
