"""What a base image is, read from its root file system: the system, its machine, its packages, where its boot partition is mounted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from device.maintenance.update.manifest import TARGETS, Manifest
from export.disk.ext4 import Ext4
from export.disk.tool import DiskImageError

MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}  # Debian's name -> the kernel's
SCREEN = ("cage", "xwayland", "chromium", "fontconfig", "fonts-noto-core", "fonts-noto-cjk")  # image/screen.sh fetches the same
BROWSERS = ("chromium", "chromium-browser")
NEEDED = ("openssl", "fdisk", "systemd", "udev")  # by install.sh and first-start.sh


@dataclass(frozen=True)
class Base:
    """Facts of a base image."""

    title: str  # such as Debian GNU/Linux 12 (bookworm)
    system: str  # such as debian
    machine: str  # aarch64 or x86_64
    packages: frozenset[str]
    fstab: str
    boot: str  # where the FAT partition is mounted, such as /boot/firmware; /boot without one

    @property
    def has_screen(self) -> bool:
        return "cage" in self.packages and any(name in self.packages for name in BROWSERS)

    @property
    def pythons(self) -> list[str]:
        return sorted(name.removeprefix("python") for name in self.packages if re.fullmatch(r"python3\.\d+", name))

    def check(self, manifest: Manifest) -> None:
        """Raises: DiskImageError: the bundle is for another machine or Python, or the base lacks a package."""
        wanted = TARGETS[manifest.target]
        if wanted != self.machine:
            raise DiskImageError(f"the base is for {self.machine}, the bundle for {wanted or 'no board'}: make one with --target", code="disk_image.machine")
        if missing := [name for name in NEEDED if name not in self.packages]:
            raise DiskImageError(f"the base lacks {', '.join(missing)}; take a base with it, such as Raspberry Pi OS Lite", code="disk_image.base")
        if not set(self.pythons) & set(manifest.python):
            has, brings = ", ".join(self.pythons) or "none", ", ".join(manifest.python)
            message = f"the bundle has wheels for Python {brings}, the base has {has}; leave --python out of `export bundle`"
            raise DiskImageError(message, code="disk_image.python")


def read_base(root: Ext4) -> Base:
    """Read the facts.

    Raises:
        DiskImageError: no Debian, Ubuntu or Raspberry Pi OS.
    """
    release, status, fstab = (root.read(place) for place in ("/usr/lib/os-release", "/var/lib/dpkg/status", "/etc/fstab"))
    if release is None or status is None or fstab is None:
        raise DiskImageError("the base has no root file system of Debian, Ubuntu or Raspberry Pi OS", code="disk_image.base")
    facts = dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', release.decode(errors="replace"), re.MULTILINE))
    paragraphs = status.decode(errors="replace").split("\n\n")
    installed = [paragraph for paragraph in paragraphs if "\nStatus: install ok installed\n" in paragraph]
    names = frozenset(paragraph.partition("Package: ")[2].partition("\n")[0] for paragraph in installed)
    architectures = {found[1] for paragraph in installed if (found := re.search(r"^Architecture: (arm64|amd64)$", paragraph, re.MULTILINE))}
    machine = MACHINES[architectures.pop()] if len(architectures) == 1 else "another machine"
    table = fstab.decode(errors="replace")
    found = re.search(r"^[^#\s]+\s+(/boot\S*)\s+vfat\s", table, re.MULTILINE)
    return Base(facts.get("PRETTY_NAME", "unknown"), facts.get("ID", ""), machine, names, table, found[1] if found else "/boot")
