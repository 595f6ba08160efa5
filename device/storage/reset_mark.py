"""The mark of a reset to factory: from the moment it lies beside a database nobody opens that database, and the next start of the terminal erases it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from device.contract import ClockfaceError
from device.system.files import Disk

CONTENT = "clockface: erase this terminal"


class ResetError(ClockfaceError):
    """A reset to factory that was refused or could not be finished; the message says what to do."""

    code = "reset"


class ResetMark(NamedTuple):
    store: str  # identity of the database, which names its keys; "" where it could not be read: then every key of the folder goes


def mark_file(database: Path) -> Path:
    return database.with_name(f"{database.name}.reset")


def is_marked(database: Path) -> bool:
    return os.path.exists(mark_file(database))  # False for a name that no file can have


def set_mark(database: Path, store: str) -> None:
    """From here on the reset is decided: it is on the disk when this returns."""
    Disk().write(mark_file(database), json.dumps({"what": CONTENT, "store": store}).encode(), 0o600)


def read_mark(database: Path) -> ResetMark | None:
    """The mark of a reset that was begun; None: there is none.

    Raises:
        ResetError: a file of that name is no such mark; nothing is erased because of it.
    """
    if not is_marked(database):
        return None
    try:
        found = json.loads(mark_file(database).read_bytes())
        if found["what"] != CONTENT:
            raise ValueError
        return ResetMark(str(found["store"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        words = f"{mark_file(database)} is no mark of a reset, so nothing was erased: remove the file, or begin again with `python -m device reset`"
        raise ResetError(words, code="reset.mark") from error
