"""What makes a terminal's image of a base: files for its root file system, changes to its boot partition, the layout of its data partition."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from device.maintenance.update.manifest import Manifest
from export.bundle import PACKAGING, ROOT, TRUSTED
from export.disk.base import SCREEN, Base
from export.disk.ext4 import Ext4, Placed
from export.disk.tool import DiskImageError

HERE = "/usr/share/clockface"  # what the first start works with; a reset starts from it again
INSTALLER = ("install.sh", "uninstall.sh", "bootstrap.py", TRUSTED)  # beside the bundle
DATA = "/srv/clockface"  # where the data partition is mounted
PLACES = {  # folder on it -> where it is seen
    "data": "/var/lib/clockface", "keys": "/var/lib/clockface-keys", "inbox": "/var/lib/clockface-inbox", "opt": "/opt/clockface",
}  # fmt: skip
WIFI = "/etc/NetworkManager/system-connections"
RADIO = "/var/lib/NetworkManager/NetworkManager.state"  # whether NetworkManager switches the Wi-Fi on
BLOCKED = "/var/lib/systemd/rfkill"  # radios that stay blocked when the system starts
OFF = b"WirelessEnabled=false"
STAYS_OFF = "THE WI-FI STAYS OFF, as in the base, since its country is not known: give --country, or a --zone that is in one"
ZONES = "/usr/share/zoneinfo/zone.tab"
IMAGE_FILES = ROOT / PACKAGING / "image"
UNITS = "/etc/systemd/system"
FIRST_START, SCREEN_UNIT = "clockface-first-start.service", "clockface-screen.service"
OWN = re.compile(r"ssh_host_\w+_key(\.pub)?")  # SSH keys that a base was published with
STARTS = ("init=/usr/lib/raspberrypi-sys-mods/firstboot", "init=/usr/lib/raspi-config/init_resize.sh", "resize")  # would grow the root over the data partition
MOUNTED = "nofail,x-systemd.before=local-fs.target"  # without the data partition the system starts and can be repaired, the terminal does not
README = """Clockface: this folder may be changed until the first start.

clockface.toml   the site's settings (docs/settings.md). They are taken over once, at the first start; afterwards they are changed on the terminal's pages.
                 A setting that is not valid holds the first start back until it is corrected here.
"""


@dataclass(frozen=True)
class ImageOptions:
    """What the user asked for."""

    name: str = "clockface"  # host names are NAME-SERIAL
    keyboard: str = ""  # such as de; empty: the base's
    zone: str = ""  # such as Europe/Berlin; empty: the base's
    country: str = ""  # such as DE, whose rules the Wi-Fi keeps; empty: that of the zone
    camera: str = ""  # CLOCKFACE_SOURCE; empty: the first USB camera
    ssh_key: str = ""  # public: who may log in as root; empty: nobody
    screen: bool = True
    read_only: bool = False
    security_updates: str = ""  # "on" or "off": whether Debian installs its own by itself; empty: as the base has it

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", self.name):
            raise DiskImageError(f"--name {self.name!a}: small letters, digits and hyphens, at most 40, are needed", code="disk_image.option")
        if not re.fullmatch(r"[a-z]{0,4}", self.keyboard):
            raise DiskImageError(f"--keyboard {self.keyboard!a}: a layout of /usr/share/X11/xkb, such as de or us, is needed", code="disk_image.option")
        if not re.fullmatch(r"([A-Z]{2})?", self.country):
            raise DiskImageError(f"--country {self.country!a}: two capital letters of ISO 3166, such as DE, are needed", code="disk_image.option")
        if self.ssh_key and not re.fullmatch(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [ -~]*)?", self.ssh_key):
            raise DiskImageError("--ssh-key: one public key is needed, such as ~/.ssh/id_ed25519.pub", code="disk_image.option")
        if not re.fullmatch(r"[A-Za-z0-9_./:@+-]*", self.camera):
            raise DiskImageError(f"--camera {self.camera!a}: no spaces or quotes", code="disk_image.option")
        if self.security_updates not in ("", "on", "off") or (self.security_updates == "on" and self.read_only):
            raise DiskImageError("--security-updates is on or off; a root that --read-only makes takes none, so then it is off", code="disk_image.option")


@dataclass(frozen=True)
class ImageContents:
    """Everything that goes in, and what goes out."""

    root: tuple[Placed, ...]
    removed: tuple[str, ...]  # from the root
    boot: dict[str, str]  # text files for the folder `clockface` of the boot partition
    data: tuple[Placed, ...]  # on the data partition
    at_first_start: tuple[str, ...]  # in words


def contents_of(root: Ext4, base: Base, options: ImageOptions, folder: Path, manifest: Manifest, settings: str, part_uuid: str, image_id: str) -> ImageContents:
    """Put together what goes in.

    Args:
        folder: what `python -m export bundle` wrote.
        settings: the site's TOML, or empty.
        part_uuid: of the data partition; empty where there is none.

    Raises:
        DiskImageError: the base cannot do what the options ask for.
    """
    fetched = options.screen and not base.has_screen
    if fetched and (options.read_only or base.system == "ubuntu"):
        why = "its root is read-only" if options.read_only else "Ubuntu has Chromium as a snap only"
        message = f"the base has no cage and Chromium, and they cannot be fetched later: {why}; take a base with them or --no-screen"
        raise DiskImageError(message, code="disk_image.screen")
    if options.read_only and not part_uuid:
        raise DiskImageError("--read-only needs a data partition, and a base that is one file system has none", code="disk_image.option")
    country = options.country or country_of(root, options.zone)
    radio = root.read(RADIO) or b""
    placed = [*_program(folder, settings, options, base, part_uuid, image_id), *_system(root, base, options, part_uuid)]
    removed = [*_own_keys(root)]
    if country:
        placed += _wifi(country, radio)
        removed += [f"{BLOCKED}/{name}" for name in root.names(BLOCKED) if name.endswith(":wlan")]
    if fetched:
        placed += [_unit(SCREEN_UNIT), _enabled(SCREEN_UNIT), Placed(f"{HERE}/screen.sh", IMAGE_FILES / "screen.sh")]
    boot = {"README.txt": README} | ({"clockface.toml": settings} if settings else {})
    folders = [Placed(f"/{name}", mode=0o755 if name == "opt" else 0o700) for name in (*PLACES, "network", "kept")]
    later = [*_later(base, options, manifest, bool(part_uuid), fetched), *([] if country or OFF not in radio else [STAYS_OFF])]
    return ImageContents(tuple(placed), tuple(removed), boot, tuple(folders), tuple(later))


def country_of(root: Ext4, zone: str) -> str:
    """The country of a time zone by the base's own table; empty where it has none, as for Etc/UTC."""
    table = (root.read(ZONES) or b"").decode(errors="replace")
    lines = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return next((fields[0] for fields in lines if zone in fields[2:3]), "")


