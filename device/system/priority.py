"""The priority of a thread."""

from __future__ import annotations

import os
import threading

LOW = 10  # niceness: a tenth of a processor that another thread wants as well. The least, 19, would never end beside another program that takes all there is.


def yield_to_others() -> None:
    """Let this thread, and the threads it starts, have little of the processor where others want it; on Linux niceness belongs to a thread (sched(7))."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), max(LOW, os.getpriority(os.PRIO_PROCESS, 0)))
