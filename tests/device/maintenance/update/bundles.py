"""Small bundles for tests: a program of a few lines in place of the terminal, signed with a key made here."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.maintenance.update.manifest import Manifest
from device.maintenance.update.signatures import SUFFIX, key_id, pem
from export.bundle import Contents, listed, write

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
DOCTOR = """
import json
print(json.dumps({{"checks": [{{"check": name, "state": "FAULT", "words": "it is dark"}} for name in {faults}]}}))
"""


def contents(faults: tuple[str, ...] = (), word: str = "one") -> Contents:
    return {
        "clockface.py": DOCTOR.format(faults=faults).encode(),
        "clockface": Path(__file__).resolve().parents[4] / "device/packaging/launcher.sh",
        "device/__init__.py": f"WORD = {word!r}\n".encode(),
        "device/web/page.html": b"<p>" + word.encode() * 300,
        "models/net.onnx": bytes(range(256)) * 5,
        "models/empty.onnx": b"",
    }


def manifest_of(files: Contents, version: str = "1.0", built: int = 1000, target: str = "any", database_schema: int = 1) -> Manifest:
    return Manifest(version, built, "0" * 40, target, (), database_schema, listed(files))


def made(path: Path, files: Contents, *keys: Ed25519PrivateKey, **fields: object) -> Manifest:
    """Write a bundle, signed by KEY unless others are given."""
    manifest = manifest_of(files, **fields)  # type: ignore[arg-type]
    write(path, manifest, files, keys or (KEY,))
    return manifest


def trust(folder: Path, *keys: Ed25519PrivateKey) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for key in keys or (KEY,):
        (folder / f"{key_id(key.public_key())}{SUFFIX}").write_bytes(pem(key.public_key()))
