"""The folder of keys: where it is, that nobody but its owner may open it, and the lock on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device.config.places import HOME
from device.contract import ClockfaceError
from device.system.locks import FileLock
from device.system.ownership import acting_as_owner, make_private

DEVICE_KEY, NEXT_KEY = "device.key", "device.key.next"


class KeysError(ClockfaceError):
    """Keys that cannot be read, made or used; the message says what to do."""

    code = "keys.file"


def folder() -> Path:
    return Path(os.environ.get("CLOCKFACE_KEYS") or HOME / "keys")


@contextmanager
def apart(place: Path) -> Iterator[None]:
    """Use another folder of keys in this process and those it starts: for a temporary database."""
    before = os.environ.get("CLOCKFACE_KEYS")
    os.environ["CLOCKFACE_KEYS"] = str(place)
    try:
        yield
    finally:
        if before is None:
            del os.environ["CLOCKFACE_KEYS"]
        else:
            os.environ["CLOCKFACE_KEYS"] = before


def open_to_others(place: Path) -> list[Path]:
    """Those of the folder of keys and its files that others than their owner may access.

    Raises:
        KeysError: they cannot be read.
    """
    try:
        return [path for path in (place, *sorted(place.iterdir())) if path.stat().st_mode & 0o077] if place.is_dir() else []
    except OSError as error:
        raise KeysError(f"{place} cannot be read ({error.strerror}): run as the user it belongs to, or name another folder in CLOCKFACE_KEYS") from error


def ensure_private(place: Path) -> None:
    """Make the folder if needed, open to its owner alone."""
    with acting_as_owner(place / DEVICE_KEY):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(place.resolve())


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Serialise key creation and rotation."""
    try:
        ensure_private(place)
        lock = FileLock(place / ".lock")
    except OSError as error:
        raise KeysError(f"{place} cannot be written ({error.strerror}): make it writable for this user, or name another folder in CLOCKFACE_KEYS") from error
    with lock:
        yield
