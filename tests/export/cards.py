"""A small base image and a small signed bundle, so that images are made in seconds: a FAT boot partition and an ext4 root, as on a Raspberry Pi's card."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.maintenance.update.manifest import Manifest
from export.bundle import listed, write, write_installer

MIB = 1 << 20
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
HOST_KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nthe base's own, published with it\n"
MACHINE_ID = b"0123456789abcdef0123456789abcdef\n"
CMDLINE = "console=tty1 root=PARTUUID=70a5c1f0-02 rootfstype=ext4 quiet init=/usr/lib/raspberrypi-sys-mods/firstboot resize\n"
RADIO_OFF = b"[main]\nWirelessEnabled=false\n"  # as Raspberry Pi OS is published
FSTAB = "PARTUUID=70a5c1f0-01 /boot/firmware vfat defaults 0 2\nPARTUUID=70a5c1f0-02 / ext4 defaults,noatime 0 1\n"
PACKAGES = ("openssl", "fdisk", "systemd", "udev", "python3.11")


def tool(*words: str, feed: str = "") -> str:
    """Output of a program, for setting up and for looking at results without the code under test."""
    return subprocess.run(words, input=feed, capture_output=True, text=True, check=True, env={**os.environ, "PATH": PATH, "LC_ALL": "C"}).stdout


def make_base(folder: Path, packages: Sequence[str] = PACKAGES) -> Path:
    """A base of 41 MiB with an MBR; its hash lies beside it."""
    root, image = folder / "root", folder / "base.img"
    files = {
        "usr/lib/os-release": b'PRETTY_NAME="Raspberry Pi OS"\nID=debian\n', "etc/fstab": FSTAB.encode(), "etc/machine-id": MACHINE_ID,
        "etc/ssh/ssh_host_ed25519_key": HOST_KEY, "etc/ssh/sshd_config": b"# the base's\n", "usr/share/zoneinfo/Europe/Berlin": b"TZif",
        "usr/lib/systemd/system/userconfig.service": b"[Unit]\n", "usr/lib/systemd/system/ssh.service": b"[Unit]\n",
        "etc/cloud/cloud.cfg.d/x.cfg": b"\n", "etc/NetworkManager/system-connections/.keep": b"",
        "usr/share/zoneinfo/zone.tab": b"# of tzdata\nDE\t+5230+01322\tEurope/Berlin\tmost of Germany\nAR\t-3436-05827\tAmerica/Argentina/Buenos_Aires\n",
        "var/lib/NetworkManager/NetworkManager.state": RADIO_OFF, "var/lib/systemd/rfkill/platform-fe300000.mmcnr:wlan": b"1\n",
        "var/lib/systemd/rfkill/platform-soc:bluetooth": b"0\n",
        "var/lib/dpkg/status": "\n\n".join(f"Package: {name}\nStatus: install ok installed\nArchitecture: arm64" for name in packages).encode() + b"\n",
    }  # fmt: skip
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    tool("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(folder / "ext4"), "32M")
    (folder / "fat").write_bytes(b"")
    os.truncate(folder / "fat", 8 * MIB)
    tool("mformat", "-i", str(folder / "fat"), "-v", "BOOT", "::")
    tool("mcopy", "-i", str(folder / "fat"), "-", "::cmdline.txt", feed=CMDLINE)
    with image.open("wb") as file:
        file.truncate(41 * MIB)
        for at, part in ((1, "fat"), (9, "ext4")):
            file.seek(at * MIB)
            file.write((folder / part).read_bytes())
    table = f"label: dos\nlabel-id: 0x70a5c1f0\nstart=2048, size={8 * 2048}, type=c\nstart={9 * 2048}, size={32 * 2048}, type=83\n"
    tool("sfdisk", "--quiet", str(image), feed=table)
    image.with_name("base.img.sha256").write_text(f"{hashlib.sha256(image.read_bytes()).hexdigest()}  base.img\n")
    return image


def make_bundle(folder: Path, key: Ed25519PrivateKey) -> Path:
    """A signed bundle for a Raspberry Pi with one file in it, its installer beside it."""
    contents: dict[str, bytes | Path] = {"clockface": b"#!/bin/sh\n"}
    write(folder / "small.bundle", Manifest("0.1.0", 1, "test", "rpi", ("3.11",), 1, listed(contents)), contents, [key])
    write_installer(folder, [key])
    return folder
