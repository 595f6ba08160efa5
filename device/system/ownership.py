"""Files in a folder that belongs to another user: root works there as that user, and nobody through a symbolic link.

Who owns a folder can exchange what is in it at any moment, for a link to a file of root. A check before the access does not end that; the access itself
must have no more rights than the owner has.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def owner_of(path: Path) -> int:
    """The id of the user whose file this is or will be: who owns its folder, or the next one above that exists; in a folder of root, who owns the file."""
    folder = next(place for place in path.absolute().parents if place.exists())
    owner = folder.stat().st_uid
    return path.lstat().st_uid if owner == 0 and os.path.lexists(path) else owner


@contextmanager
def acting_as_owner(path: Path) -> Iterator[None]:
    """Let root act as the owner of a file or its folder while the block runs; nothing changes for any other user, or for a file of root.

    What is made in the block belongs to the owner, who could not use it otherwise. All threads of the process act so meanwhile.
    """
    owner = owner_of(path) if os.geteuid() == 0 else 0
    if owner == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    try:
        _act_as(owner)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _act_as(owner: int) -> None:
    try:
        entry = pwd.getpwuid(owner)
        group, groups = entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)
    except KeyError:  # a user that this machine has no name for
        group, groups = owner, []
    os.setgroups(groups)
    os.setegid(group)
    os.seteuid(owner)


def open_file(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open a regular file, never through a link; returns the descriptor.

    Raises:
        OSError: a link or no regular file, or what `os.open` raises.
    """
    opened = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode)  # O_NONBLOCK: a pipe must not hold anybody up
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return opened


def make_private(path: Path) -> None:
    """Take the rights of others off a file or folder, never through a link; nothing happens where there is none.

    The content is not opened: closing a database's file would drop the locks that other connections of this process hold
    (https://www.sqlite.org/howtocorrupt.html, 2.2).

    Raises:
        OSError: it is a link, or belongs to another user.
    """
    try:
        place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        mode = os.fstat(place).st_mode
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, "a link stands in place of a file", str(path))
        if mode & 0o077:
            os.chmod(f"/proc/self/fd/{place}", mode & 0o700)  # fchmod(2) does not take a descriptor that opens nothing
    finally:
        os.close(place)
