"""`python -m export bundle`: the device package, its models and its configuration in one signed file (docs/bundle.md).

The same commit, configuration and key give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.config import Settings, loader
from device.config.loader import tomllib
from device.config.places import SITE_FILE
from device.contract import ClockfaceError
from device.delivery.connectors import configured
from device.maintenance.update.bundle import END, header, padding
from device.maintenance.update.environment import REQUIREMENTS, WHEELS
from device.maintenance.update.manifest import MANIFEST, SIGNATURES, TARGETS, BundledFile, Manifest
from device.maintenance.update.signatures import key_id, pem
from device.storage.schema import SCHEMA_VERSION
from device.vision import catalogue as models
from device.vision.catalogue import Catalogue, ModelFile
from device.vision.embedder import Embedder
from device.vision.liveness import LivenessModel, check_measured
from export import deb, wheels
from export.keygen import read_private_key
from training import arguments

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = "clockface"
PACKAGING = "device/packaging"
IN_A_RELEASE = "device/board"  # its folder in a release: systemd units of older installations call the scripts there
BESIDE = ("install.sh", "uninstall.sh", "bootstrap.py", "user-data", "first-boot.sh")  # packaging files that a board without Clockface needs
FACTS = "release.json"  # version, commit and time; in a source archive of a release (`python -m export release`), never in git
TRUSTED = "trusted.pub"  # the public key, beside the installer
PROGRAM = b'"""Runs this release from wherever it lies."""\n\nimport sys\n\nfrom device.__main__ import main\n\nsys.exit(main())\n'
Contents = dict[str, bytes | Path]  # path in the release -> its content, or the file to read it from


class BundleBuildError(ClockfaceError):
    """A bundle cannot be made; nothing was written."""

    code = "bundle"


def device_package(root: Path) -> Contents:
    """All program files of `device/`, the launcher and the licence."""
    folder = root / "device"
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    visible = [path for path in files if not any(part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts)]
    contents: Contents = {path.relative_to(root).as_posix().replace(PACKAGING, IN_A_RELEASE): path for path in visible}
    return {**contents, "clockface.py": PROGRAM, LAUNCHER: root / PACKAGING / "launcher.sh", "LICENSE": root / "LICENSE", "NOTICE": root / "NOTICE"}


def chosen_models(catalogue: Catalogue, settings: Settings, more: Iterable[str]) -> list[ModelFile]:
    """The files of the configured embedder and liveness model, the further models named, and what every device needs."""
    configured_models = {"embedder": settings.embedder.model, "liveness": settings.liveness.model}
    for section, model in configured_models.items():
        if not catalogue.family(model):
            raise BundleBuildError(f"[{section}] model = {model!r} is a file of this machine; give it an entry in device/vision/models.toml")
    needed = [entry for entry in catalogue.entries.values() if entry.kind not in ("embedder", "liveness", "source")]
    named = [entry for name in (*configured_models.values(), *more) for entry in catalogue.family(name)]
    return list({entry.name: entry for entry in (*needed, *named)}.values())


def model_files(catalogue: Catalogue, entries: Iterable[ModelFile], settings: Settings) -> Contents:
    """Verified model files and the catalogue of them; the device has every file, so it downloads nothing.

    Raises:
        ModelError: a file is missing or not the expected one.
        ContractError: an embedder has no threshold for the configured FPIR, so no device could start with it.
        LivenessError: a liveness model states no threshold or error rates and is to be enforced, likewise.
    """
    contents: Contents = {}
    for entry in entries:
        path = contents[f"models/{entry.file}"] = catalogue.path(entry.name)
        if entry.kind == "embedder":
            Embedder(path, "cpu").card.operating_point(settings.decision.at_least_templates, settings.decision.fpir)
        if entry.kind == "liveness" and settings.liveness.mode == "enforce":
            check_measured(LivenessModel(path).card)
    return {**contents, "device/vision/models.toml": model_list(entries).encode()}


def model_list(entries: Iterable[ModelFile]) -> str:
    """device/vision/models.toml for a release: the same entries without download sources."""
    tables = []
    for entry in entries:
        fields = {key: value for key, value in vars(entry).items() if key not in ("name", "sources")}
        tables.append("\n".join([f"[{entry.name}]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items() if value != "")]))
    return "# The models of this release; every file came with it.\n\n" + "\n\n".join(tables) + "\n"


def board_wheels(target: str, pythons: Sequence[str], kept: Path) -> Contents:
    """Pinned wheels for each Python version of a board, and the pin files."""
    contents: Contents = {}
    for platform in (wheels.Platform(TARGETS[target], python) for python in pythons):
        contents |= {f"{WHEELS}/{wheel.name}": wheel for wheel in wheels.fetch(platform, kept / f"{platform.machine}-{platform.python}")}
        contents[f"{REQUIREMENTS}/{platform.python}.txt"] = platform.pins
    return contents


def listed(contents: Mapping[str, bytes | Path]) -> tuple[BundledFile, ...]:
    """Size and SHA-256 of each file, sorted by path."""
    files = []
    for path in sorted(contents):
        content = contents[path]
        digest = models.sha256(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        files.append(BundledFile(path, size, digest, path == LAUNCHER or path.endswith(".sh")))
    return tuple(files)


def write(target: Path, manifest: Manifest, contents: Mapping[str, bytes | Path], keys: Iterable[Ed25519PrivateKey]) -> None:
    """Sign a bundle and write it atomically."""
    signed = manifest.to_bytes()
    signatures = json.dumps({key_id(key.public_key()): key.sign(signed).hex() for key in keys}, sort_keys=True).encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=target.parent) as beside:
        part = Path(beside) / target.name
        with part.open("wb") as file:
            for name, data in ((MANIFEST, signed), (SIGNATURES, signatures)):
                file.write(header(name, len(data)) + data + padding(len(data)))
            for entry in manifest.files:
                content = contents[entry.path]
                data = content.read_bytes() if isinstance(content, Path) else content
                if len(data) != entry.size:
                    raise BundleBuildError(f"{entry.path} changed while the bundle was written; try again")
                file.write(header(entry.path, entry.size, entry.executable) + data + padding(entry.size))
            file.write(END)
        part.chmod(0o644)
        os.replace(part, target)


def version(root: Path) -> str:
    """The program's version from pyproject.toml."""
    return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def commit(root: Path) -> tuple[str, int]:
    """The commit, marked if files differ from it, and its time in s since the epoch; SOURCE_DATE_EPOCH overrides the time.

    The unpacked source of a release has both in release.json.

    Raises:
        BundleBuildError: neither release.json, git nor SOURCE_DATE_EPOCH gives a time.
    """
    if (root / FACTS).is_file():
        facts = json.loads((root / FACTS).read_bytes())
        return str(facts["commit"]), int(os.environ.get("SOURCE_DATE_EPOCH") or facts["built"])
    name, date = _git(root, "describe", "--always", "--dirty=+changes", "--abbrev=40", "--exclude=*"), _git(root, "log", "-1", "--format=%ct")
    built = os.environ.get("SOURCE_DATE_EPOCH") or date
    if not built.isdecimal():
        raise BundleBuildError(f"no build time: {root} is not a git checkout; set SOURCE_DATE_EPOCH to seconds since the epoch", code="bundle.no_time")
    return name or "unknown", int(built)


