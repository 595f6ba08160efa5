"""Puts the first release on a board: verifies the bundle with the system's own Python and openssl, then lets its update command install it.

Called by install.sh. The standard library only; run from the folder that `python -m export bundle` wrote. Whoever can change this file can
change everything: the first installation trusts the medium it comes from, every later one the key alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

NEEDED = ("wheels/", "requirements/", "device/", "clockface.py")  # of the bundle, to run its update command


class CannotInstall(Exception):
    """The bundle cannot be installed; the message gives the reason."""


def verified(bundle: tarfile.TarFile, key: Path, workspace: Path) -> dict[str, Any]:
    """The manifest, after openssl has verified the signature and every file has the stated hash."""
    manifest, signatures = (_content(bundle, name) for name in ("manifest.json", "signatures.json"))
    raw = subprocess.run(["openssl", "pkey", "-pubin", "-in", str(key), "-outform", "DER"], capture_output=True, check=True).stdout[-32:]
    signature = json.loads(signatures).get(hashlib.sha256(raw).hexdigest()[:16])
    if signature is None:
        raise CannotInstall(f"the bundle is not signed by the key in {key.name}")
    signed, signature_file = workspace / "signed", workspace / "signature"
    signed.write_bytes(manifest)
    signature_file.write_bytes(bytes.fromhex(signature))
    check = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(key), "-rawin", "-in", str(signed), "-sigfile", str(signature_file)]
    if subprocess.run(check, capture_output=True).returncode:
        raise CannotInstall("the signature does not hold: the bundle was changed, copy it again")
    fields: dict[str, Any] = json.loads(manifest)
    for file in fields["files"]:
        if hashlib.sha256(_content(bundle, file["path"])).hexdigest() != file["sha256"]:
            raise CannotInstall(f"{file['path']} was changed: copy the bundle again")
    return fields


def _content(bundle: tarfile.TarFile, name: str) -> bytes:
    member = bundle.getmember(name)
    opened = bundle.extractfile(member) if member.type == tarfile.REGTYPE else None
    if opened is None:
        raise CannotInstall(f"{name} is no file")
    return opened.read()


def install(folder: Path, root: Path) -> int:
    """Install the one bundle of a folder below `root`; returns the exit code of its update command."""
    bundles, key = sorted(folder.glob("*.bundle")), folder / "trusted.pub"
    if len(bundles) != 1 or not key.is_file():
        raise CannotInstall(f"expected one .bundle and trusted.pub in {folder}, found {len(bundles)} bundles")
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    if (root / "current").exists():
        return _update([str(root / "clockface")], bundles[0], key, root)  # already installed: a normal update
    with tempfile.TemporaryDirectory(prefix=".bootstrap-", dir=root) as beside, tarfile.open(bundles[0], "r:") as bundle:
        workspace = Path(beside)
        manifest = verified(bundle, key, workspace)
        for file in manifest["files"]:
            if file["path"].startswith(NEEDED):
                target = workspace / "release" / file["path"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(_content(bundle, file["path"]))
        return _update([_python(workspace / "release", root, manifest), str(workspace / "release/clockface.py")], bundles[0], key, root)


def _python(release: Path, root: Path, manifest: dict[str, Any]) -> str:
    """The interpreter of the release's environment: made here, reused by `update`."""
    if not manifest["python"]:
        return sys.executable
    spec = importlib.util.spec_from_file_location("environments", release / "device/maintenance/update/environment.py")
    assert spec is not None and spec.loader is not None
    environments = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(environments)
    try:
        name = environments.provide(root, release / "wheels", release / "requirements", manifest["target"], lambda folder: os.sync())
    except environments.CannotMake as error:
        raise CannotInstall(f"the Python environment cannot be made: {error}") from error
    return str(root / "environments" / name / "bin/python3")


def _update(program: list[str], bundle: Path, key: Path, root: Path) -> int:
    for words in (["trust", str(key)], [str(bundle)]):
        code = subprocess.run([*program, "update", *words, "--root", str(root)], cwd=root).returncode
        if code:
            return code
    return 0


def main(folder: str, root: str) -> int:
    if shutil.which("openssl") is None:
        print("error: openssl is missing: sudo apt install openssl", file=sys.stderr)
        return 1
    try:
        return install(Path(folder).resolve(), Path(root))
    except (CannotInstall, KeyError, ValueError, OSError, tarfile.TarError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
