"""`python -m export keygen FILE`: a key pair to sign bundles with; FILE is the private key (mode 600), FILE.pub is what devices trust."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from device.contract import ClockfaceError
from device.maintenance.update.signatures import SUFFIX, key_id, pem


class KeyFileError(ClockfaceError):
    """A signing key cannot be written or read."""

    code = "key_file"


def write_key_pair(path: Path) -> Ed25519PrivateKey:
    """Make a key pair; neither file may exist.

    Raises:
        KeyFileError: one of the files exists or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    contents = [
        (path.with_name(path.name + SUFFIX), pem(key.public_key()), 0o644),
        (path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600),
    ]
    if taken := [place for place, _, _ in contents if place.exists()]:
        raise KeyFileError(f"{taken[0]} exists; a key is never overwritten: choose another name", code="key_file.exists")
    try:
        for place, data, mode in contents:
            with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(data)
    except OSError as error:
        raise KeyFileError(
            f"{error.filename} cannot be written ({error.strerror}); choose an existing folder that this user may write", code="key_file.not_written"
        ) from error
    return key


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a signing key.

    Raises:
        KeyFileError: the file is missing, is another type of key, or can be read by others on this machine.
    """
    try:
        mode = path.stat().st_mode
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise KeyFileError(f"{path} is not a readable private key; `python -m export keygen {path}` makes one", code="key_file.unreadable") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} is a key of another type; `python -m export keygen` makes an Ed25519 key", code="key_file.kind")
    if mode & 0o077:
        raise KeyFileError(f"{path} can be read by others on this machine: chmod 600 {path}; make a new key if somebody may have read it", code="key_file.open")
    return key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="private key to write; the public key goes to FILE.pub")


def run(args: argparse.Namespace) -> int:
    key = write_key_pair(args.file)
    print(f"{args.file}: private key {key_id(key.public_key())}, mode 600: keep it off the boards and keep a copy in a safe place")
    print(f"{args.file}{SUFFIX}: public key; on each device: python -m device update trust {args.file.name}{SUFFIX}")
    return 0
