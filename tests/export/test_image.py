"""Images: what goes in is there and sound, nothing secret is, the base stays as it was, and what cannot work is refused."""

from __future__ import annotations

import hashlib
import json
import lzma
import mmap
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from export.__main__ import main
from export.bundle import PACKAGING, ROOT
from export.disk.base import SCREEN
from export.disk.block_map import read_map
from export.disk.contents import ImageOptions, boot_line
from export.disk.ext4 import Placed
from export.disk.table import MIB, read_table
from export.image import checked_base, site_settings, verified_bundle
from tests.export.cards import CMDLINE, HOST_KEY, MACHINE_ID, PACKAGES, PATH, make_base, make_bundle, tool
from tests.refused import refused

TOOLS = ("sfdisk", "debugfs", "mke2fs", "mcopy", "mformat")
pytestmark = pytest.mark.skipif(not all(shutil.which(name, path=PATH) for name in TOOLS), reason="needs fdisk, e2fsprogs and mtools")
SMALL = ("--root-free", "16", "--data-step", "16")  # MiB
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHXy technician@office\n"
SETTINGS = "[decision]\nagree = 3\n\n[store]\ncopy_hours = 12\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cards")


@pytest.fixture(scope="module")
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def base(place: Path) -> Path:
    return make_base(place)


@pytest.fixture(scope="module")
def bundle(place: Path, key: Ed25519PrivateKey) -> Path:
    return make_bundle(place / "bundle", key)


@pytest.fixture(scope="module")
def image(place: Path, base: Path, bundle: Path) -> Path:
    (place / "site.toml").write_text(SETTINGS)
    (place / "id.pub").write_text(SSH_KEY)
    out = place / "terminal.img"
    options = ["--keyboard", "de", "--zone", "Europe/Berlin", "--camera", "rtsp://camera/1", "--name", "gate", "--ssh-key", str(place / "id.pub")]
    options += ["--security-updates", "off"]
    assert main(["image", str(base), "--bundle", str(bundle), "--out", str(out), "--config", str(place / "site.toml"), *options, *SMALL]) == 0
    return out


@pytest.fixture(scope="module")
def parts(image: Path, place: Path) -> dict[int, Path]:
    """Number of a partition -> a file with it, cut out by what sfdisk says."""
    found = {}
    for number, entry in enumerate(json.loads(tool("sfdisk", "--json", str(image)))["partitiontable"]["partitions"], 1):
        found[number] = place / f"part{number}"
        with image.open("rb") as file, found[number].open("wb") as part:
            file.seek(entry["start"] * 512)
            shutil.copyfileobj(_Limited(file, entry["size"] * 512), part)
    return found


def sha256sum(path: Path) -> str:
    return tool("sha256sum", str(path)).split()[0]