def _wifi(country: str, radio: bytes) -> Iterator[Placed]:
    """Raspberry Pi OS leaves the Wi-Fi off until its country is set, whose rules it has to keep; the terminal may set none."""
    yield Placed("/etc/modprobe.d/clockface-wifi.conf", f"options cfg80211 ieee80211_regdom={country}\n".encode())
    if OFF in radio:
        yield Placed(RADIO, radio.replace(OFF, b"WirelessEnabled=true"))


def boot_line(line: str) -> str:
    """cmdline.txt of a Raspberry Pi without what grows the root file system over the whole card."""
    return " ".join(word for word in line.split() if word not in STARTS) + "\n"


def _program(folder: Path, settings: str, options: ImageOptions, base: Base, part_uuid: str, image_id: str) -> Iterator[Placed]:
    (bundle,) = folder.glob("*.bundle")
    for path in (bundle, *(folder / name for name in INSTALLER)):
        yield Placed(f"{HERE}/{path.name}", path)
    yield Placed(f"{HERE}/first-start.sh", IMAGE_FILES / "first-start.sh")
    words = {
        "IMAGE": image_id, "NAME": options.name, "BOOT": f"{base.boot}/clockface",
        "READ_ONLY": "yes" if options.read_only else "no", "APART": "yes" if part_uuid else "no",
    }  # fmt: skip
    yield Placed(f"{HERE}/image.env", "".join(f"{key}={value}\n" for key, value in words.items()).encode())
    if settings:
        yield Placed(f"{HERE}/clockface.toml", settings.encode())
    yield _unit(FIRST_START)
    yield _enabled(FIRST_START)


def _system(root: Ext4, base: Base, options: ImageOptions, part_uuid: str) -> Iterator[Placed]:
    """Settings of the base's own system."""
    yield Placed("/etc/systemd/system.conf.d/80-clockface.conf", IMAGE_FILES / "watchdog.conf")
    yield Placed("/etc/systemd/journald.conf.d/clockface.conf", ROOT / PACKAGING / "journald.conf")
    needs = "[Unit]\nRequiresMountsFor=" + " ".join(PLACES.values()) + "\n"
    yield Placed(f"{UNITS}/clockface.service.d/data.conf", needs.encode())
    if options.camera:
        yield Placed("/etc/default/clockface", f"CLOCKFACE_SOURCE={options.camera}\n".encode())
    if options.ssh_key:
        yield from _ssh(root, options.ssh_key)
    if options.security_updates:
        yield _security_updates(base, options)
    if options.keyboard:
        yield Placed("/etc/default/keyboard", f'XKBMODEL="pc105"\nXKBLAYOUT="{options.keyboard}"\nXKBVARIANT=""\nXKBOPTIONS=""\nBACKSPACE="guess"\n'.encode())
    if options.zone:
        if root.kind(f"/usr/share/zoneinfo/{options.zone}") not in ("regular", "symlink"):
            raise DiskImageError(f"--zone {options.zone}: the base does not know it; a name such as Europe/Berlin is needed", code="disk_image.option")
        yield Placed("/etc/timezone", f"{options.zone}\n".encode())
        yield Placed("/etc/localtime", link=f"/usr/share/zoneinfo/{options.zone}")
    if root.kind("/etc/machine-id") == "regular" and (root.read("/etc/machine-id") or b"").strip() not in (b"", b"uninitialized"):
        yield Placed("/etc/machine-id", b"", mode=0o444)
    if root.kind("/etc/cloud/cloud.cfg.d") == "directory":
        yield Placed("/etc/cloud/cloud.cfg.d/99-clockface.cfg", b"# The name comes from the serial number (docs/image.md).\npreserve_hostname: true\n")
    if root.kind("/usr/lib/systemd/system/userconfig.service"):
        yield Placed(f"{UNITS}/userconfig.service", link="/dev/null")  # Raspberry Pi OS would ask for a user on the kiosk's screen
    if part_uuid:
        yield Placed("/etc/fstab", (base.fstab.rstrip("\n") + "\n" + "\n".join(_mounts(root, part_uuid)) + "\n").encode())
    yield from (Placed(place, mode=0o755) for place in (DATA, *PLACES.values()))


