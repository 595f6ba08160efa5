"""`python -m export image BASE`: a base image, a bundle and a site's settings in one file to write to a card (docs/image.md).

Nothing that tells one board from another is in it: keys, names and certificates are made at the first start. No root is needed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from uuid import uuid4

from device.config import loader
from device.config.loader import tomllib
from device.delivery.connectors import configured
from device.maintenance.update.bundle import Bundle
from device.maintenance.update.manifest import Manifest
from device.maintenance.update.signatures import key_id, read_public_key
from device.vision.catalogue import sha256
from export.bundle import TRUSTED
from export.disk.assembly import assembled, finish, laid_out, unpacked
from export.disk.base import Base, read_base
from export.disk.contents import DATA, HERE, INSTALLER, ImageContents, ImageOptions, contents_of, facts
from export.disk.ext4 import Ext4, Placed
from export.disk.table import MIB, Partition, Table
from export.disk.tool import DiskImageError
from training import arguments

STORE = '[store]\npath = "/var/lib/clockface/clockface.db"\n'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", type=Path, metavar="BASE", help="raw or .img.xz: Raspberry Pi OS Lite 64-bit, Debian, Ubuntu, or a JetPack root (ext4)")
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="folder that `python -m export bundle --target ...` wrote")
    parser.add_argument("--out", type=arguments.file, required=True, metavar="FILE", help="the image; FILE.bmap and FILE.sha256 are written beside it")
    parser.add_argument("--sha256", metavar="HEX", help="hash of BASE, from where it was published (default: the file BASE.sha256)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML settings of the site")
    parser.add_argument("--name", default="clockface", help="start of the host names; the rest is the serial number (default: clockface)")
    parser.add_argument("--keyboard", default="", metavar="LAYOUT", help="keyboard layout, such as de (default: the base's)")
    parser.add_argument("--zone", default="", metavar="ZONE", help="time zone of the machine, such as Europe/Berlin (default: the base's)")
    parser.add_argument("--country", default="", metavar="CODE", help="country whose rules the Wi-Fi keeps, such as DE (default: that of --zone)")
    parser.add_argument("--camera", default="", metavar="SOURCE", help="the camera, such as rtsp://... (default: the first USB camera)")
    parser.add_argument("--ssh-key", type=Path, metavar="FILE", help="public key that may log in as root by SSH (default: nobody may)")
    parser.add_argument("--no-screen", action="store_true", help="no kiosk screen")
    parser.add_argument("--read-only", action="store_true", help="root file system read-only after the first start")
    parser.add_argument("--security-updates", choices=("on", "off"), default="", help="whether Debian installs its own by itself (default: the base's)")
    parser.add_argument("--root-free", type=int, default=1536, metavar="MIB", help="free room in the root file system, at least (default: 1536)")
    parser.add_argument("--data-step", type=int, default=2048, metavar="MIB", help="the data partition begins at a multiple of this (default: 2048)")
    parser.add_argument("--dry-run", action="store_true", help="say what would go in; write nothing")


def run(args: argparse.Namespace) -> int:
    key = ssh_key(args.ssh_key)
    options = ImageOptions(args.name, args.keyboard, args.zone, args.country, args.camera, key, not args.no_screen, args.read_only, args.security_updates)
    settings = site_settings(args.config)
    base_sha256 = checked_base(args.base, args.sha256)
    manifest = verified_bundle(args.bundle)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".image-", dir=args.out.parent) as beside:
        draft = unpacked(args.base, Path(beside))
        root = Ext4(draft.root_file)
        base = read_base(root)
        base.check(manifest)
        image_id = str(uuid4())
        table, data = laid_out(draft, args.root_free * MIB, args.data_step * MIB)
        uuid = table.part_uuid(data) if data else ""
        contents = contents_of(root, base, options, args.bundle, manifest, settings, uuid, image_id)
        tell(base, manifest, contents, table, data)
        if args.dry_run:
            print("nothing was written (--dry-run)")
            return 0
        placed = [*contents.root, Placed(f"{HERE}/image.json", facts(image_id, base_sha256, base, manifest, options))]
        free = list(assembled(draft, table, data, placed, contents))
        finish(draft.image, args.out, free)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes; write it with: python -m export flash {args.out} DEVICE (or Raspberry Pi Imager, bmaptool)")
    return 0


def ssh_key(path: Path | None) -> str:
    """The public key in a file; none where there is no file.

    Raises:
        DiskImageError: the file cannot be read.
    """
    try:
        return "" if path is None else path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise DiskImageError(f"--ssh-key {path} cannot be read ({error}); name a file such as ~/.ssh/id_ed25519.pub", code="disk_image.option") from error


def site_settings(path: Path | None) -> str:
    """The site's settings, checked, with the database where install.sh has it; they hold no secret (`config` refuses one)."""
    if path is None:
        return ""
    configured(loader.load(path))
    text = path.read_text(encoding="utf-8")
    if "PRIVATE KEY" in text:
        raise DiskImageError(f"{path} has a private key in it; an image that many boards share holds no secret", code="disk_image.secret")
    store = tomllib.loads(text).get("store", {})
    if "path" in store:
        raise DiskImageError(f"{path}: take [store] path out; on the board the database is on the data partition", code="disk_image.option")
    return text.replace("[store]\n", STORE, 1) if store else f"{STORE}\n{text}"


