"""The terminal as a systemd service: it counts as started once the first picture was processed."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable

ALIVE = b"WATCHDOG=1\nEXTEND_TIMEOUT_USEC=60000000"  # the second line keeps systemd from ending a start that waits for its camera
START_SECONDS = 150.0  # more than the unit's own TimeoutStartSec


class Service:
    """A unit of `Type=notify`: `systemctl restart` returns once the process has called `ready`, and fails where it ends before."""

    def __init__(self, name: str) -> None:
        self.name = name

    def restart(self) -> str | None:
        """Restart the unit; None once it is healthy, else what went wrong."""
        return self._systemctl("restart")

    def stop(self) -> str | None:
        return self._systemctl("stop")

    def _systemctl(self, verb: str) -> str | None:
        try:
            done = subprocess.run(["systemctl", verb, self.name], capture_output=True, text=True, timeout=START_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"`systemctl {verb} {self.name}` failed ({error})"
        if done.returncode:
            return f"`systemctl {verb} {self.name}`: {' '.join(done.stderr.split()) or f'exit {done.returncode}'}"
        return None


def supervised() -> bool:
    """Whether systemd started this process and waits for its notifications."""
    return "NOTIFY_SOCKET" in os.environ


def ready() -> None:
    """Tell systemd that the terminal works, where systemd started this process (sd_notify(3))."""
    _notify(b"READY=1")


class Watchdog:
    """Tells systemd, at most once per second, that the terminal works: after a decision on a new frame, or an attempt to open a lost camera.

    A loop that hangs, or runs without either, sends nothing; systemd then restarts the process (`WatchdogSec` of the unit).
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, notify: Callable[[bytes], None] | None = None) -> None:
        self._monotonic, self._notify = monotonic, notify or _notify
        self._notified_at = float("-inf")
        self._last_index = -1

    def decided(self, frame_index: int) -> None:
        """A decision was made on this frame; the same frame does not count twice."""
        if frame_index != self._last_index:
            self._last_index = frame_index
            self.tried()

    def tried(self) -> None:
        """A lost camera is about to be opened again."""
        if self._monotonic() - self._notified_at >= 1.0:
            self._notified_at = self._monotonic()
            self._notify(ALIVE)


def _notify(state: bytes) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as opened:
        opened.sendto(state, "\0" + address[1:] if address.startswith("@") else address)
