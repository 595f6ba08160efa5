"""The terminal as a systemd service: started means that the first picture has gone through it."""

from __future__ import annotations

import os
import socket
import subprocess

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


def ready() -> None:
    """Tell systemd, where it started this process, that the terminal works (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as opened:
        opened.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)