def checked_base(base: Path, stated: str | None) -> str:
    """The sha256 of the base, which is the stated one.

    Raises:
        DiskImageError: nobody states one, or it is another.
    """
    beside = base.with_name(base.name + ".sha256")
    if not base.is_file():
        raise DiskImageError(f"{base} does not exist; fetch the image of Raspberry Pi OS Lite (64-bit), Debian or Ubuntu", code="disk_image.base")
    if stated is None and beside.is_file():
        stated = beside.read_text(encoding="ascii", errors="replace").split()[0]
    if stated is None:
        message = f"the hash of {base.name} is not known: give --sha256 from where it was published, or keep its .sha256 file beside it"
        raise DiskImageError(message, code="disk_image.hash")
    found = sha256(base)
    if found != stated.lower():
        raise DiskImageError(f"{base.name} has sha256 {found}, stated is {stated}; fetch it again", code="disk_image.hash")
    return found


def verified_bundle(folder: Path) -> Manifest:
    """The manifest of the one bundle of a folder, every byte verified with the key beside it.

    Raises:
        DiskImageError: no folder of `export bundle`, or for no board.
        BundleError: the bundle is not what was signed.
    """
    bundles = sorted(folder.glob("*.bundle"))
    if len(bundles) != 1 or not all((folder / name).is_file() for name in INSTALLER):
        message = f"{folder}: one .bundle with its installer is needed, as `python -m export bundle --target rpi` writes it"
        raise DiskImageError(message, code="disk_image.bundle")
    key = read_public_key(folder / TRUSTED)
    with Bundle.open(bundles[0], {key_id(key): key}) as bundle:
        bundle.verify()
        return bundle.manifest


def tell(base: Base, manifest: Manifest, contents: ImageContents, table: Table, data: Partition | None) -> None:
    """What goes in, and what happens at the first start."""
    print(f"base: {base.title}, {base.machine}, Python {', '.join(base.pythons)}")
    print(f"bundle: {manifest.release_id} for {manifest.target}, signature and every file verified")
    for placed in contents.root:
        what = f" -> {placed.link}" if placed.link else "/" if placed.content is None else ""
        print(f"  + {placed.place}{what}")
    for place in contents.removed:
        print(f"  - {place}")
    for name in contents.boot:
        print(f"  + boot partition: clockface/{name}")
    for part in table.partitions:
        print(f"  partition {part.number}: {part.size // MIB} MiB from {part.start // MIB} MiB{f', data, at {DATA}' if part == data else ''}")
    print("at the first start of each board:")
    for line in contents.at_first_start:
        print(f"  * {line}")
