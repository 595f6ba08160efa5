"""How far the system clock can be trusted at this moment: each punch stores this, so that a wrong time can be repaired later.

A board without a battery clock starts with a plausible but wrong time until NTP has answered. Monotonic time and the
boot id show how far apart two punches of one boot really were, whatever the wall clock showed.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
LARGEST_ERROR_US = 16_000_000  # the kernel's value for a clock that is not synchronised (NTP_PHASE_LIMIT)


@dataclass(frozen=True)
class ClockState:
    synchronised: bool  # a time server has set the wall clock since the board started
    boot_id: str  # the same for all punches between two starts of the board; "unknown" where the system has none
    monotonic_ms: int  # since that start, including time in suspend


def to_ms(seconds: float) -> int:
    """A time in s as the store keeps it: rounded to whole ms."""
    return round(seconds * 1000)


class _Timex(ctypes.Structure):
    """The first fields of `struct timex` (adjtimex(2)); the kernel writes the others into `spare`."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # us
        ("spare", ctypes.c_byte * 256),
    ]


def kernel_error_us() -> int:
    """The kernel's estimate of the wall clock's maximum error, in us; adjtimex(2) without setting anything.

    Raises:
        OSError, AttributeError: the system has no such call.
    """
    state = _Timex(modes=0)
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state)) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex failed")
    return int(state.maxerror)


def why_silent(error_us: Callable[[], int] = kernel_error_us) -> str | None:
    """Why the system cannot tell whether its clock is synchronised, such as a filter of system calls; None where it can."""
    try:
        error_us()
    except (OSError, AttributeError) as error:
        return str(error)
    return None


def read_clock_state(error_us: Callable[[], int] = kernel_error_us, boot_id_file: Path = BOOT_ID_FILE) -> ClockState:
    """Read the clock's state. Never raises: without an answer the clock counts as not synchronised, and the boot id as "unknown".

    "Synchronised" has the same meaning as in `timedatectl`, whichever daemon keeps the time (timesyncd, chrony, ntpd):
    the kernel's maximum error is below its limit. It exceeds the limit some hours after a server's last answer.
    """
    try:
        synchronised = 0 <= error_us() < LARGEST_ERROR_US
    except (OSError, AttributeError):
        synchronised = False
    try:
        boot_id = boot_id_file.read_text(encoding="ascii").strip() or "unknown"
    except (OSError, UnicodeDecodeError):
        boot_id = "unknown"
    return ClockState(synchronised, boot_id, int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000))


def iso_utc(seconds: float) -> str:
    """A time (s since the epoch) as ISO 8601 in UTC with ms: 2026-11-24T08:31:05.123Z."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
