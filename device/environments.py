"""The Python environment of a release: made without a network from the bundle's wheels, or the one the updater runs in."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from device.manifest import BundleError, Manifest
from device.releases import Installation

WHEELS, REQUIREMENTS = "wheels", "requirements"  # folders in the bundle; a file REQUIREMENTS/3.11.txt pins each wheel by its hash
COMPLETE = ".complete"  # stands in an environment once all of it is on the disk
BOARD_PACKAGES = ("rpi", "jetson")  # targets whose own packages (picamera2, TensorRT) the terminal may use


def provide(release: Path, manifest: Manifest, installation: Installation) -> None:
    """Link `.venv` of a staged release to its environment; the wheels are not kept.

    Raises:
        BundleError: an environment cannot be made here.
    """
    if not manifest.python:
        (release / ".venv").symlink_to(Path(sys.prefix).resolve())
        return
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    pins = release / REQUIREMENTS / f"{version}.txt"
    name = f"{version}-{hashlib.sha256(manifest.target.encode() + pins.read_bytes()).hexdigest()[:12]}"
    folder = installation.root / "environments" / name
    if not (folder / COMPLETE).exists():
        shutil.rmtree(folder, ignore_errors=True)
        _make(folder, release / WHEELS, pins, manifest.target in BOARD_PACKAGES)
        installation.disk.sync_tree(folder)
        (folder / COMPLETE).touch()
        installation.disk.sync(folder / COMPLETE)
        installation.disk.sync(folder)
    shutil.rmtree(release / WHEELS)
    (release / ".venv").symlink_to(f"../../environments/{name}")


def _make(folder: Path, wheels: Path, pins: Path, board_packages: bool) -> None:
    """pip comes from the bundle too, so a system without ensurepip will do."""
    pip = next(wheels.glob("pip-*.whl"), None)
    if pip is None:
        raise BundleError("bundle: has wheels but not pip's; build it again with `python -m export bundle`")
    access = ["--system-site-packages"] if board_packages else []
    offline = ["--no-index", "--find-links", str(wheels), "--require-hashes", "--no-cache-dir", "--no-compile", "--disable-pip-version-check", "--quiet"]
    for command in (
        [sys.executable, "-m", "venv", "--without-pip", *access, str(folder)],
        [str(folder / "bin/python3"), f"{pip}/pip", "install", *offline, "-r", str(pins)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise BundleError(f"bundle: its Python environment cannot be made ({' '.join(words)})")
