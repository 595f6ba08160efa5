"""Values of the command line that several commands share; each is checked before any work begins."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise ArgumentTypeError(f"{text!r}: expected a whole number of at least 1")
    return int(text)


def number(low: float, high: float = float("inf")) -> Callable[[str], float]:
    """A number of `low` to `high`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high or value == float("inf"):
            raise ArgumentTypeError(f"{text!r}: expected a number of at least {low:g}" + (f" and at most {high:g}" if high < float("inf") else ""))
        return value

    return read


def file(text: str) -> Path:
    """A file to write; it and the folders above it need not exist."""
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"{text} is a folder; name a file")
    if above := [each for each in path.parents if each.exists() and not each.is_dir()]:
        raise ArgumentTypeError(f"{text}: {above[0]} is a file, not a folder; name another place")
    return path


def folder(text: str) -> Path:
    """A folder to write into; it need not exist."""
    path = Path(text)
    if found := [each for each in (path, *path.parents) if each.exists() and not each.is_dir()]:
        raise ArgumentTypeError(f"{found[0]} is a file; name a folder, which is made if it does not exist")
    return path
