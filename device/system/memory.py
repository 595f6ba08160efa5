"""The C library's heap, told to give large blocks back.

glibc serves blocks from 128 kB on by mapping pages, which return to the system when they are freed, but raises that limit to
the largest block it has seen freed, up to 32 MB. A network's weights are read, unpacked and rearranged at the start, and
every freed copy would stay with the process for good: 40 MB of 115 with SFace (docs/experiments-device.md).
Source: mallopt(3), M_MMAP_THRESHOLD.
"""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # malloc.h
LARGE_BYTES = 512 * 1024
WORKING_BYTES = 8 * 1024 * 1024  # a frame in full HD has 6.2 MB


def give_back_large_blocks() -> bool:
    """Fix the limit for this process; False where the C library is not glibc."""
    return _fix(LARGE_BYTES)


def keep_working_blocks() -> bool:
    """Once the models are loaded: frames and the networks' buffers come and go, and asking for their pages anew each time costs more than keeping them."""
    return _fix(WORKING_BYTES)


def _fix(limit: int) -> bool:
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(which, limit) == 1 for which in (MMAP_THRESHOLD, TRIM_THRESHOLD))
