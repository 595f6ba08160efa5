"""A Debian package of a bundle and its installer: dpkg copies the folder to the board, then runs the installer."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from device.contract import ClockfaceError
from device.maintenance.update.manifest import TARGETS, Manifest

ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}
PLACE = "usr/share/clockface"  # where the folder lies on the board
POSTINST = f'#!/bin/sh\nset -e\n[ "$1" != configure ] || sh /{PLACE}/install.sh\n'
PRERM = f'#!/bin/sh\nset -e\n[ "$1" != remove ] || sh /{PLACE}/uninstall.sh\n'
POSTRM = """#!/bin/sh
set -e
if [ "$1" = purge ]; then
    rm -rf /var/lib/clockface /var/lib/clockface-keys /etc/default/clockface
    if id clockface > /dev/null 2>&1; then userdel clockface; fi
fi
"""


class DebError(ClockfaceError):
    """The package cannot be made."""

    code = "deb"


def control(manifest: Manifest) -> str:
    """The package's control file; the version contains the build time, so newer builds sort higher, as boards require of bundles."""
    pythons = " | ".join(f"python{python}" for python in manifest.python)
    return f"""Package: clockface-{manifest.target}
Version: {manifest.version}+{manifest.built}
Architecture: {ARCHITECTURES[TARGETS[manifest.target]]}
Maintainer: Clockface <clockface@localhost>
Depends: python3, {pythons}, openssl, passwd, systemd
Recommends: chromium | chromium-browser, cage, fontconfig, fonts-noto-core, fonts-noto-cjk
Provides: clockface
Conflicts: clockface
Section: misc
Priority: optional
Description: Face attendance terminal
 Contains everything it needs and installs without a network; the data are
 in /var/lib/clockface and stay until the package is purged.
"""


def write(folder: Path, names: Sequence[str], manifest: Manifest) -> Path:
    """Pack files of a folder into a package in the same folder. The same build gives the same bytes.

    Raises:
        DebError: dpkg-deb is missing or fails.
    """
    if shutil.which("dpkg-deb") is None:
        raise DebError("--deb needs dpkg-deb: sudo apt install dpkg (or leave --deb out)")
    target = folder / f"clockface-{manifest.target}_{manifest.version}+{manifest.built}_{ARCHITECTURES[TARGETS[manifest.target]]}.deb"
    with tempfile.TemporaryDirectory(prefix=".deb-", dir=folder) as beside:
        tree = Path(beside) / "tree"
        _fill(tree, [folder / name for name in names])
        for name, text in (("control", control(manifest)), ("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)):
            place = tree / "DEBIAN" / name
            place.write_text(text, encoding="utf-8")
            place.chmod(0o644 if name == "control" else 0o755)
        for path in (*tree.rglob("*"), tree):
            os.utime(path, (manifest.built, manifest.built))
        part = Path(beside) / target.name
        command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(part)]  # wheels are compressed already
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(manifest.built)})
        if done.returncode:
            raise DebError(f"dpkg-deb: {' '.join(done.stderr.split())}")
        os.replace(part, target)
    return target


def _fill(tree: Path, files: Sequence[Path]) -> None:
    place = tree / PLACE
    for folder in (tree / "DEBIAN", place):
        folder.mkdir(parents=True)
    for path in files:
        copy = Path(shutil.copyfile(path, place / path.name))
        copy.chmod(0o644)
    for folder in (tree, *tree.rglob("*")):
        if folder.is_dir():
            folder.chmod(0o755)