class _Limited:
    def __init__(self, file: object, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        block: bytes = self._file.read(min(size, self._left))  # type: ignore[attr-defined]
        self._left -= len(block)
        return block


def shown(part: Path, place: str) -> str:
    return tool("debugfs", "-R", f"cat {place}", str(part))


def test_the_image_is_whole_and_the_base_untouched(image: Path, base: Path, parts: dict[int, Path]) -> None:
    assert hashlib.sha256(base.read_bytes()).hexdigest() == base.with_name("base.img.sha256").read_text().split()[0]
    assert sha256sum(image) == image.with_name("terminal.img.sha256").read_text().split()[0]
    for number in (2, 3):
        tool("e2fsck", "-f", "-n", str(parts[number]))
    boot, root, data = read_table(image).partitions
    assert (boot.start, root.start) == (1 * MIB, 9 * MIB) and root.end == data.start == 48 * MIB and data.size == 512 * MIB
    assert [path.name for path in image.parent.iterdir() if path.name.startswith(".")] == []


def test_what_a_terminal_needs_is_in_the_root(parts: dict[int, Path], bundle: Path) -> None:
    root = parts[2]
    assert shown(root, "/etc/default/clockface") == "CLOCKFACE_SOURCE=rtsp://camera/1\n"
    assert shown(root, "/etc/timezone") == "Europe/Berlin\n" and 'XKBLAYOUT="de"' in shown(root, "/etc/default/keyboard")
    assert "RuntimeWatchdogSec=15s" in shown(root, "/etc/systemd/system.conf.d/80-clockface.conf")
    assert shown(root, "/etc/apt/apt.conf.d/20auto-upgrades") == 'APT::Periodic::Update-Package-Lists "0";\nAPT::Periodic::Unattended-Upgrade "0";\n'
    assert "SystemMaxUse=" in shown(root, "/etc/systemd/journald.conf.d/clockface.conf")
    assert "NAME=gate\nBOOT=/boot/firmware/clockface\nREAD_ONLY=no\nAPART=yes\n" in shown(root, "/usr/share/clockface/image.env")
    for link, target in (
        ("/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin"), ("/etc/systemd/system/userconfig.service", "/dev/null"),
        ("/etc/systemd/system/multi-user.target.wants/clockface-first-start.service", "../clockface-first-start.service"),
        ("/etc/systemd/system/multi-user.target.wants/clockface-screen.service", "../clockface-screen.service"),
    ):  # fmt: skip
        assert f'Fast link dest: "{target}"' in tool("debugfs", "-R", f"stat {link}", str(root))
    assert shown(root, "/root/.ssh/authorized_keys") == SSH_KEY and "Mode:  0600" in tool("debugfs", "-R", "stat /root/.ssh/authorized_keys", str(root))
    assert re.search(r"User:\s+0\s+Group:\s+0 .*Size: ", tool("debugfs", "-R", "stat /usr/share/clockface/install.sh", str(root)))
    dumped = root.with_name("dumped")
    tool("debugfs", "-R", f"dump /usr/share/clockface/small.bundle {dumped}", str(root))
    assert dumped.read_bytes() == (bundle / "small.bundle").read_bytes()


def test_the_wifi_is_on_under_the_rules_of_the_country(parts: dict[int, Path]) -> None:
    """Raspberry Pi OS leaves it off until a country is set; the zone says which."""
    root = parts[2]
    assert shown(root, "/etc/modprobe.d/clockface-wifi.conf") == "options cfg80211 ieee80211_regdom=DE\n"
    assert shown(root, "/var/lib/NetworkManager/NetworkManager.state") == "[main]\nWirelessEnabled=true\n"
    assert "platform-soc:bluetooth" in (radios := tool("debugfs", "-R", "ls /var/lib/systemd/rfkill", str(root))) and "wlan" not in radios


@pytest.mark.parametrize(("more", "on"), [([], False), (["--zone", "Europe/Berlin"], True), (["--country", "AR"], True)], ids=["no place", "zone", "country"])
def test_wifi_that_stays_off_is_said(base: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], on: bool) -> None:
    words = ["image", str(base), "--bundle", str(bundle), "--out", str(tmp_path / "x.img"), "--dry-run", *SMALL]
    assert main([*words, *more]) == 0
    said = capsys.readouterr().out
    assert ("THE WI-FI STAYS OFF" in said) is not on and ("clockface-wifi.conf" in said) is on


def test_the_data_partition_is_mounted_by_the_table_entry_that_it_has(image: Path, parts: dict[int, Path]) -> None:
    mounts = [line.split() for line in shown(parts[2], "/etc/fstab").splitlines() if "clockface" in line and not line.startswith("#")]
    assert mounts[0][:3] == ["PARTUUID=70a5c1f0-03", "/srv/clockface", "ext4"]
    seen = {line[0]: line[1] for line in mounts[1:]}
    assert seen["/srv/clockface/keys"] == "/var/lib/clockface-keys" and seen["/srv/clockface/network"] == "/etc/NetworkManager/system-connections"
    for source, target in seen.items():
        assert "Type: directory" in tool("debugfs", "-R", f"stat {source.removeprefix('/srv/clockface')}", str(parts[3]))
        assert "Type: directory" in tool("debugfs", "-R", f"stat {target}", str(parts[2]))
    assert "Mode:  0700" in tool("debugfs", "-R", "stat /keys", str(parts[3]))


def test_the_boot_partition_has_the_settings_and_does_not_grow_the_root(parts: dict[int, Path]) -> None:
    line = tool("mcopy", "-n", "-i", str(parts[1]), "::cmdline.txt", "-")
    assert line == CMDLINE.replace(" init=/usr/lib/raspberrypi-sys-mods/firstboot resize", "")
    settings = tool("mcopy", "-n", "-i", str(parts[1]), "::clockface/clockface.toml", "-")
    assert settings == '[decision]\nagree = 3\n\n[store]\npath = "/var/lib/clockface/clockface.db"\ncopy_hours = 12\n'
    assert shown(parts[2], "/usr/share/clockface/clockface.toml") == settings


