"""Files for others, on whatever file system they want them: sticks and shares may know no modes, not flush folders, be full, or vanish.

`Disk` (`device/system/files.py`) is for this machine's own files and insists on all of that.
"""

from __future__ import annotations

import errno
import logging
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

UNKNOWN = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}  # what file systems answer that do not know an operation
DENIED = UNKNOWN | {errno.EPERM, errno.EACCES}  # the same for modes
OLD_SECONDS = 86_400.0  # a draft of this age belongs to nobody any more
HOST = re.sub("[^A-Za-z0-9]", "", platform.node())[:40]
DRAFT = re.compile(rf"\..+\.{HOST}-(?P<process>\d+)-[0-9a-f]{{8}}\.part", re.DOTALL)  # those that this machine makes
_told: set[Path] = set()  # folders whose missing modes were told in this process


@contextmanager
def whole_file(path: Path, mode: int) -> Iterator[IO[bytes]]:
    """A file for writing that gets its name when the block ends, whole and flushed; if the block fails, there is the former file or none.

    It is written beside its name, so in the same file system. Drafts of processes that were killed are removed first.

    Args:
        mode: of the file. A file system that does not know it is used without, which is told once per folder.

    Raises:
        OSError: no room, no right to write, or the file system has vanished.
    """
    _sweep(path.parent)
    draft = path.with_name(f".{path.name[:100]}.{HOST}-{os.getpid()}-{secrets.token_hex(4)}.part")
    opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(opened, "wb") as file:
            _set_mode(opened, path.parent, mode)
            yield file
            file.flush()
            _flush(opened)
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    _flush_folder(path.parent)


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Write a small file, whole or not at all. Raises: as `whole_file`."""
    with whole_file(path, mode) as file:
        file.write(data)


def _sweep(folder: Path) -> None:
    """Remove the drafts of this machine whose process is gone, and old ones: another process may be writing one."""
    with suppress(OSError):  # a folder that may be written but not listed
        for name in os.listdir(folder):
            found = DRAFT.fullmatch(name)
            if found and _left(folder / name, int(found["process"])):
                (folder / name).unlink()


def _left(draft: Path, process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OverflowError, PermissionError):
        pass
    return time.time() - draft.stat().st_mtime > OLD_SECONDS


def _set_mode(opened: int, folder: Path, mode: int) -> None:
    try:
        os.fchmod(opened, mode)
    except OSError as error:
        if error.errno not in DENIED:
            raise
    if os.fstat(opened).st_mode & 0o777 != mode and folder not in _told:
        _told.add(folder)
        log.warning("%s is on a file system that keeps no modes: how it is mounted decides who may read what is written there", folder)


def _flush(opened: int) -> None:
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise


def _flush_folder(folder: Path) -> None:
    """Flush the name, as far as the file system can; the content is on the disk already."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
