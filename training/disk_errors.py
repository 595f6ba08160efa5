"""What a disk refuses, as a sentence: no room, or a place that may not be written."""

from __future__ import annotations

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def sentence(error: OSError) -> str:
    """What to do about it; empty where the error is of another kind."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in FULL:
        return f"{where}{error.strerror}; nothing half written is used: free some room, or name another place, and run the command again"
    if error.errno in CLOSED:
        return f"{where}{error.strerror}; name a place that this user may read and write"
    return ""