def test_nothing_secret_or_of_one_board_alone_is_in_the_image(image: Path, parts: dict[int, Path], key: Ed25519PrivateKey) -> None:
    with image.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    body = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).splitlines()[1]
    assert data.find(b"Raspberry Pi OS") > 0
    for secret in (private, private.hex().encode(), body, HOST_KEY, b"PRIVATE KEY", MACHINE_ID.strip()):  # free space included: deleted files are gone
        assert data.find(secret) == -1
    assert shown(parts[2], "/etc/machine-id") == ""
    for folder in ("data", "keys", "inbox", "opt", "kept", "network"):
        names = tool("debugfs", "-R", f"ls -p /{folder}", str(parts[3])).split("\n")
        assert {line.split("/")[5] for line in names if line.count("/") > 5} == {".", ".."}


def test_the_map_leads_to_a_sound_card_whatever_was_on_it(image: Path, tmp_path: Path) -> None:
    tree = ElementTree.parse(image.with_name("terminal.img.bmap")).getroot()
    card = tmp_path / "card"
    mapped = 0
    with card.open("wb") as file, image.open("rb") as source:
        file.truncate(image.stat().st_size)
        for at in (12, 50, 100, 500):  # in both file systems
            file.seek(at * MIB)
            file.write(b"old" * MIB)
        for entry in tree.iter("Range"):
            first, last = map(int, (entry.text or "").split("-"))
            source.seek(first * 4096)
            block = source.read((last - first + 1) * 4096)
            assert hashlib.sha256(block).hexdigest() == entry.get("chksum")
            mapped += last - first + 1
            file.seek(first * 4096)
            file.write(block)
    assert mapped == int(tree.findtext("MappedBlocksCount", "")) and mapped * 4096 < 64 * MIB
    for part in read_table(card).partitions[1:]:
        cut = tmp_path / "cut"
        with card.open("rb") as file, cut.open("wb") as target:
            file.seek(part.start)
            shutil.copyfileobj(_Limited(file, part.size), target)
        tool("e2fsck", "-f", "-n", str(cut))
    if shutil.which("bmaptool"):
        tool("bmaptool", "copy", str(image), str(tmp_path / "copied"))
        assert os.stat(tmp_path / "copied").st_size == image.stat().st_size


def test_a_map_that_was_changed_is_refused(image: Path, tmp_path: Path) -> None:
    whole = image.with_name("terminal.img.bmap").read_bytes()
    assert read_map(image.with_name("terminal.img.bmap")).to_xml() == whole
    changed = tmp_path / "x.bmap"
    for data in (whole.replace(b"<BlockSize> 4096", b"<BlockSize> 512"), whole[:-20], b"", whole.replace(b"0-", b"1-", 1)):
        changed.write_bytes(data)
        with refused("disk_image.map", "x.bmap"):
            read_map(changed)


