"""`python -m export check-release DIR --key KEY.pub`: is this a whole release, signed by this key and not older than this copy? (docs/bundle.md)

The signature is verified before anything else in the folder is interpreted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from device.maintenance.update.signatures import key_id, read_public_key
from device.vision.catalogue import sha256
from export.bundle import FACTS, ROOT, commit
from export.release import FORMAT, SCHEMA, SIGNATURE, SUMS, Facts, ProjectReleaseError

LARGEST = 1 << 20  # bytes, of the checksums
LINE = re.compile(r"([0-9a-f]{64})  ((?:[A-Za-z0-9_][A-Za-z0-9_.+-]*/)*[A-Za-z0-9_][A-Za-z0-9_.+-]*)")
FETCH = "fetch the release again"


def check(folder: Path, key: Ed25519PublicKey) -> Facts:
    """Verify the signature, then that exactly the listed files are there, then each byte.

    Raises:
        ProjectReleaseError: unsigned, signed by another key, changed, incomplete, with a further file, or of another form.
    """
    sums = _signed_sums(folder, key)
    listed = _listed(sums)
    found = _files(folder) - {SUMS, SIGNATURE}
    for names, fault in ((listed.keys() - found, "is missing"), (found - listed.keys(), "does not belong to the release")):
        if names:
            raise ProjectReleaseError(f"{folder}: {min(names)!a} {fault}; {FETCH}", code="project_release.files")
    for name, digest in listed.items():
        if sha256(folder / name) != digest:
            raise ProjectReleaseError(f"{folder}: {name} is not the file that was signed; {FETCH}", code="project_release.changed")
    return _facts(folder)


def _signed_sums(folder: Path, key: Ed25519PublicKey) -> bytes:
    sums, signature = (_read(folder / name) for name in (SUMS, SIGNATURE))
    try:
        key.verify(signature, sums)
    except InvalidSignature as error:
        raise ProjectReleaseError(f"{folder}: {SUMS} is not signed by key {key_id(key)}; use nothing of it", code="project_release.signature") from error
    return sums


def _read(path: Path) -> bytes:
    """A small file, not through a link."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode) and len(data := file.read(LARGEST + 1)) <= LARGEST:
                return data
    except OSError as error:
        raise ProjectReleaseError(f"{path} cannot be read ({error.strerror}); {FETCH}", code="project_release.signature") from error
    raise ProjectReleaseError(f"{path} is not a file of a release; {FETCH}", code="project_release.signature")


def _listed(sums: bytes) -> dict[str, str]:
    """Path -> SHA-256. The key's owner wrote it, and yet it must name files in the folder, each once, in order."""
    lines = [LINE.fullmatch(line) for line in sums.decode("ascii", "replace").removesuffix("\n").split("\n")]
    listed = {line[2]: line[1] for line in lines if line}
    if None in lines or [*listed] != sorted(listed) or len(listed) != len(lines) or FACTS not in listed:
        raise ProjectReleaseError(f"{SUMS} has another form than this copy knows; read the notes of the release", code="project_release.form")
    return listed


def _files(folder: Path) -> set[str]:
    """Everything below the folder but folders; a link or a device is not a listed file's equal."""
    found = set()
    for place, folders, names in os.walk(folder):
        for path in (Path(place, name) for name in [*folders, *names]):
            kind = path.lstat().st_mode
            if stat.S_ISREG(kind):
                found.add(path.relative_to(folder).as_posix())
            elif not stat.S_ISDIR(kind):
                raise ProjectReleaseError(f"{path}: neither a file nor a folder; {FETCH}", code="project_release.files")
    return found


def _facts(folder: Path) -> Facts:
    try:
        facts = Facts(**json.loads((folder / FACTS).read_bytes()))
        if (facts.format, facts.schema) == (FORMAT, SCHEMA) and type(facts.built) is int:
            return facts
    except (ValueError, TypeError, RecursionError):
        pass
    raise ProjectReleaseError(f"{folder}: {FACTS} is not of {FORMAT!r}, schema {SCHEMA}; read the notes of the release", code="project_release.form")


def refuse_older(facts: Facts, built: int) -> None:
    """Raises:
    ProjectReleaseError: the release was built before `built` (s since the epoch).
    """
    if facts.built < built:
        raise ProjectReleaseError(f"{facts.name} was built before this copy; --older accepts it where you want to go back", code="project_release.older")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="the release")
    parser.add_argument("--key", type=Path, required=True, metavar="KEY.pub", help="the maintainer's public key, from elsewhere than the release")
    parser.add_argument("--older", action="store_true", help="accept a release that was built before this copy")


def run(args: argparse.Namespace) -> int:
    key = read_public_key(args.key)
    facts = check(args.folder, key)
    if not args.older:
        refuse_older(facts, commit(ROOT)[1])
    print(f"{args.folder}: {facts.name}, commit {facts.commit}, whole and signed by {key_id(key)}")
    return 0
