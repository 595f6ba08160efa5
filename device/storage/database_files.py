"""The files of a database: how one takes the place of another, and folders for copies that leave nothing behind when they are cut off.

SQLite keeps what is not merged yet beside the file (`-wal`, `-journal`) and applies it to whatever file has the name: it must never meet another database.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from device.system.files import Disk
from device.system.locks import FileLock

LOGS = ("-wal", "-shm", "-journal")
WORKING = (".speed-", ".backup-", ".restore-", ".download-", ".upload-")  # beginnings of the names of folders that hold copies for a while
BUSY = "busy.lock"


def logs_of(database: Path) -> list[Path]:
    """What is left of the logs of a database, or of one that had its name."""
    return [path for ending in LOGS if os.path.lexists(path := Path(f"{database}{ending}"))]


def remove(database: Path) -> None:
    """Remove a file with its logs."""
    for path in (*logs_of(database), database):
        path.unlink(missing_ok=True)


def take_place(new: Path, database: Path, kept: Path) -> bool:
    """Let a finished file take the place of a database, which is kept with its logs under another name; returns whether there was one.

    Interrupted at any step, it is completed by a second call. The logs go first, and are gone from the disk before the new file has the name.

    Raises:
        OSError: a file cannot be moved, or another process has begun a log meanwhile.
    """
    had = database.is_file()
    if had and kept.is_file():  # of an earlier time; one of an interrupted attempt has no file yet, only logs
        remove(kept)
    aside = kept if had else kept.with_name(f"{kept.name}.left")  # logs without their database
    for log in logs_of(database):
        os.replace(log, f"{aside}{str(log)[len(str(database)) :]}")
    with suppress(FileNotFoundError):
        os.replace(database, kept)
    Disk().sync(database.parent)
    Disk().rename(new, database)
    if left := logs_of(database):
        raise FileExistsError(f"another process uses {database.name} ({left[0].name}): end it, and restore again")
    return had


@contextmanager
def working_folder(database: Path, beginning: str) -> Iterator[Path]:
    """A folder beside the database, mode 700, for copies while the block runs; `sweep` removes it if the process is killed."""
    folder = Path(tempfile.mkdtemp(dir=database.parent, prefix=beginning))
    try:
        with FileLock(folder / BUSY):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(database: Path) -> list[Path]:
    """Remove the folders of processes that were killed; those that are in use stay. Returns what was removed."""
    found = [path for beginning in WORKING for path in database.parent.glob(f"{beginning}*") if path.is_dir() and not path.is_symlink()]
    return [folder for folder in found if _removed(folder)]


def _removed(folder: Path) -> bool:
    lock = folder / BUSY
    try:
        if not any(folder.iterdir()):
            return False  # made at this moment, and not locked yet; or left empty, which tells nobody anything
        with FileLock(lock, wait=False):
            shutil.rmtree(folder, ignore_errors=True)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True
