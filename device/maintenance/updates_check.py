"""The check of the system's own packages: whether Debian installs its security updates by itself. Nothing is changed, and no choice is a fault."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from device.maintenance.database_check import Finding

PROGRAM = "unattended-upgrade"  # of the package unattended-upgrades, which reads the setting
SETTING = re.compile(r'^APT::Periodic::(Enable|Unattended-Upgrade) "([^"]*)";$', re.MULTILINE)
APT_SECONDS, KNOWN_SECONDS = 20, 600
WORDS = {
    "on": "Debian installs its security updates by itself",
    "off": "Debian installs no security updates by itself; `sudo apt install unattended-upgrades`, or `sudo apt full-upgrade` now and then",
    "unknown": "not known: this system has no apt",
}

SystemUpdates = Literal["on", "off", "unknown"]


def dumped() -> str | None:
    """What `apt-config dump` prints; None where it cannot be asked."""
    if (tool := shutil.which("apt-config")) is None:
        return None
    try:
        return subprocess.run([tool, "dump"], capture_output=True, text=True, timeout=APT_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def security_updates(dump: Callable[[], str | None] = dumped, program: bool | None = None) -> SystemUpdates:
    """Args:
    program: whether what installs them is there; None: look.
    """
    if (found := dump()) is None:
        return "unknown"
    values = {"Enable": "1", **dict(SETTING.findall(found))}
    there = shutil.which(PROGRAM) is not None if program is None else program
    return "on" if there and all(values.get(name, "0") not in ("", "0") for name in ("Enable", "Unattended-Upgrade")) else "off"


def known_updates() -> SystemUpdates:
    """The same for a page that is read again and again: asked every ten minutes."""
    return _asked(int(time.time() // KNOWN_SECONDS))


@lru_cache(maxsize=1)
def _asked(when: int) -> SystemUpdates:
    return security_updates()


def check_updates(found: SystemUpdates | None = None) -> Finding:
    return Finding("updates", "ok", WORDS[found or security_updates()])