def _git(root: Path, *words: str) -> str:
    try:
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", choices=tuple(TARGETS), default="any", help="the board; any: without wheels, where the packages are installed")
    parser.add_argument("--python", action="append", metavar="3.11", help="only for this Python version (default: all versions of the board's systems)")
    parser.add_argument("--out", type=arguments.folder, required=True, metavar="DIR", help="folder for the bundle and, for a board, its installer")
    parser.add_argument("--key", type=Path, required=True, action="append", metavar="FILE", help="private key; repeat it to sign for old and new devices")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML settings for devices that have none of their own")
    parser.add_argument("--wheels", type=arguments.folder, default=ROOT / "runs/wheels", metavar="DIR", help="where wheels are kept (default: runs/wheels)")
    parser.add_argument("--deb", action="store_true", help="also write a Debian package with the bundle and its installer")
    parser.add_argument("--model", action="append", default=[], metavar="NAME", help="another model of device/vision/models.toml to include")


def run(args: argparse.Namespace) -> int:
    keys = [read_private_key(path) for path in args.key]
    settings = loader.load(args.config)
    configured(settings)
    catalogue = Catalogue.load()
    contents = device_package(ROOT) | model_files(catalogue, chosen_models(catalogue, settings, args.model), settings)
    if args.config:
        contents[SITE_FILE] = args.config
    pythons = _pythons(args.target, args.python)
    if args.deb and not pythons:
        raise BundleBuildError("--deb needs a board: --target rpi, jetson or x86")
    contents |= board_wheels(args.target, pythons, args.wheels)
    name, built = commit(ROOT)
    manifest = Manifest(version(ROOT), built, name, args.target, pythons, SCHEMA_VERSION, listed(contents))
    target = args.out / f"clockface-{args.target}-{manifest.release_id}.bundle"
    write(target, manifest, contents, keys)
    print(f"{target}: {target.stat().st_size:,} bytes, {len(manifest.files)} files, signed by {', '.join(key_id(key.public_key()) for key in keys)}")
    if pythons:
        write_installer(args.out, keys)
        if args.deb:
            print(f"{deb.write(args.out, [target.name, *BESIDE, TRUSTED], manifest)}: install it with sudo apt install ./FILE")
        print(f"{args.out}: copy this folder to the board, then: sudo sh install.sh (docs/board.md); or: python -m export image")
    return 0


def _pythons(target: str, requested: Sequence[str] | None) -> tuple[str, ...]:
    known = wheels.PYTHONS.get(target, ())
    if unknown := set(requested or ()) - set(known):
        available = f"has Python {', '.join(known)}" if known else "has no wheels and runs under any Python; leave --python out"
        raise BundleBuildError(f"--python {min(unknown)}: {target} {available}")
    return tuple(python for python in known if not requested or python in requested)


def write_installer(out: Path, keys: Sequence[Ed25519PrivateKey]) -> None:
    """Write the installer and the key that the board will trust beside the bundle.

    If several keys sign, this is the last one, which is the newest.
    """
    for name in BESIDE:
        shutil.copy(ROOT / PACKAGING / name, out / name)
    (out / TRUSTED).write_bytes(pem(keys[-1].public_key()))