def test_dry_run_and_refusals_write_nothing(base: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["image", str(base), "--bundle", str(bundle), "--out", str(tmp_path / "x.img"), *SMALL]
    assert main([*words, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "/etc/ssh/ssh_host_ed25519_key" in said and "THE NETWORK IS NEEDED" in said and all(name in said for name in SCREEN)
    for more, told in ((["--read-only"], "--no-screen"), (["--zone", "Mars/Olympus"], "Europe/Berlin"), (["--sha256", "0" * 64], "fetch it again")):
        assert main([*words, *more]) == 1
        assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_packed_base_and_one_with_its_own_screen(place: Path, base: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = make_base(tmp_path, (*PACKAGES, "cage", "chromium"))
    packed = tmp_path / "base.img.xz"
    packed.write_bytes(lzma.compress(other.read_bytes(), preset=0))
    words = ["image", str(packed), "--bundle", str(bundle), "--out", str(tmp_path / "x.img"), "--sha256", hashlib.sha256(packed.read_bytes()).hexdigest()]
    assert main([*words, *SMALL, "--read-only", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "the base's own cage and Chromium" in said and "NETWORK" not in said and "the root becomes read-only" in said


def test_a_root_without_a_table_is_an_image_without_a_data_partition(place: Path, base: Path, bundle: Path, tmp_path: Path) -> None:
    """As a Jetson's: NVIDIA's tool writes the root file system into a partition of its own."""
    rootfs, out = place / "ext4", tmp_path / "root.img"
    digest = hashlib.sha256(rootfs.read_bytes()).hexdigest()
    assert main(["image", str(rootfs), "--bundle", str(bundle), "--out", str(out), "--sha256", digest, "--root-free", "64", "--no-screen"]) == 0
    tool("e2fsck", "-f", "-n", str(out))
    assert "APART=no" in shown(out, "/usr/share/clockface/image.env") and "srv" not in shown(out, "/etc/fstab")
    assert out.stat().st_size > rootfs.stat().st_size and HOST_KEY not in out.read_bytes()


def test_a_base_that_cannot_work_is_refused(base: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for packages, told in ((("openssl", "fdisk", "systemd", "udev", "python3.9"), "3.9"), (("openssl", "systemd", "udev", "python3.11"), "fdisk")):
        other = make_base(tmp_path, packages)
        assert main(["image", str(other), "--bundle", str(bundle), "--out", str(tmp_path / "x.img")]) == 1
        assert told in capsys.readouterr().err
    (tmp_path / "text").write_text("no image\n" * 1000)
    digest = hashlib.sha256((tmp_path / "text").read_bytes()).hexdigest()
    assert main(["image", str(tmp_path / "text"), "--bundle", str(bundle), "--out", str(tmp_path / "x.img"), "--sha256", digest]) == 1
    assert "no disk image" in capsys.readouterr().err
    with refused("disk_image.base", "does not exist"):
        checked_base(tmp_path / "none", None)
    with refused("disk_image.hash", "--sha256"):
        checked_base(tmp_path / "text", None)


def test_a_changed_bundle_and_settings_with_a_secret_are_refused(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "b")
    data = bytearray((bundle / "small.bundle").read_bytes())
    data[data.index(b"#!/bin/sh")] = 0x20
    (tmp_path / "b" / "small.bundle").write_bytes(data)
    with refused("update.changed", "clockface"):
        verified_bundle(tmp_path / "b")
    with refused("disk_image.bundle", "export bundle"):
        verified_bundle(tmp_path)
    site = tmp_path / "site.toml"
    site.write_text('[connectors.hr]\nkind = "webhook"\nurl = "https://x.example"\nsecret = "plain"\n')
    with refused("config.secret", "secret"):
        site_settings(site)
    site.write_text("# -----BEGIN PRIVATE KEY-----\n")
    with refused("disk_image.secret", "private key"):
        site_settings(site)
    site.write_text('[store]\npath = "x.db"\n')
    with refused("disk_image.option", "[store] path"):
        site_settings(site)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Gate 1"}, {"name": "-x"}, {"keyboard": 'de"'}, {"ssh-key": "-----BEGIN PRIVATE KEY-----"}, {"camera": "a b"}, {"camera": "$(x)"},
        {"country": "de"}, {"country": "DE\n"}, {"security-updates": "yes"}, {"security-updates": "on", "read-only": True},
    ],  # fmt: skip
)
def test_options_that_would_break_a_file_are_refused(wrong: dict[str, Any]) -> None:
    with refused("disk_image.option", f"--{next(iter(wrong))}"):
        ImageOptions(**{key.replace("-", "_"): value for key, value in wrong.items()})


def test_security_updates_need_the_package_in_the_base(base: Path, bundle: Path, place: Path) -> None:
    more = ["--out", str(place / "none.img"), "--security-updates", "on", "--dry-run", *SMALL]
    assert main(["image", str(base), "--bundle", str(bundle), *more]) == 1 and not (place / "none.img").exists()


def test_paths_that_debugfs_would_read_otherwise_are_refused() -> None:
    for path in ("/etc/a b", "/etc/../x", 'x"', "/etc/a\nrm /etc"):
        with refused("disk_image.path", "path"):
            Placed(path, b"")


def test_the_first_start_is_a_script_that_every_shell_reads() -> None:
    for script in (ROOT / PACKAGING / "image").glob("*.sh"):
        subprocess.run(["sh", "-n", str(script)], check=True)
    fetched = (ROOT / PACKAGING / "image" / "screen.sh").read_text()
    assert f"--no-install-recommends {' '.join(SCREEN)}\n" in fetched  # what --dry-run says
    assert boot_line("a resize b init=/sbin/init\n") == "a b init=/sbin/init\n"