def _ssh(root: Ext4, key: str) -> Iterator[Placed]:
    unit = "/usr/lib/systemd/system/ssh.service"
    if not root.kind(unit):
        unit = "/lib/systemd/system/ssh.service"
    if not root.kind(unit):
        raise DiskImageError("--ssh-key: the base has no SSH server; take a base with openssh-server", code="disk_image.option")
    yield Placed("/root/.ssh", mode=0o700)
    yield Placed("/root/.ssh/authorized_keys", f"{key}\n".encode(), mode=0o600)
    yield Placed(f"{UNITS}/multi-user.target.wants/ssh.service", link=unit)  # switched off on Raspberry Pi OS


def _mounts(root: Ext4, part_uuid: str) -> Iterator[str]:
    yield "# Clockface: the data partition, and where its folders are seen"
    yield f"PARTUUID={part_uuid} {DATA} ext4 noatime,{MOUNTED},x-systemd.device-timeout=180 0 2"
    for name, place in PLACES.items():
        yield f"{DATA}/{name} {place} none bind,{MOUNTED} 0 0"
    if root.kind(WIFI) == "directory":
        yield f"{DATA}/network {WIFI} none bind,{MOUNTED} 0 0"


def _own_keys(root: Ext4) -> Iterator[str]:
    """What would be the same on every board, and belongs to one alone."""
    yield from (f"/etc/ssh/{name}" for name in root.names("/etc/ssh") if OWN.fullmatch(name))
    yield from (place for place in ("/var/lib/systemd/random-seed", "/var/lib/dbus/machine-id") if root.kind(place) == "regular")


def _security_updates(base: Base, options: ImageOptions) -> Placed:
    """Debian's own switch for them (apt.conf.d)."""
    on = options.security_updates == "on"
    if on and "unattended-upgrades" not in base.packages:
        raise DiskImageError("--security-updates on: the base has no package unattended-upgrades; take one that has it", code="disk_image.option")
    lines = [f'APT::Periodic::{name} "{int(on)}";\n' for name in ("Update-Package-Lists", "Unattended-Upgrade")]
    return Placed("/etc/apt/apt.conf.d/20auto-upgrades", "".join(lines).encode())


def _later(base: Base, options: ImageOptions, manifest: Manifest, apart: bool, fetched: bool) -> Iterator[str]:
    if apart:
        yield "the data partition grows to the whole card"
    yield f"the name of the machine becomes {options.name}- and the last 8 characters of its serial number, else of its network address"
    yield "machine id, SSH host keys, the key that seals templates, the administrator's first password and the certificate are made"
    yield f"release {manifest.release_id} is verified again, unpacked and examined, and the terminal starts; no network is needed for that"
    if fetched:
        yield f"THE NETWORK IS NEEDED for the kiosk screen: {' '.join(SCREEN)} come from the system's package sources (--no-screen leaves them out)"
    elif options.screen:
        yield "the kiosk screen starts with the base's own cage and Chromium"
    if options.read_only:
        yield "the root becomes read-only, /var moves to the data partition, and the machine starts once more"


def _unit(name: str) -> Placed:
    return Placed(f"{UNITS}/{name}", IMAGE_FILES / name)


def _enabled(name: str) -> Placed:
    return Placed(f"{UNITS}/multi-user.target.wants/{name}", link=f"../{name}")


def facts(image_id: str, base_sha256: str, base: Base, manifest: Manifest, options: ImageOptions) -> bytes:
    """image.json: what the image was made of, for support."""
    told: dict[str, object] = {"image": image_id, "base": base.title, "base_sha256": base_sha256, "release": manifest.release_id, "commit": manifest.commit}
    told["options"] = vars(options)
    return (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()
