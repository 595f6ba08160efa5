"""The Python environment of a release, made without a network from the wheels of its bundle.

The standard library only: the installer of a new board runs this file before there is any environment.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

WHEELS, REQUIREMENTS = "wheels", "requirements"  # folders in the bundle; a file REQUIREMENTS/3.11.txt pins each wheel by its hash
COMPLETE = ".complete"  # marks an environment once all of it is on the disk
BOARD_PACKAGES = ("rpi", "jetson")  # targets whose own packages (picamera2, TensorRT) the terminal may use


class CannotMake(Exception):
    """The environment cannot be made; the message gives the reason."""


def provide(root: Path, wheels: Path, requirements: Path, target: str, sync_tree: Callable[[Path], None]) -> str:
    """Make the environment for this Python below `root` if it is missing. Returns its name in `root/environments`.

    Releases with the same target, Python and pins share one.

    Raises:
        CannotMake: no pins for this Python, or a wheel is missing or is not the one pinned.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    pins = requirements / f"{version}.txt"
    if not pins.is_file():
        raise CannotMake(f"the bundle has no wheels for Python {version}")
    name = f"{version}-{hashlib.sha256(target.encode() + pins.read_bytes()).hexdigest()[:12]}"
    folder = root / "environments" / name
    if not (folder / COMPLETE).exists():
        shutil.rmtree(folder, ignore_errors=True)  # left by a call that was killed
        _make(folder, wheels, pins, target in BOARD_PACKAGES)
        sync_tree(folder)
        (folder / COMPLETE).touch()
        sync_tree(folder)
    return name


def _make(folder: Path, wheels: Path, pins: Path, board_packages: bool) -> None:
    """Make the environment with the pip of the bundle, so that the system needs no ensurepip."""
    pip = next(wheels.glob("pip-*.whl"), None)
    if pip is None:
        raise CannotMake("the bundle has wheels, but not that of pip")
    access = ["--system-site-packages"] if board_packages else []
    offline = ["--no-index", "--find-links", str(wheels), "--require-hashes", "--no-cache-dir", "--disable-pip-version-check", "--quiet"]
    # Installed even where the system has the package: a system's update must not change what a release runs with.
    for command in (
        [sys.executable, "-m", "venv", "--without-pip", *access, str(folder)],
        [str(folder / "bin/python3"), f"{pip}/pip", "install", "--ignore-installed", *offline, "-r", str(pins)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
            raise CannotMake(" ".join(lines))
