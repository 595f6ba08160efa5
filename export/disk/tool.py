"""The programs that read and change disk images: they come with every Debian, or one package away."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from device.contract import ClockfaceError

PACKAGES = {  # program -> its Debian package
    "sfdisk": "fdisk", "lsblk": "util-linux", "debugfs": "e2fsprogs", "dumpe2fs": "e2fsprogs", "e2fsck": "e2fsprogs", "mke2fs": "e2fsprogs",
    "resize2fs": "e2fsprogs", "mcopy": "mtools", "mmd": "mtools",
}  # fmt: skip
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not in everybody's PATH


class DiskImageError(ClockfaceError):
    """A disk image cannot be made; no image was written."""

    code = "disk_image"


def call(*words: str, feed: str | None = None, accepted: Sequence[int] = (0,)) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end.

    Args:
        feed: its standard input.
        accepted: exit codes that are no failure.

    Raises:
        DiskImageError: it is not installed or fails.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN])
    program = shutil.which(words[0], path=path)
    if program is None:
        raise DiskImageError(f"{words[0]} is missing: sudo apt install {PACKAGES[words[0]]}", code="disk_image.tool")
    done = subprocess.run([program, *words[1:]], input=(feed or "").encode(), capture_output=True, env={**os.environ, "LC_ALL": "C", "PATH": path})
    if done.returncode not in accepted:
        said = " ".join((done.stderr or done.stdout).decode(errors="replace").split())
        raise DiskImageError(f"{words[0]} failed with {done.returncode}: {said[-400:]}", code="disk_image.tool")
    return done
