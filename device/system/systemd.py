"""The terminal as a systemd service: started means that the first picture has gone through it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable

ALIVE = b"WATCHDOG=1\nEXTEND_TIMEOUT_USEC=60000000"  # the second line: a start that waits for its camera is not given up
START_SECONDS = 150.0  # more than the unit's own TimeoutStartSec


class Service:
    """A unit of `Type=notify`: `systemctl restart` returns once `ready` was said, and fails where the process ends before."""

    def __init__(self, name: str) -> None:
        self.name = name

    def restart(self) -> str | None:
        """Start it anew; None once it is healthy, else what went wrong."""
        return self._systemctl("restart")

    def stop(self) -> str | None:
        return self._systemctl("stop")

    def _systemctl(self, verb: str) -> str | None:
        try:
            done = subprocess.run(["systemctl", verb, self.name], capture_output=True, text=True, timeout=START_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"`systemctl {verb} {self.name}` does not end well ({error})"
        if done.returncode:
            return f"`systemctl {verb} {self.name}`: {' '.join(done.stderr.split()) or f'exit {done.returncode}'}"
        return None


def supervised() -> bool:
    """Whether systemd started this process and waits for its word."""
    return "NOTIFY_SOCKET" in os.environ


def ready() -> None:
    """Tell systemd, where it started this process, that the terminal works (sd_notify(3))."""
    _notify(b"READY=1")


class Watchdog:
    """Tells systemd that the terminal lives, at most every second: of a new frame that was decided on, or of a try to open a lost camera.

    A loop that hangs, or turns without either, is silent; systemd then starts the process again (`WatchdogSec` of the unit).
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, notify: Callable[[bytes], None] | None = None) -> None:
        self._monotonic, self._notify = monotonic, notify or _notify
        self._fed_at = float("-inf")
        self._decided = -1

    def decided(self, frame_index: int) -> None:
        """A decision was made on this frame; the same frame does not count twice."""
        if frame_index != self._decided:
            self._decided = frame_index
            self.tried()

    def tried(self) -> None:
        if self._monotonic() - self._fed_at >= 1.0:
            self._fed_at = self._monotonic()
            self._notify(ALIVE)


def _notify(state: bytes) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as opened:
        opened.sendto(state, "\0" + address[1:] if address.startswith("@") else address)
