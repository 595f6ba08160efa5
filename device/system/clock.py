"""What the system's clock is worth at this moment: a punch keeps it, so a wrong time can be repaired later.

A board without a battery clock starts with a plausible but wrong time until NTP has answered. Monotonic time and the
boot id tell how far apart two punches of one boot really were, whatever the wall clock said.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
LARGEST_ERROR_US = 16_000_000  # the kernel's figure for "nobody has set this clock" (NTP_PHASE_LIMIT)


@dataclass(frozen=True)
class ClockState:
    synchronised: bool  # a time server has set the wall clock since the start
    boot_id: str  # the same for all punches between two starts of the board; "unknown" where the system has none
    monotonic_ms: int  # since that start, counts on during suspend


def to_ms(seconds: float) -> int:
    """Times as the store keeps them: whole ms, the nearest."""
    return round(seconds * 1000)


class _Timex(ctypes.Structure):
    """The head of `struct timex` (adjtimex(2)); the kernel fills the rest into the spare room."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # us
        ("spare", ctypes.c_byte * 256),
    ]


def kernel_error_us() -> int:
    """The largest error of the wall clock the kernel knows of, in us; adjtimex(2) with nothing to set.

    Raises:
        OSError, AttributeError: the system has no such call.
    """
    state = _Timex(modes=0)
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state)) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex failed")
    return int(state.maxerror)


def why_silent(error_us: Callable[[], int] = kernel_error_us) -> str | None:
    """Why the system does not say whether its clock is set, as behind a filter of system calls; None where it does."""
    try:
        error_us()
    except (OSError, AttributeError) as error:
        return str(error)
    return None


def read_clock_state(error_us: Callable[[], int] = kernel_error_us, boot_id_file: Path = BOOT_ID_FILE) -> ClockState:
    """Ask the system. Never raises: what cannot be asked counts as not synchronised, and as boot id "unknown".

    Synchronised means what `timedatectl` calls so, whichever daemon keeps the time (timesyncd, chrony, ntpd): the
    kernel's largest error lies below its limit. It grows past the limit some hours after the last answer of a server.
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
