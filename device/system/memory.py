"""Settings of the C library's heap, so that large freed blocks return to the system.

glibc allocates blocks from 128 kB on by mapping pages, which return to the system when they are freed, but raises that limit to
the size of the largest block freed so far, up to 32 MB. A network's weights are read, unpacked and rearranged at the start, and
every freed copy would stay with the process for good: 40 MB of 115 with SFace (docs/experiments-device.md).
Source: mallopt(3), M_MMAP_THRESHOLD.
"""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # malloc.h
LARGE_BYTES = 512 * 1024
WORKING_BYTES = 8 * 1024 * 1024  # a full HD frame takes 6.2 MB


def give_back_large_blocks() -> bool:
    """Return blocks from LARGE_BYTES on to the system when they are freed; False where the C library is not glibc."""
    return _fix(LARGE_BYTES)


def keep_working_blocks() -> bool:
    """Keep freed blocks up to WORKING_BYTES, once the models are loaded: mapping new pages for each frame and buffer costs more than keeping them."""
    return _fix(WORKING_BYTES)


def _fix(limit: int) -> bool:
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(which, limit) == 1 for which in (MMAP_THRESHOLD, TRIM_THRESHOLD))
