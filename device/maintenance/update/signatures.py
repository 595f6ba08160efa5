"""The keys whose bundles this device installs: Ed25519 public keys in a folder, one PEM file each (RFC 8032, RFC 8410)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from device.maintenance.update.manifest import BundleError

SUFFIX = ".pub"


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hex digits of the sha256 of the 32 public bytes."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key as `python -m export keygen` writes it.

    Raises:
        BundleError: missing, or another kind of key.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise BundleError(f"{path} is not a readable public key; give the .pub file that `python -m export keygen` wrote", code="update.key_file") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError(f"{path} is a key of another kind; an Ed25519 public key is needed (`python -m export keygen`)", code="update.key_file")
    return key


def read_trusted(folder: Path) -> dict[str, Ed25519PublicKey]:
    """key id -> key, of every .pub file in the folder. A key that cannot be read is an error; it is never skipped.

    Raises:
        BundleError: there is none, or one of them is not readable.
    """
    keys = [read_public_key(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    if not keys:
        raise BundleError(f"no trusted key in {folder}; `python -m device update trust KEY.pub` adds the one that signs your bundles", code="update.no_key")
    return {key_id(key): key for key in keys}


def check_signatures(signed: bytes, signatures: bytes, trusted: Mapping[str, Ed25519PublicKey]) -> str:
    """Check the signatures of a manifest; returns the id of a trusted key that signed it.

    Args:
        signed: the manifest.
        signatures: JSON object, key id -> signature in hex.

    Raises:
        BundleError: unsigned, signed only by other keys, or a signature of a trusted key is not valid.
    """
    try:
        signature_of = {name: bytes.fromhex(text) for name, text in json.loads(signatures).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError("bundle: its signatures cannot be read; build it again with `python -m export bundle`", code="update.signature") from error
    known: list[str] = [name for name in signature_of if name in trusted]
    if not known:
        by = ", ".join(f"{name:.16}" for name in sorted(signature_of)[:4]) or "nobody"
        raise BundleError(f"bundle: signed by {by!a}, trusted keys are {', '.join(sorted(trusted))}; nothing was unpacked", code="update.not_trusted")
    for name in known:
        try:
            trusted[name].verify(signature_of[name], signed)
        except InvalidSignature as error:
            raise BundleError(
                f"bundle: the signature of key {name} is not valid: the bundle was changed after signing; nothing was unpacked", code="update.signature"
            ) from error
    return known[0]
