"""`python -m export release`: a release of this project: source, models, lists of wheels, bill of materials, signed checksums (docs/bundle.md).

The same commit and key give the same bytes, so whoever has the commit can see that nothing else went in.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.contract import ClockfaceError
from device.maintenance.update.signatures import key_id
from device.vision.catalogue import Catalogue, sha256
from export import sbom
from export.bundle import FACTS, ROOT, commit, version
from export.keygen import read_private_key
from export.wheels import PINS
from training import arguments

FORMAT, SCHEMA = "clockface-release", 1
SUMS, SIGNATURE, SBOM = "SHA256SUMS", "SHA256SUMS.sig", "sbom.cdx.json"


class ProjectReleaseError(ClockfaceError):
    """A release cannot be written, or the one at hand is not to be used."""

    code = "project_release"


@dataclass(frozen=True)
class Facts:
    """What a release says of itself in release.json, beside the archive and inside it."""

    version: str
    commit: str  # 40 hex digits
    built: int  # s since the epoch: of the commit
    format: str = FORMAT
    schema: int = SCHEMA

    @property
    def name(self) -> str:
        return f"clockface-{self.version}"

    def to_bytes(self) -> bytes:
        return (json.dumps(asdict(self), indent=2, sort_keys=True) + "\n").encode("ascii")


def facts_of(root: Path) -> Facts:
    """Raises:
    ProjectReleaseError: the folder is no git checkout, or has changes that are not committed.
    """
    name, built = commit(root)
    if (root / FACTS).exists() or name == "unknown":
        raise ProjectReleaseError(f"{root} is not a git checkout; a release is made of a commit", code="project_release.no_git")
    if "+" in name:
        raise ProjectReleaseError(f"{root} has changes that are not committed; commit them or put them aside (`git status`)", code="project_release.changes")
    return Facts(version(root), name, built)


def write(root: Path, out: Path, key: Ed25519PrivateKey, models: Iterable[Path]) -> Path:
    """Write the release of a checkout as a new folder in `out`, whole or not at all; returns the folder.

    Raises:
        ProjectReleaseError: there is such a folder already, or the checkout is not a clean one.
    """
    facts = facts_of(root)
    place = out / facts.name
    if place.exists():
        raise ProjectReleaseError(f"{place} exists; a release is never overwritten: give another folder", code="project_release.exists")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".release-", dir=out) as beside:
        draft = Path(beside) / facts.name
        _fill(draft, root, facts, models)
        sign(draft, key)
        os.rename(draft, place)
    return place


def _fill(folder: Path, root: Path, facts: Facts, models: Iterable[Path]) -> None:
    for part in ("models", "wheels"):
        (folder / part).mkdir(parents=True)
    (folder / FACTS).write_bytes(facts.to_bytes())
    (folder / SBOM).write_text(sbom.text(), encoding="utf-8")
    for part, files in (("models", models), ("wheels", PINS.glob("*.txt"))):
        for file in files:
            shutil.copyfile(file, folder / part / file.name)
    _archive(root, facts, folder)


def _archive(root: Path, facts: Facts, folder: Path) -> None:
    """The files of the commit and release.json as a plain tar: compressors give other bytes from version to version, git's tar does not."""
    prefix = f"--prefix={facts.name}/"
    command = ["git", "-C", str(root), "-c", "tar.umask=0022", "archive", "--format=tar", prefix, f"--add-file={folder.resolve() / FACTS}", facts.commit]
    with (folder / f"{facts.name}.tar").open("wb") as target:
        done = subprocess.run(command, stdout=target, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise ProjectReleaseError(f"git does not write the archive: {done.stderr.strip()[-300:]}")


def sign(folder: Path, key: Ed25519PrivateKey) -> None:
    """Write the checksums as `sha256sum` does, and their Ed25519 signature (64 bytes), which `openssl pkeyutl` verifies."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    sums = "".join(f"{sha256(folder / name)}  {name}\n" for name in names).encode("ascii")
    (folder / SUMS).write_bytes(sums)
    (folder / SIGNATURE).write_bytes(key.sign(sums))


def model_files() -> list[Path]:
    """The verified files of all models that a device may load.

    Raises:
        ModelError: a file is missing or not the expected one.
    """
    catalogue = Catalogue.load()
    return [catalogue.path(entry.name) for entry in catalogue.entries.values() if entry.kind != "source"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=arguments.folder, required=True, metavar="DIR", help="where the folder of the release is written")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the maintainer's private key (`python -m export keygen`)")


def run(args: argparse.Namespace) -> int:
    key = read_private_key(args.key)
    place = write(ROOT, args.out, key, model_files())
    files = (place / SUMS).read_text(encoding="ascii").count("\n")
    print(f"{place}: {files} files, signed by {key_id(key.public_key())}")
    print(f"to check it: python -m export check-release {place} --key {args.key}.pub (or openssl and sha256sum: docs/bundle.md)")
    return 0
